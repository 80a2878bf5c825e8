"""The kinds of tools, one a file; `table` finds them. What they are made with stands in `surroundings`."""
