"""The audit: reasons why scores may be too high, such as leaks, copies, identifiers and label history."""
