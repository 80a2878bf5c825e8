"""Hanok's own file as preflight sees it: its models planned on GPUs (`planned`), and checks of what it declares."""
