"""The library of a house, and its desks. Nothing heavy is imported or started before the first question."""

from __future__ import annotations

from hanok.gateway import Giving, Informed, Knowledge, KnowledgeAnswers, Reception
from hanok.knowledge.client import open_store
from hanok.knowledge.library import Library
from hanok.knowledge.ranking.terms import terms_of_question
from hanok.spec import Loaded
from hanok.wire import ModelPath


def make_library(loaded: Loaded, models: ModelPath) -> Library:
    """The library of this platform. The store is connected to when it is first asked."""
    return Library(models=models, store=open_store(loaded), platform=loaded.platform, terms=terms_of_question)


def knowledge_desk(library: Library, informed: Informed, *, giving: Giving, reception: Reception) -> Knowledge:
    """The desk for knowledge: there also where none is declared, and then lists none."""
    answers = KnowledgeAnswers(informed, giving=giving, reception=reception)
    return Knowledge(library, reception=reception, answers=answers)
