"""Configurations of other gateways in, a platform in Hanok's form out, with a note for everything on the way."""

from hanok.migration.litellm import NothingToCarryOver, Translation, translate
from hanok.migration.notes import Kind, Note, Variable
from hanok.migration.render import render

__all__ = ["Kind", "Note", "NothingToCarryOver", "Translation", "Variable", "render", "translate"]
