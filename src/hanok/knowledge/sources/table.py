"""From what `sources:` says to an open source: the one place that knows all of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hanok.knowledge.source import Opened
from hanok.knowledge.sources.listing import Surroundings
from hanok.spec import Source, SourceKind

KINDS: dict[SourceKind, str] = {
    "path": "hanok.knowledge.sources.load_path:Files",
    "url": "hanok.knowledge.sources.page_client:Page",
    "sitemap": "hanok.knowledge.sources.sitemap_client:Sitemap",
    "git": "hanok.knowledge.sources.git_launch:Repository",
    "uri": "hanok.knowledge.sources.uri_client:open_uri",
    "builtin": "hanok.knowledge.sources.load_handbook:Handbook",
}


def open_source(source: Source, around: Surroundings) -> Opened:
    """That source, nothing listed or read yet.

    Raises `SourceUnreadable` when it cannot be opened as declared: a library is missing, a glob cannot be read.
    """
    module, _, attribute = KINDS[source.kind].partition(":")
    factory: Any = getattr(import_module(module), attribute)
    return factory(source, around)
