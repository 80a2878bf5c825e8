"""Where the books are kept: a journal that outlives a crash, and a database that answers questions.

`journal` holds charges on this machine's disk; `database` lends connections; `schema` and `tables` hold all SQL, in
SQLite's words; `sqlite` and `postgres` say what differs.
"""
