"""Tools that agents may use: one kind a file."""
