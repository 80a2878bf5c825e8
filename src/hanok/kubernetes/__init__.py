"""Render: from a platform file the tree that installs it on a cluster, out of the engines that the field trusts.

`plan` decides what the file means there; `components` say what each thing is made of, as plain dicts; `formats` lay
that out as files; `store` writes them. Only `load` and `store` open files.
"""

from hanok.kubernetes.notes import Note
from hanok.kubernetes.plan import ClusterPlan, make_plan
from hanok.kubernetes.tree import FORMATS, Format, Rendered, render

__all__ = ["FORMATS", "ClusterPlan", "Format", "Note", "Rendered", "make_plan", "render"]
