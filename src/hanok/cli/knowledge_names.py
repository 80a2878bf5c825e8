"""Which knowledge base is meant on the command line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from hanok.errors import StartError

if TYPE_CHECKING:
    from hanok.spec import Knowledge, Loaded


def chosen(loaded: Loaded, name: str) -> Knowledge:
    """The declared base of that name. Raises `StartError`, with what was perhaps meant."""
    found = next((base for base in loaded.platform.knowledge if base.name == name), None)
    if found is None:
        raise StartError(f"no knowledge base is called {name!r}", hint=meant(loaded, name))
    return found


def meant(loaded: Loaded, name: str) -> str:
    """What was perhaps meant by a name of nothing."""
    names = [base.name for base in loaded.platform.knowledge]
    near = difflib.get_close_matches(name, names, n=1)
    known = f"declared in {loaded.file.name}: {', '.join(names) or 'none'}"
    return f"did you mean {near[0]!r}?" if near else known
