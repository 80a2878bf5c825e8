"""Prompts: texts that agents are told, each of which is kept as a version that can be asked for again.

A version is named by the hash of its text, so that nothing has to be counted and the same text is the same version on
every machine. A label names one version; `latest` moves to what is declared, all others are moved by people.
"""

from hanok.agents.prompts.checking import unset_prompts
from hanok.agents.prompts.load import declared_prompt, declared_prompts
from hanok.agents.prompts.store import LATEST, SHOWN, Prompts, Version, hash_of

__all__ = ["LATEST", "SHOWN", "Prompts", "Version", "declared_prompt", "declared_prompts", "hash_of", "unset_prompts"]
