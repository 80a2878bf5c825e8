"""Which of a source's files are its documents: by globs, by format, and by what nobody means.

Names that begin with a dot and folders that tools fill are left out, as a shell's `*` does, until a glob of `include`
(or of the declared place) names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from hanok.knowledge.sources.globs import compile_glob, lead_of

FILLED_BY_TOOLS = frozenset({"node_modules", "__pycache__"})


class Choice:
    """Says which paths, relative to the source and with `/`, are taken.

    `known` says of a path whether its format is, and is asked where nothing is included by name; `place` is the glob
    in the declared place, which every path must fit. Raises `SourceUnreadable` when a glob cannot be read.
    """

    def __init__(
        self,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        known: Callable[[str], bool],
        place: str | None = None,
    ) -> None:
        self._include = [compile_glob(glob) for glob in include]
        self._exclude = [compile_glob(glob) for glob in exclude]
        self._place = None if place is None else compile_glob(f"/{place}", below=False)
        self._known = known
        leads = [lead_of(glob) for glob in include]
        self._leads = None if None in leads or not leads else [f"{lead}/" for lead in leads if lead is not None]
        self._named = {part for glob in (*include, place or "") for part in glob.split("/") if _is_left_out(part)}

    def enters(self, folder: str) -> bool:
        """Whether to look into that folder, once its parents were entered."""
        return (
            not self._is_hidden(folder.rpartition("/")[2])
            and not self._is_excluded(folder)
            and (self._leads is None or any(_meet(f"{folder}/", lead) for lead in self._leads))
        )

    def takes(self, path: str) -> bool:
        """Whether that file is a document of the source."""
        if any(self._is_hidden(part) for part in path.split("/")) or self._is_excluded(path):
            return False
        if self._place and not self._place.fullmatch(path):
            return False
        if self._include:
            return any(glob.fullmatch(path) for glob in self._include)
        return bool(self._place) or self._known(path)

    def _is_excluded(self, path: str) -> bool:
        return any(glob.fullmatch(path) for glob in self._exclude)

    def _is_hidden(self, name: str) -> bool:
        return _is_left_out(name) and not any(fnmatchcase(name, part) for part in self._named)


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in FILLED_BY_TOOLS


def _meet(folder: str, lead: str) -> bool:
    return lead == "/" or folder.startswith(lead) or lead.startswith(folder)
