"""A certificate: what preflight proved or refuted, about which bytes, on which assumptions, for machines to check.

It is an in-toto Statement v1 (in-toto.io/Statement/v1): its subjects are the files with their SHA-256, its predicate
what was found. The idea that makes it simple: the same files, figures and options give the same bytes, so nothing in it
tells a time or a place, and whoever doubts it runs preflight again and compares. `envelope.py` signs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

from hanok.errors import PreflightError
from hanok.preflight.facts import Facts
from hanok.preflight.fit.needs import EngineFit
from hanok.preflight.manifests import Source, at, mapping_at, mappings_at, text_at, texts_at
from hanok.preflight.placement import Node
from hanok.preflight.reports.plain import plain_claims, plain_finding
from hanok.preflight.verdict import Report, Terms

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:hanok:preflight:1"
"""The predicate's type: a name, not an address. The number grows when the meaning of a key changes."""
_HINT = "a certificate is what `hanok preflight … --certificate FILE` writes, signed or not"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked of preflight, as far as it may change the answer."""

    paths: Sequence[str]
    terms: Terms = field(default_factory=Terms)
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The SHA-256 of each file with schemas or models that were named beside the manifests."""
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further options by their name on the command line, as text."""
    timestamp: str | None = None
    """When it was made (RFC 3339), where the user wants that to be told."""


def certify(report: Report, options: Options, *, version: str, cost: object = None) -> dict[str, Any]:
    """The statement on a report. `version` is Hanok's; `cost` is its bill, as JSON."""
    return {
        "_type": STATEMENT,
        "predicateType": PREDICATE,
        "subject": subjects(report.case.cluster.sources),
        "predicate": _predicate(report, options, version) | {"cost": _exact(cost)},
    }


def subjects(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """The files that were read, and the SHA-256 of each, in the order of their names."""
    found = sorted((source.name, source.digest) for source in sources)
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in found]


def _predicate(report: Report, options: Options, version: str) -> dict[str, Any]:
    made = {"timestamp": options.timestamp} if options.timestamp else {}
    return {
        "verdict": report.verdict,
        "claims": plain_claims(report),
        "counterExamples": [plain_finding(each) for each in report.refuting],
        "missing": [plain_finding(each) for each in report.missing],
        "accepted": [plain_finding(each) | {"reason": each.ignored} for each in report.ignored],
        "others": _count_others(report),
        "assumptions": _assumptions(report.case.facts) | {"files": dict(options.files)},
        "options": {
            "paths": list(options.paths),
            "select": list(options.terms.select),
            "skip": list(options.terms.skip),
            "strict": options.terms.strict,
            "more": dict(options.more),
        },
        "tool": {"name": "hanok", "version": version},
        "nodes": {"least": _nodes(report.case.placement.least), "most": _nodes(report.case.placement.most)},
        "engines": [_engine(each) for each in report.case.fits],
        **made,
    }


def _count_others(report: Report) -> dict[str, int]:
    """How many findings, by rule, neither refute the platform nor leave it open."""
    found: dict[str, int] = {}
    for each in report.findings:
        if not (each.rule.open or report.terms.refuting(each)):
            found[each.rule.id] = found.get(each.rule.id, 0) + 1
    return found


def _assumptions(facts: Facts) -> dict[str, Any]:
    catalog = facts.catalog
    figures = {"date": str(catalog.date), "region": catalog.region, "sha256": _digest(catalog.model_dump(mode="json"))}
    return {
        "catalog": figures,
        "kubernetes": facts.kubernetes,
        "schemas": {"built_in": facts.builtins is not None},
        "quotas": {name: _decimal(limit) for name, limit in facts.quotas.items()},
    }


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return sha256(text.encode()).hexdigest()


def _engine(fit: EngineFit) -> dict[str, Any]:
    """An engine, and how it does on the machine that suits it best."""
    best = fit.best
    return {
        "engine": fit.engine.title,
        "model": fit.engine.model,
        "contextTokens": fit.context_tokens,
        "unknown": fit.unknown,
        "best": best
        and {
            "instance": best.seat.instance,
            "gpu": best.title,
            "outcome": best.outcome,
            "cacheTokens": best.fit.kv_tokens,
            "callsAtOnce": best.fit.concurrency,
        },
        "assumed": fit.assumed,
    }


