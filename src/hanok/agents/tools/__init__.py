"""What agents may use, one kind of tool a file."""
