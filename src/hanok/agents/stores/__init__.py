"""What agents keep on disk or in a database: runs (`runs.py`) and memories, in SQLite or in PostgreSQL.

SQL is written once, in words that both take; a `Place` says the few that differ, and lends connections.
"""
