"""Engines: containers that serve models with vLLM, their flags, and what those mean.

Flags are read from command and arguments as a shell or Kubernetes would hand them over, in both forms (`--flag value`,
`--flag=value`), also inside of `sh -c "…"`, variables filled in where the manifest gives their values.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.preflight.manifests import list_at
from hanok.preflight.workloads import Container, Path, Workload

_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash")
_MODULE = "vllm.entrypoints"
_STARTS = re.compile(r"(^|[\s/])vllm\s+serve\b|vllm\.entrypoints")
_OPERATORS = "();<>|&\n"
_IMAGE = re.compile(r"(^|[/_-])vllm([/:@_-]|$)|llm-d/(llm-d-(cuda|inference)|prefill|decode)")
_OFFICIAL = re.compile(r"^(docker\.io/|index\.docker\.io/|public\.ecr\.aws/docker/)?vllm/vllm-openai([:@]|$)")
_VERSION = re.compile(r":v?(\d+)\.(\d+)\.(\d+)")
_OTHERS_TAGS = re.compile(r"(^|/)lmcache/vllm-openai:")
"""Images of vLLM whose tags count something else: LMCache's count LMCache's releases (0.3.9 came with vLLM 0.11)."""
_VARIABLE = re.compile(r"\$\((\w+)\)")
_SHELL_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
SHORT: Mapping[str, str] = {
    "tp": "tensor-parallel-size", "pp": "pipeline-parallel-size", "dp": "data-parallel-size",
    "dpl": "data-parallel-size-local", "dpn": "data-parallel-rank", "dpr": "data-parallel-start-rank",
    "dpa": "data-parallel-address", "dpp": "data-parallel-rpc-port", "dpb": "data-parallel-backend",
    "dcp": "decode-context-parallel-size", "pcp": "prefill-context-parallel-size", "ep": "enable-expert-parallel",
    "q": "quantization", "cc": "compilation-config", "ac": "attention-config", "sc": "speculative-config",
    "O": "optimization-level", "asc": "api-server-count", "n": "nnodes", "r": "node-rank",
}  # fmt: skip
"""Short forms of vLLM's flags."""
_SWITCH = re.compile(r"(no-)?(enable|disable|skip|enforce)-.*|no-.*")
_SWITCHES = frozenset({
    "trust-remote-code", "async-scheduling", "headless", "grpc", "fully-sharded-loras", "language-model-only",
    "return-tokens-as-token-ids", "allow-credentials", "log-error-stack", "tokens-only", "interleave-mm-strings",
    "exclude-tools-when-tool-choice-none", "data-parallel-external-lb", "data-parallel-hybrid-lb", "cudagraph-metrics",
    "kv-cache-metrics", "kv-sharing-fast-prefill", "ray-workers-use-nsight", "use-tqdm-on-load", "mm-encoder-only",
    "trust-request-chat-template", "numa-bind",
})  # fmt: skip
_NO_SWITCHES = frozenset({"disable-access-log-for-endpoints"})
_OF_THE_GROUP = frozenset({"node-rank", "master-addr"})
"""Flags whose values a LeaderWorkerSet gives: they say where a pod is among its like, not what it needs."""
_POOLING = ("embed", "embedding", "score", "classify", "reward", "pooling", "rerank")


def is_switch(name: str) -> bool:
    """Whether a flag stands alone, and takes no value."""
    return name in _SWITCHES or (bool(_SWITCH.fullmatch(name)) and name not in _NO_SWITCHES)


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag as it was given. `value` is None where it stands alone; `place` leads to it in the container.

    A short form that is not known keeps one dash.
    """

    name: str
    value: str | None
    place: Path = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine:
    """One container that serves a model."""

    workload: Workload
    container: Container
    flags: Sequence[Flag]
    positional: str = ""
    """The model after `vllm serve`."""
    by_serve: bool = False
    """Whether the manifest itself says `vllm serve`."""
    strays: Sequence[str] = field(default=())
    """Words that belong to no flag, beside the model."""

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
    def official(self) -> bool:
        """Whether it is the vLLM project's own image."""
        return bool(_OFFICIAL.search(self.container.image))

    @cached_property
    def version(self) -> tuple[int, int, int] | None:
        """vLLM's version by the image's tag; None where that says nothing."""
        image = self.container.image.split("@")[0]
        found = _VERSION.search(image) if "vllm-openai" in image and not _OTHERS_TAGS.search(image) else None
        return (int(found[1]), int(found[2]), int(found[3])) if found else None

    @property
    def title(self) -> str:
        return self.workload.title

    def path(self, flag: Flag | str | None = None) -> Path:
        """The way to a flag in the manifest; to the container where no flag is meant or it is not given."""
        if isinstance(flag, str):
            flag = next((each for each in reversed(self.flags) if each.name == flag), None)
        return (*self.container.path, *(flag.place if flag else ()))

    def whole(self, name: str, default: int) -> int:
        """A flag's whole number, `k` and `m` multiplied (lower case 1000, upper 1024, as vLLM reads them)."""
        found = read_whole(self.given.get(name))
        return default if found is None else found

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.given.get(name) or default)
        except ValueError:
            return default

    @cached_property
    def tensor(self) -> int:
        return max(1, self.whole("tensor-parallel-size", 1))

    @cached_property
    def pipeline(self) -> int:
        return max(1, self.whole("pipeline-parallel-size", 1))

    @cached_property
    def data(self) -> int:
        """Copies of the model, of all machines together, that share the calls."""
        return max(1, self.whole("data-parallel-size", 1))

    @cached_property
    def pooling(self) -> bool:
        """Whether it makes vectors or scores, not text: nothing of a call is kept."""
        given = self.given
        return given.get("runner") == "pooling" or any(given.get(name) in _POOLING for name in ("task", "convert"))

    @cached_property
    def unsettled(self) -> Sequence[str]:
        """What is only known when it starts: flags with variables in them, a file of flags."""
        open_flags = (each for each in self.flags if "$" in (each.value or "") and each.name not in _OF_THE_GROUP)
        told = [f"`--{flag.name} {flag.value}`" for flag in open_flags]
        told += [f"the model `{self.positional}`"] if "$" in self.positional else []
        return told + (["the flags in the file of `--config`"] if "config" in self.given else [])


