"""What makes attention scores better than they are: leaks, copies, identifiers and label history."""