def _exact(value: Any) -> Any:
    """The same without floats."""
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, dict):
        return {key: _exact(each) for key, each in cast("dict[str, Any]", value).items()}
    return [_exact(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _nodes(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Nodes, those that are alike counted."""
    alike: dict[bytes, dict[str, Any]] = {}
    for node in nodes:
        form = _node(node)
        alike.setdefault(canonical(form), {**form, "count": 0})["count"] += node.count
    return [alike[key] for key in sorted(alike)]


def _node(node: Node) -> dict[str, Any]:
    usd = node.seat.usd_hour
    pods = sorted((workload.title, count) for workload, count in node.pods)
    return {
        "pool": node.seat.pool,
        "instance": node.seat.instance,
        "capacity": node.capacity,
        "usdPerHour": _decimal(usd) if usd is not None else None,
        "pods": [{"workload": title, "count": count} for title, count in pods],
    }


def _decimal(number: float) -> str:
    """A figure as text of four decimals: floats are written differently by different languages."""
    return f"{number:.4f}"


def canonical(value: object) -> bytes:
    """JSON in the one form that is signed: sorted keys, no spaces, UTF-8. Raises `TypeError` for floats."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} has no canonical form: write it as text")
    if isinstance(value, dict):
        for each in cast("dict[str, object]", value).values():
            _refuse_floats(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            _refuse_floats(each)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A statement of preflight's that was read."""

    statement: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        return text_at(self.statement, "predicate", "verdict")

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file."""
        each = mappings_at(self.statement, "subject")
        return {text_at(subject, "name"): text_at(subject, "digest", "sha256") for subject in each}

    @property
    def kubernetes(self) -> str:
        return text_at(self.statement, "predicate", "assumptions", "kubernetes")

    @property
    def options(self) -> Options:
        """What was asked then."""
        given = mapping_at(self.statement, "predicate", "options")
        terms = Terms(
            select=texts_at(given, "select"), skip=texts_at(given, "skip"), strict=at(given, "strict") is True
        )
        return Options(
            paths=texts_at(given, "paths"),
            terms=terms,
            more={key: str(value) for key, value in mapping_at(given, "more").items()},
            timestamp=text_at(self.statement, "predicate", "timestamp") or None,
        )


def read_statement(data: bytes) -> Certificate:
    """The certificate in these bytes. Raises `PreflightError` where they are no statement of preflight's."""
    statement = parse(data)
    kinds = text_at(statement, "_type"), text_at(statement, "predicateType")
    if kinds != (STATEMENT, PREDICATE):
        told = " / ".join(kind or "nothing" for kind in kinds)
        raise PreflightError(f"this is no certificate of preflight: its types are {told}", hint=_HINT)
    return Certificate(statement=statement)


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises `PreflightError`."""
    try:
        found: Any = json.loads(data.decode()) if data.endswith((b"}", b"}\n")) else None
    except (ValueError, RecursionError):
        raise PreflightError("this is no certificate: not a JSON object", hint=_HINT) from None
    if not isinstance(found, dict):
        raise PreflightError("this is no certificate: not a JSON object", hint=_HINT)
    return cast("dict[str, Any]", found)


def moved(statement: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """A statement on files that lie elsewhere, with the names that they had."""
    predicate = dict(mapping_at(statement, "predicate"))
    for key in ("counterExamples", "missing", "accepted"):
        predicate[key] = [{**each, "file": rename(text_at(each, "file"))} for each in mappings_at(predicate, key)]
    files = [{**each, "name": rename(text_at(each, "name"))} for each in mappings_at(statement, "subject")]
    return {**statement, "predicate": predicate, "subject": files}


def differences(certificate: Certificate, again: Mapping[str, Any]) -> list[str]:
    """What a second look (a statement) says otherwise than the certificate, in words."""
    before, after = mapping_at(certificate.statement, "predicate"), mapping_at(again, "predicate")
    return [_difference(key, at(before, key), at(after, key)) for key in sorted({*before, *after} - {"timestamp"})
            if at(before, key) != at(after, key)]  # fmt: skip


def _difference(key: str, before: object, after: object) -> str:
    if isinstance(before, str) and isinstance(after, str):
        return f"{key}: {before} then, {after} now"
    if key == "claims":
        then, now = ({text_at(each, "layer"): each for each in mappings_at(side)} for side in (before, after))
        layers = [layer for layer in dict.fromkeys((*then, *now)) if then.get(layer) != now.get(layer)]
        return f"claims differ: {', '.join(layers)}"
    return f"{key} differ" if key.endswith("s") else f"{key} differs"


def changed_files(certificate: Certificate, sources: Sequence[Source]) -> list[str]:
    """Files that are not what they were, in words."""
    then, now = certificate.files, {source.name: source.digest for source in sources}
    told = [f"{name} is gone" for name in then if name not in now]
    told += [f"{name} is new" for name in now if name not in then]
    return sorted([*told, *(f"{name} was changed" for name in then if name in now and now[name] != then[name])])
