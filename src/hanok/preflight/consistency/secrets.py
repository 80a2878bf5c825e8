"""Secrets in plain text, and code that runs what a model wrote. What is secret is never repeated in a message."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.consistency.embedded import line_of
from hanok.preflight.consistency.gateways import gateways
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import Manifest, Step, at, list_at, mapping_at, mappings_at, text_at
from hanok.preflight.reading import read_mapping
from hanok.preflight.workloads import Workload

PLAIN = Rule(
    "HK561",
    "warning",
    "a secret in plain text",
    "keep it in a Secret that is not in the repository, and take it by valueFrom.secretKeyRef",
)
COMMITTED = Rule(
    "HK562",
    "warning",
    "a Secret with its value in the tree",
    "let External Secrets, Sealed Secrets or SOPS bring it; and change what has been seen",
)
KNOWN_KEY = Rule("HK563", "warning", "a key that everybody knows", "make one by chance, and keep it in a Secret")
RUNS_TEXT = Rule(
    "HK564",
    "error",
    "a tool that runs what a model wrote",
    "parse the input with code that knows only what it may do, or run it in a sandbox with nothing in it",
)
PRIVILEGED = Rule(
    "HK565", "info", "a container that is root on its node", "take only the capabilities that it needs, where it can"
)

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:PASSWORD|PASSWD|SECRET(?:[_-]KEY)?|API[_-]?KEY|ACCESS[_-]?KEY|PRIVATE[_-]?KEY|"
    r"MASTER[_-]?KEY|ENCRYPTION[_-]?KEY|AUTH[_-]?TOKEN|ACCESS[_-]?TOKEN|HF[_-]TOKEN|HUB[_-]TOKEN|BOT[_-]TOKEN|"
    r"SALT(?:[_-]KEY)?)$",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|"
    r"\bgithub_pat_\w{40,}|\bglpat-[\w-]{20,}|\bxox[abp]-[\w-]{20,}|\bAIza[\w-]{35}\b|\bnvapi-[\w-]{40,}|"
    r"\b(?:sk|pk)-lf-[0-9a-f-]{36}|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----"
)
"""Forms that nothing else has."""
_URL = re.compile(r"(?<=[a-z0-9])://[^\s:/@'\"]*:(?P<password>[^\s:/@'\"]+)@")
_NO_SECRET = re.compile(
    r"^$|\$\(|\$\{|^\$|<[^>]+>|\{\{|^os\.environ/|^(?:dummy|empty|none|null|unused|not[-_ ]?(?:needed|used|required)|"
    r"no-?key|fake|test|example|changeme|change[-_]me|replace[-_ ]?me|todo|placeholder|true|false|"
    r"x{3,}|\*{3,}|\.{3}|-|na|n/a|ollama|lm-studio)$|your[-_ ]|example|placeholder|"
    r"change[-_]?me|replace|^\.?/|^ENC\[|^file:",
    re.IGNORECASE,
)
"""What stands where a secret would, and is none: references, dummies, stand-ins, paths."""
_KNOWN = frozenset(
    {
        "sk-1234",
        "sk-12345",
        "sk-123456",
        "admin",
        "password",
        "minioadmin",
        "postgres",
        "secret",
        "mysecret",
        "langfuse",
    }
)
_RUNS = re.compile(
    r"(?<![\w.])(?P<call>eval|exec)\s*\(\s*(?P<argument>[A-Za-z_]\w*)|"
    r"\b(?P<system>os\.(?:system|popen))\s*\(\s*(?![\"'][^\"'{]*[\"']\s*\))|"
    r"\b(?P<shell>subprocess\.\w+)\s*\([^)]*shell\s*=\s*True"
)
_PYTHON = re.compile(r"^\s*(?:def \w+\(.*\).*:|import [\w.]+(?: as \w+)?|from [\w.]+ import .+)$", re.MULTILINE)
_PLATFORM = re.compile(r"^models:", re.MULTILINE)
_NAME_OF_ONE = re.compile(r"[a-z]+(?:[-.][a-z]+)*")
"""What may be the name of a Secret, or of a key in one, and not what it holds."""
_ENOUGH_BITS = 2.5
"""Entropy a character from which a value counts as made by chance: words have less than about 3.5 over few letters."""


def is_secret(name: str, value: str) -> bool:
    """Whether a value beside such a name looks like a secret."""
    if _TOKEN.search(value):
        return not re.search(r"x{6,}|\.\.\.|your|example", value, re.IGNORECASE)
    named = bool(_SECRET_NAME.search(name)) and len(value) >= 6 and not _NO_SECRET.search(value)
    return named and (name.upper().endswith(("PASSWORD", "PASSWD")) or not _NAME_OF_ONE.fullmatch(value))


def check_variables(case: Case) -> Iterator[Finding]:
    """Environment and arguments."""
    for workload in case.workloads:
        for container in (*workload.containers, *workload.inits):
            for index, each in enumerate(mappings_at(container.body, "env")):
                path = (*container.path, "env", index, "value")
                yield from _say(workload.manifest, path, text_at(each, "name"), text_at(each, "value"))
            for key in ("command", "args"):
                words = [str(each) for each in list_at(container.body, key)]
                for index, word in enumerate(words):
                    name, _, value = word.lstrip("-").partition("=")
                    before = words[index - 1].lstrip("-") if index and words[index - 1].startswith("-") else ""
                    path = (*container.path, key, index)
                    yield from _say(workload.manifest, path, *((name, value) if value else (before, word)))


def check_configs(case: Case) -> Iterator[Finding]:
    """ConfigMaps: keys of a secret's name, tokens and passwords in files."""
    for config in case.cluster.of("ConfigMap"):
        for key, text in mapping_at(config.body, "data").items():
            if isinstance(text, str) and "\n" not in text:
                yield from _say(config, ("data", key), key, text)
            elif isinstance(text, str):
                yield from _in_text(config, key, text)


