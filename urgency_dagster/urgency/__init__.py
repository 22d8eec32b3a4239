"""Rows and vectors become a judged urgency model. Reads what `calls` wrote through `tables` and `storage`."""
