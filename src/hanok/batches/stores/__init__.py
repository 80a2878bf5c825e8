"""Where files and batches are kept: a small database, and files on disk."""
