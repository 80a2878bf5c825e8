"""Ingesting: a base's collection is brought up to its sources, again and again, at the cost of what has changed.

ingest    which collection, from which sources; the change-over to a new one
compare   which documents have to be read
run       the pipeline: read, parse, split → embed → write, all at once
embedder  passages to vectors
report    what came of it; `notes_store` keeps it, `refusals` what was refused
"""

from hanok.knowledge.ingesting.compare import source_mark
from hanok.knowledge.ingesting.embedder import Embedder, OpenModels
from hanok.knowledge.ingesting.ingest import Ingest, OpenTools, Tools, declared_mark, ingest
from hanok.knowledge.ingesting.notes_store import Busy, Notes
from hanok.knowledge.ingesting.report import RefusedDocument, Report, SilentSource
from hanok.knowledge.ingesting.run import EmbedUnits, OpenSource, ReadPassages

__all__ = [
    "Busy",
    "EmbedUnits",
    "Embedder",
    "Ingest",
    "Notes",
    "OpenModels",
    "OpenSource",
    "OpenTools",
    "ReadPassages",
    "RefusedDocument",
    "Report",
    "SilentSource",
    "Tools",
    "declared_mark",
    "ingest",
    "source_mark",
]
