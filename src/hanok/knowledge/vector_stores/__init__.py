"""Vector stores, in OpenAI's form: callers make them, attach files to them, and search them.

    keeping   what a caller may do with those of his tenant; `record_store` keeps what there is, in SQLite
    filling   the one process that reads attached files, and writes and removes their passages
    forms     OpenAI's objects

All passages are in one collection of the platform, each with its vector store, and with the tenant as its only reader.
A vector store, or a file in it, that was deleted is first marked and not seen any more; its passages go, then the mark.
"""
