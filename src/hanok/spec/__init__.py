"""platform.yaml as one frozen tree: its shape (`tree`), reading it (`load`), writing a first one (`starter`)."""

from hanok.spec import tree
from hanok.spec.load import load, problems_of
from hanok.spec.tree import *  # noqa: F403 - its names are listed there, once

__all__ = ["load", "problems_of"]
__all__ += tree.__all__
