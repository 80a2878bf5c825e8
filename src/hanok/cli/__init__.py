"""The `hanok` command. Data goes to stdout, talk to stderr; `--json` gives machines one object.

Exit codes: 0 done · 1 could not be done · 2 the command line or platform.yaml is wrong · 130 interrupted.
"""

from hanok.cli.app import app, main

__all__ = ["app", "main"]
