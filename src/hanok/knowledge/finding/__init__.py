"""Finding passages: rewrite the question, look it up by meaning and by words, order what comes, give more around it.

Each step that asks a model besides the embedder may fail without the search failing: it is left out, and `Found.notes`
says so.
"""
