"""Formats of the tree, a file for each: pieces in, files by their path out."""
