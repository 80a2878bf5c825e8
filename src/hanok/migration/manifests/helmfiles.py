"""Helmfiles: their releases are charts like others (`preflight.helmfiles`); what is told of the rest is said here."""

from __future__ import annotations

from hanok.migration.manifests.told import Told
from hanok.preflight import Cluster
from hanok.preflight.helmfiles import KIND
from hanok.preflight.manifests import list_at, text_at


def tell_unread(cluster: Cluster, told: Told) -> None:
    """Values that stand in files that were not read, in templates, and in what is set one by one."""
    for each in cluster.of(KIND):
        for part in list_at(each.body, "spec", "valuesFrom"):
            message = f"values in {_called(part)} are not read: give them, too"
            told.in_code("left", each.file, each.first_line, f"release {each.name}", message)


def _called(part: object) -> str:
    """A file by its name; a value that is set, by its key."""
    return part if isinstance(part, str) else f"`{text_at(part, 'name') or 'set'}`"
