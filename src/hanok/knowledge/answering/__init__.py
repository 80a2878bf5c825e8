"""Answering: a question's passages put before a chat model, and what it says checked against them as it comes.

    conversation → (search) → relevance → prompt | quoting → (ask) → citations → form

Everything but `asking` is pure: text in, text out. What a model claims is never taken at its word: a citation must be
of a passage that there is, and a sentence without one is given one only where a passage has its words.
"""

from hanok.knowledge.answering.asking import Answerer, Asked, Library, Telling
from hanok.knowledge.answering.conversation import Conversation, read_conversation
from hanok.knowledge.answering.form import passage_form

__all__ = [
    "Answerer",
    "Asked",
    "Conversation",
    "Library",
    "Telling",
    "passage_form",
    "read_conversation",
]