def _in_text(config: Manifest, key: str, text: str) -> Iterator[Finding]:
    for found in _TOKEN.finditer(text):
        if is_secret(key, found[0]):
            yield _at_line(config, key, text, found.start(), f"{key} holds a key ({_hidden(found[0])})")
    for found in _URL.finditer(text):
        if not _NO_SECRET.search(found["password"]):
            yield _at_line(config, key, text, found.start(), f"{key} holds an address with a password in it")


def _at_line(config: Manifest, key: str, text: str, position: int, message: str) -> Finding:
    """A finding at a line within a ConfigMap's text."""
    line = line_of(config, text, position, "data", key)
    found = PLAIN.on(config, "data", key, message=message)
    return replace(found, line=line)


def _say(manifest: Manifest, path: tuple[Step, ...], name: str, value: str) -> Iterator[Finding]:
    url = _URL.search(value)
    if url and not _NO_SECRET.search(url["password"]):
        yield PLAIN.on(manifest, *path, message=f"{name or 'an argument'} is an address with a password in it")
    elif not url and value in _KNOWN and _SECRET_NAME.search(name):
        yield KNOWN_KEY.on(manifest, *path, message=f"{name} is a value out of a handbook")
    elif not url and is_secret(name, value):
        yield PLAIN.on(manifest, *path, message=f"{name or 'an argument'} is written out ({_hidden(value)})")


def _hidden(value: str) -> str:
    return f"{len(value)} characters"


def check_gateways(case: Case) -> Iterator[Finding]:
    """Keys in a gateway's configuration."""
    for gateway in gateways(case):
        places: list[tuple[Step, ...]] = [("general_settings", "master_key"), ("general_settings", "salt_key")]
        places += [(*route.path, "litellm_params", "api_key") for route in gateway.routes]
        for path in places:
            value = text_at(gateway.config.body, *path)
            name = str(path[-1])
            if value in _KNOWN:
                yield gateway.config.finding(KNOWN_KEY, *path, message=f"{name} is a value out of a handbook")
            elif is_secret(name, value) and not _TOKEN.search(value):  # tokens are found as text already
                yield gateway.config.finding(PLAIN, *path, message=f"{name} is written out ({_hidden(value)})")


