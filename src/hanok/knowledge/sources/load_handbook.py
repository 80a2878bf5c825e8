"""Files in: the documentation of this version of Hanok.

`setup.py` puts it into the package's folder when that is built; in a checkout it is read where it is written.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hanok
from hanok.errors import SourceUnreadable
from hanok.knowledge.sources.listing import Surroundings
from hanok.knowledge.sources.load_path import Files
from hanok.spec import Source

PAGES = ("/README.md", "/docs/*.md", "/docs/notes/*.md")
"""What is shipped, below a checkout; `setup.py` has the same list."""
NOISE = ("/docs/rules.md",)
"""What only repeats other pages: `hanok rules show` has each of its rules at length."""


class Handbook(Files):
    """The handbook's pages. Raises `SourceUnreadable` where Hanok was installed without them."""

    def __init__(self, source: Source, around: Surroundings) -> None:
        declared = {"include": [*(source.include or PAGES)], "exclude": [*source.exclude, *NOISE]}
        told = source.model_copy(update={**declared, "type": source.type or "documentation"})
        super().__init__(told, replace(around, folder=find_handbook()), place=".", scheme="handbook")


def find_handbook() -> Path:
    """The folder that holds it."""
    package = Path(hanok.__file__).parent
    shipped, checkout = package / "handbook", package.parents[1]
    if shipped.is_dir():
        return shipped
    if (checkout / "pyproject.toml").is_file() and (checkout / "docs").is_dir():
        return checkout
    raise SourceUnreadable("this installation of Hanok has no handbook", hint="install it again from a wheel")
