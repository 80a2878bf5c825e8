"""Files, and batches of calls that have time: OpenAI's form, over the same model path as every call, durable.

`Shelf` keeps files, `Intake` takes orders, `Runner` runs them: one process of a state folder at a time, wherever it was
interrupted. `Asker` is what they need of the rooms above.
"""

from hanok.batches.asker import Asker, Later
from hanok.batches.entries import Batch, FileEntry, Tokens
from hanok.batches.forms import Outcome, batch_form, file_form, list_form
from hanok.batches.intake import Intake
from hanok.batches.runner import Runner
from hanok.batches.shelf import Incoming, Shelf
from hanok.batches.stores.folder import Folder
from hanok.batches.stores.tables import Tables

__all__ = [
    "Asker",
    "Batch",
    "FileEntry",
    "Folder",
    "Incoming",
    "Intake",
    "Later",
    "Outcome",
    "Runner",
    "Shelf",
    "Tables",
    "Tokens",
    "batch_form",
    "file_form",
    "list_form",
]
