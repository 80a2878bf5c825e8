"""Programs that are started as processes of their own: the librarian and the parsers."""