def check_secrets(case: Case) -> Iterator[Finding]:
    """Secret manifests with a value that looks made by chance."""
    plain = (each for each in case.cluster.of("Secret", group="") if "sops" not in each.body)
    for secret in plain:
        for place in ("stringData", "data"):
            for key, value in mapping_at(secret.body, place).items():
                text = _opened(value) if place == "data" else str(value)
                if text is not None and _looks_real(key, text):
                    yield COMMITTED.on(secret, place, key, message=f"{key} has a value here ({_hidden(text)})")
                    break


def _opened(value: object) -> str | None:
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, ValueError, UnicodeDecodeError):
        return None


def _looks_real(key: str, value: str) -> bool:
    if _TOKEN.search(value):
        return is_secret(key, value)
    url = _URL.search(value)
    if url:
        return not _NO_SECRET.search(url["password"])
    named = bool(_SECRET_NAME.search(key.replace(".", "_"))) or key.lower() in ("token", "password", "key", "api-key")
    return named and len(value) >= 8 and not _NO_SECRET.search(value) and _bits(value) >= _ENOUGH_BITS


def _bits(value: str) -> float:
    """Entropy a character (Shannon)."""
    counts = Counter(value).values()
    return -sum(each / len(value) * math.log2(each / len(value)) for each in counts)


def check_code(case: Case) -> Iterator[Finding]:
    """Python in agents' tools and in ConfigMaps that runs text. In a tool it runs what the model wrote: an error."""
    for agent in case.cluster.of("Agent", "ToolServer", "MCPServer"):
        for path, text in _texts(agent.body, ()):
            yield from _runs(agent, path, text, "error")
    for config in case.cluster.of("ConfigMap"):
        for key, text in mapping_at(config.body, "data").items():
            if isinstance(text, str) and (key.endswith(".py") or _PYTHON.search(text)) and not _is_platform(text):
                yield from _runs(config, ("data", key), text, "warning")
    for workload in case.workloads:
        yield from _in_arguments(workload)


def _is_platform(text: str) -> bool:
    """Whether it is a platform file, whose tools run in a sandbox that has nothing in it."""
    return bool(_PLATFORM.search(text)) and "kind" not in (values := read_mapping(text)) and "models" in values


def _in_arguments(workload: Workload) -> Iterator[Finding]:
    for container in (*workload.containers, *workload.inits):
        for key in ("command", "args"):
            for index, word in enumerate(list_at(container.body, key)):
                if isinstance(word, str) and _PYTHON.search(word):
                    yield from _runs(workload.manifest, (*container.path, key, index), word, "warning")


def _texts(value: object, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    for key, each in mapping_at(value).items():
        if isinstance(each, str) and _PYTHON.search(each):
            yield (*path, key), each
        else:
            yield from _texts(each, (*path, key))
    for index, each in enumerate(list_at(value)):
        yield from _texts(each, (*path, index))


def _runs(manifest: Manifest, path: tuple[Step, ...], text: str, severity: Severity) -> Iterator[Finding]:
    for found in _RUNS.finditer(text):
        said = found["call"] or found["system"] or found["shell"]
        what = f" of {found['argument']}" if found["argument"] else ""
        message = f"`{said}`{what}: whoever writes that text, a model or a page that it read, runs code here"
        finding = RUNS_TEXT.on(manifest, *path, message=message, severity=severity)
        yield replace(finding, line=line_of(manifest, text, found.start(), *path))
        return


def check_privileges(case: Case) -> Iterator[Finding]:
    """Privileged containers, once a workload."""
    for workload in case.workloads:
        for container in (*workload.containers, *workload.inits):
            if at(container.body, "securityContext", "privileged") is True:
                where = (*container.path, "securityContext", "privileged")
                yield PRIVILEGED.on(workload.manifest, *where, message=f"{container.name} is privileged")
                break


CHECKS = (check_variables, check_configs, check_gateways, check_secrets, check_code, check_privileges)
