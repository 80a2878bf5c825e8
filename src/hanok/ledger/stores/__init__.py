"""Where the books are kept: a journal that outlives a crash, and SQLite that answers questions."""
