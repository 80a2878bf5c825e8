"""Engines: containers that serve models with vLLM, their flags, and what those mean.

Flags are read from command and arguments as a shell or Kubernetes would hand them over, in both forms (`--flag value`,
`--flag=value`), also inside of `sh -c "…"`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.preflight.workloads import Container, Workload

_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash")
_MODULE = "vllm.entrypoints"
_IMAGE = re.compile(r"(^|[/_-])vllm([/:@_-]|$)|llm-d/llm-d-(cuda|inference)")
_VERSION = re.compile(r":v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag as it was given. `value` is None where it stands alone; `word` counts command and arguments."""

    name: str
    value: str | None
    word: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine:
    """One container that serves a model."""

    workload: Workload
    container: Container
    flags: Sequence[Flag]
    positional: str = ""
    """The model after `vllm serve`."""

    @cached_property
    def given(self) -> Mapping[str, str | None]:
        """Flags by name, without dashes; the last one wins."""
        return {flag.name: flag.value for flag in self.flags}

    @cached_property
    def model(self) -> str:
        return self.positional or self.given.get("model") or ""

    @cached_property
    def served_names(self) -> Sequence[str]:
        """The names that it answers to."""
        named = [flag.value for flag in self.flags if flag.name == "served-model-name" and flag.value]
        return [name for each in named for name in each.split()] or [self.model]

    @cached_property
    def version(self) -> tuple[int, int, int] | None:
        """vLLM's version by the image's tag; None where that says nothing."""
        found = _VERSION.search(self.container.image.split("@")[0])
        return (
            (int(found[1]), int(found[2]), int(found[3])) if found and "vllm-openai" in self.container.image else None
        )

    @property
    def title(self) -> str:
        return self.workload.title

    def whole(self, name: str, default: int) -> int:
        """A flag's whole number, `k` and `m` multiplied (lower case 1000, upper 1024, as vLLM reads them)."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", self.given.get(name) or "")
        if not found:
            return default
        return int(
            float(found[1]) * {"": 1, "k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20, "g": 10**9, "G": 2**30}[found[2]]
        )

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.given.get(name) or default)
        except ValueError:
            return default

    @cached_property
    def tensor(self) -> int:
        return max(1, self.whole("tensor-parallel-size", self.whole("tp", 1)))

    @cached_property
    def pipeline(self) -> int:
        return max(1, self.whole("pipeline-parallel-size", self.whole("pp", 1)))


def engines(workloads: Sequence[Workload]) -> list[Engine]:
    """Every vLLM among the containers of these pods."""
    return [engine for workload in workloads for each in workload.containers for engine in _engine(workload, each)]


def _engine(workload: Workload, container: Container) -> Iterator[Engine]:
    words = unwrap(container.words)
    served = served_by(words, container.image)
    if served is not None:
        positional, rest = served
        yield Engine(workload=workload, container=container, flags=read_flags(rest), positional=positional)


def unwrap(words: Sequence[str]) -> list[str]:
    """The words of a command; those of the last command of `sh -c "…"`."""
    for index, word in enumerate(words):
        if index + 1 < len(words) and re.fullmatch(r"-\w*c", word) and words[0] in _SHELLS:
            text = words[index + 1].replace("\\\n", " ")
            commands = re.split(r"&&|\|\||;|\n", text)
            served = next((each for each in commands if "vllm" in each), commands[-1])
            try:
                return [each for each in shlex.split(served) if each != "exec"]
            except ValueError:
                return served.split()
    return list(words)


def served_by(words: Sequence[str], image: str) -> tuple[str, list[str]] | None:
    """The positional model and the flags of a vLLM server; None where the words start something else."""
    for index, word in enumerate(words):
        if word == "serve" and index and words[index - 1].rsplit("/", 1)[-1] == "vllm":
            rest = list(words[index + 1 :])
            positional = rest.pop(0) if rest and not rest[0].startswith("-") else ""
            return positional, rest
        if word.startswith(_MODULE):
            return "", list(words[index + 1 :])
    if _IMAGE.search(image) and not (words and not words[0].startswith("-") and "/" not in words[0]):
        positional = words[0] if words and not words[0].startswith("-") else ""
        return positional, list(words[1:] if positional else words)
    return None


def read_flags(words: Sequence[str]) -> list[Flag]:
    """Flags and their values; several values of one flag (`--served-model-name a b`) are joined by a space."""
    found: list[Flag] = []
    for index, word in enumerate(words):
        if word.startswith("-") and not re.fullmatch(r"-?[\d.]+", word):
            name, equals, value = word.lstrip("-").partition("=")
            found.append(Flag(name=name.replace("_", "-"), value=value if equals else None, word=index))
        elif found:
            last = found[-1]
            joined = word if last.value is None else f"{last.value} {word}"
            found[-1] = Flag(name=last.name, value=joined, word=last.word)
    return found
