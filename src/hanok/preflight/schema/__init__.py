"""Layer 1: does the API server take it? Schemas of built-in and custom kinds, and the API server's own rules.

`shapes` reads schemas once, `walk` holds values to them, `expressions` evaluates rules in CEL; `load` is the only file
that opens anything. `kinds` and its neighbours are the checks.
"""