def read_whole(text: str | None) -> int | None:
    """A whole number as vLLM's flags write it; None where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", text or "")
    if not found:
        return None
    return int(
        float(found[1]) * {"": 1, "k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20, "g": 10**9, "G": 2**30}[found[2]]
    )


def engines(workloads: Sequence[Workload]) -> list[Engine]:
    """Every vLLM among the containers of these pods."""
    read = (read_engine(workload, each) for workload in workloads for each in workload.containers)
    return [each for each in read if each is not None]


def by_workload(found: Iterable[Engine]) -> Mapping[Workload, Sequence[Engine]]:
    """Engines by the workload that they run in."""
    kept: dict[Workload, list[Engine]] = {}
    for each in found:
        kept.setdefault(each.workload, []).append(each)
    return kept


def read_engine(workload: Workload, container: Container, *, surely: bool = False) -> Engine | None:
    """The vLLM in a container, if it starts one; `surely` where that is known already."""
    given = [_filled(each, container.env) for each in container.words]
    words, places = _unwrapped(given, container)
    overridden = bool(list_at(container.body, "command"))
    start = _start(words, container.image, overridden=overridden, surely=surely)
    if start is None:
        return None
    flags, loose = read_flags(words[start:], places[start:])
    by_serve = start > 0 and words[start - 1] == "serve"
    return Engine(
        workload=workload, container=container, flags=flags, by_serve=by_serve,
        positional=loose[0] if loose else "", strays=loose[1:],
    )  # fmt: skip


def _filled(word: str, env: Mapping[str, str]) -> str:
    """A word with `$(NAME)` filled in, as Kubernetes does."""
    return _VARIABLE.sub(lambda found: env.get(found[1]) or f"${{{found[1]}}}", word)


def _unwrapped(words: Sequence[str], container: Container) -> tuple[list[str], list[Path]]:
    """The words of a command, those of the last engine in `sh -c "…"`; and where each stands in the container."""
    commands = len(list_at(container.body, "command"))
    places: list[Path] = [("command", at) if at < commands else ("args", at - commands) for at in range(len(words))]
    for index, word in enumerate(words):
        if index + 1 < len(words) and re.fullmatch(r"-\w*c", word) and words[0] in _SHELLS:
            inner = _script(words[index + 1], container.env)
            return inner, [places[index + 1]] * len(inner)
    return list(words), places


def _script(text: str, env: Mapping[str, str]) -> list[str]:
    """The words of the command in a shell's text that starts vLLM, else of the last one."""
    text = _SHELL_VARIABLE.sub(lambda found: env.get(found[1] or found[2]) or found[0], text.replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    commands: list[list[str]] = [[]]
    try:
        for word in lexer:
            if set(word) <= set(_OPERATORS):
                commands.append([])
            else:
                commands[-1].append(word)
    except ValueError:
        commands = [text.split()]
    full = [each for each in commands if each]
    return next((each for each in full if _STARTS.search(" ".join(each))), full[-1] if full else [])


def _start(words: Sequence[str], image: str, *, overridden: bool, surely: bool) -> int | None:
    """Where a vLLM server's own words begin; None where the words start something else."""
    for index, word in enumerate(words):
        if word == "serve" and index and words[index - 1].rsplit("/", 1)[-1] == "vllm":
            return index + 1
        if word.startswith(_MODULE):
            return index + 1
    plain = not words or words[0].startswith(("-", "$")) or "/" in words[0] or bool(_OFFICIAL.search(image))
    return 0 if surely or (_IMAGE.search(image) and plain and not overridden) else None


def flags_of(container: Container) -> list[Flag]:
    """The flags of what a container starts, whatever that is."""
    words, places = _unwrapped(container.words, container)
    return read_flags(words, places)[0]


def read_flags(words: Sequence[str], places: Sequence[Path] = ()) -> tuple[list[Flag], list[str]]:
    """Flags and their values, and the words that belong to none.

    Several values of one flag (`--served-model-name a b`) are joined by a space; a switch takes no value but a boolean.
    """
    found: list[Flag] = []
    loose: list[str] = []
    for index, word in enumerate(words):
        if word.startswith("-") and len(word) > 1 and not re.fullmatch(r"-?[\d.]+", word):
            found.append(_flag(word, places[index] if index < len(places) else ()))
        elif not found or (is_switch(found[-1].name) and word.lower() not in ("true", "false", "1", "0")):
            loose.append(word)
        else:
            last = found[-1]
            joined = word if last.value is None else f"{last.value} {word}"
            found[-1] = Flag(name=last.name, value=joined, place=last.place)
    return found, loose


def _flag(word: str, place: Path) -> Flag:
    name, equals, value = word.lstrip("-").partition("=")
    if not word.startswith("--"):
        name = SHORT.get(name, f"-{name}")
    return Flag(name=name.replace("_", "-"), value=value if equals else None, place=place)
