"""Knowledge: documents in, passages found, cited answers out.

    sources → parsing → splitting → (embed, by a `wire.ModelPath`) → store      ingesting
    question → (embed) → store: two legs, ranking → passages → (ask)            library, answering

The store is a seam (`store.Store`). What is heavy lives in processes of its own: Milvus and all that it imports in the
*librarian*, which every process of a platform shares (Milvus Lite can be opened by one process only) and which lives as
long as anyone is connected; parsing in *parsers*, which may crash or be killed. What is in a collection is the record
of what was ingested: the first passage of each document, its head, says which version it is.
"""
