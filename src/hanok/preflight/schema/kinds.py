"""Objects held to the schema of their kind, and kinds that the cluster would not know.

A kind without a schema leaves the verdict open, once for all of its objects. One that is served under another version
or group, or no longer, is told where it went.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from hanok.preflight import helmfiles
from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import walk
from hanok.preflight.manifests import Body, Manifest, text_at
from hanok.preflight.schema.kind_schemas import DeclaredSchemas, KindSchema
from hanok.preflight.schema.load import INSTALL, load_moves
from hanok.preflight.schema.walk import Ask, Fault, Sort, look

UNKNOWN_FIELD = Rule("HK101", "error", "a field that does not exist", "take it out, or write the one that is meant")
MISSING_FIELD = Rule("HK102", "error", "a required field that is missing", "write it")
WRONG_TYPE = Rule("HK103", "error", "a value of the wrong type", "write a value of the type that is asked for")
WRONG_VALUE = Rule("HK104", "error", "a value that is not allowed", "write one that is")
BROKEN_RULE = Rule("HK105", "error", "a rule of the kind is broken", "change what the message names")
TWICE = Rule("HK106", "error", "an item that stands twice in a list", "keep one of them")
NO_SCHEMA = Rule(
    "HK107",
    "warning",
    "a kind without a schema",
    "`kubectl get crds -o yaml > crds.yaml` on a cluster that has it, then `hanok preflight --crds crds.yaml …`",
    open=True,
)
NOT_SERVED = Rule("HK108", "error", "an API version that the cluster does not serve", "write one that it serves")
NO_SUCH_KIND = Rule("HK109", "error", "a kind that does not exist in its group", "write the kind's own `apiVersion`")
UNREAD_RULE = Rule(
    "HK110",
    "warning",
    "a rule of the kind that cannot be evaluated",
    "try it on a cluster: `kubectl apply --dry-run=server -f FILE`",
    open=True,
)
NOT_INSTALLED = Rule("HK111", "warning", "schemas that are not installed", INSTALL, open=True)
OUTDATED = Rule("HK112", "warning", "an API version that is outdated", "write the newer one")
UNREAD_FILE = Rule(
    "HK113", "warning", "custom schemas that cannot be read", "mend the file, or name another", open=True
)
OFF_BY_DEFAULT = Rule(
    "HK114",
    "warning",
    "an API version that clusters do not serve by default",
    "use a stable version, or switch this one on by `--runtime-config` and its feature gates",
)
_OF_SORT: Mapping[Sort, Rule] = {
    "unknown": UNKNOWN_FIELD,
    "missing": MISSING_FIELD,
    "type": WRONG_TYPE,
    "value": WRONG_VALUE,
    "rule": BROKEN_RULE,
    "twice": TWICE,
    "unread": UNREAD_RULE,
}
Key = tuple[str, str, str]
"""Group, version and kind."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Known:
    """The schemas that a case knows."""

    case: Case
    sound: set[str] = field(default_factory=set[str])

    @cached_property
    def declared(self) -> DeclaredSchemas:
        return DeclaredSchemas(cluster=self.case.cluster)

    @cached_property
    def _schemas(self) -> dict[Key, KindSchema | None]:
        return {}

    def find(self, manifest: Manifest) -> KindSchema | None:
        """The schema of an object's kind."""
        key = (manifest.group, manifest.version, manifest.kind)
        if key not in self._schemas:
            custom = self.custom(manifest.kind)
            own = next((each for each in custom if (each.group, each.version) == key[:2]), None)
            builtins = self.case.facts.builtins
            self._schemas[key] = own or (builtins.find(*key) if builtins is not None else None)
        return self._schemas[key]

    def has_custom(self) -> bool:
        """Whether the schema of any custom kind was used."""
        return any(schema is not None and schema.shape.definitions is None for schema in self._schemas.values())

    def custom(self, kind: str) -> list[KindSchema]:
        """The custom schemas of a kind, those among the manifests first."""
        return [*self.declared.of(kind), *self.case.facts.custom.of(kind)]

    def builtin(self, kind: str) -> Sequence[KindSchema]:
        builtins = self.case.facts.builtins
        return builtins.of(kind) if builtins is not None else ()

    def is_builtin_group(self, group: str) -> bool:
        builtins = self.case.facts.builtins
        return builtins is not None and builtins.has_group(group)

    @cached_property
    def ask(self) -> Ask | None:
        """How rules in CEL are asked; None where their library is not installed."""
        try:
            from hanok.preflight.schema.expressions import Rules  # optional, and only needed for custom kinds
        except ImportError:
            return None
        return Rules().ask


def check_kinds(case: Case) -> Iterator[Finding]:
    """Every object against its schema; every kind that has none."""
    known = _Known(case=case)
    unknown: dict[Key, list[Manifest]] = {}
    for manifest in case.cluster.manifests:
        if manifest.group == helmfiles.GROUP:
            continue
        schema = known.find(manifest)
        if schema is not None:
            yield from _faults(manifest, schema, known)
            yield from _references(manifest, schema)
            yield from _age(manifest, schema)
        elif not (yield from _explained(manifest, known)):
            unknown.setdefault((manifest.group, manifest.version, manifest.kind), []).append(manifest)
    yield from _unknown(unknown, known)
    yield from _not_read(known)


def _faults(manifest: Manifest, schema: KindSchema, known: _Known) -> Iterator[Finding]:
    builtins = known.case.facts.builtins
    ask = known.ask if schema.shape.definitions is None else None
    definitions = builtins.definitions if builtins else None
    found = look(schema.shape, manifest.body, definitions=definitions, ask=ask, sound=known.sound)
    for fault in found:
        yield _finding(manifest, fault)


def _finding(manifest: Manifest, fault: Fault) -> Finding:
    return _OF_SORT[fault.sort].on(manifest, *fault.path, message=fault.message, hint=fault.hint)


def _references(manifest: Manifest, schema: KindSchema) -> Iterator[Finding]:
    """Parts of a custom schema that stand elsewhere: no API server takes them, and nothing is held to them."""
    if schema.shape.definitions is None and any(path[-1:] == ("$ref",) for path, _ in walk(schema.shape.schema)):
        message = f"the schema of {schema.kind} refers to others by `$ref`: what they say is not asked"
        yield UNREAD_RULE.on(manifest, "kind", message=message, hint="take the schema as the API server has it")


def _age(manifest: Manifest, schema: KindSchema) -> Iterator[Finding]:
    """What there is to say of a version that has a schema."""
    told = f"{manifest.api_version} {manifest.kind}"
    if not schema.served:
        yield NOT_SERVED.on(manifest, "apiVersion", message=f"{told}: its definition says `served: false`")
    elif schema.deprecated:
        yield OUTDATED.on(manifest, "apiVersion", message=f"{told}: {schema.deprecated}")
    elif (move := _move(manifest)) and text_at(move, "state") != "gone":
        yield _outdated(manifest, move)
    elif schema.shape.definitions is not None and _is_off(schema):
        yield OFF_BY_DEFAULT.on(manifest, "apiVersion", message=f"{told} is off unless it is switched on")


def _is_off(schema: KindSchema) -> bool:
    """Whether an API is served only where it is asked for: alphas, and betas that came after Kubernetes 1.23."""
    older = schema.group in _OLDER_BETAS or schema.kind == "CSIStorageCapacity"
    return "alpha" in schema.version or ("beta" in schema.version and not older)


_OLDER_BETAS = ("flowcontrol.apiserver.k8s.io", "autoscaling", "batch", "policy")
"""Groups whose betas came before, and are on. Source: KEP-3136, "Beta APIs Are Off by Default"."""


def _explained(manifest: Manifest, known: _Known) -> Generator[Finding, None, bool]:
    """Why a kind has no schema, where that is known; gives back whether nothing more need be said."""
    move = _move(manifest)
    if move is not None:
        yield _gone(manifest, move) if text_at(move, "state") == "gone" else _outdated(manifest, move)
        return text_at(move, "state") == "gone"
    versions = [each.version for each in known.custom(manifest.kind) if each.group == manifest.group and each.served]
    if versions:
        told = f"{manifest.group} has {manifest.kind} as {' and '.join(versions)}, not as {manifest.version}"
        hint = f"write `apiVersion: {manifest.group}/{versions[0]}`, and look at what has changed"
        yield NOT_SERVED.on(manifest, "apiVersion", message=told, hint=hint)
        return True
    if known.is_builtin_group(manifest.group):
        yield _not_builtin(manifest, known)
        return True
    return False


def _not_builtin(manifest: Manifest, known: _Known) -> Finding:
    """A built-in group that has no such kind in this version of Kubernetes."""
    told = f"{manifest.api_version} {manifest.kind}"
    builtins = known.case.facts.builtins
    served = builtins.served_by(manifest.group, manifest.version, manifest.kind) if builtins else ()
    now = [each.api_version for each in known.builtin(manifest.kind)]
    hint = f"write `apiVersion: {_best(now)}`" if now else None
    if served:
        span = served[0] if len(served) == 1 else f"{served[0]} to {served[-1]}"
        message = f"{told} is not served by Kubernetes {known.case.facts.kubernetes}, but by {span}"
        return NOT_SERVED.on(manifest, "apiVersion", message=message, hint=hint)
    if now:
        message = f"there is no {told}: {manifest.kind} is {' or '.join(now)}"
        return NO_SUCH_KIND.on(manifest, "apiVersion", message=message, hint=hint)
    near = next(iter(get_close_matches(manifest.kind, _KINDS, n=1)), None)
    hint = f"`{near}` is meant, perhaps" if near else None
    return NO_SUCH_KIND.on(manifest, "kind", message=f"Kubernetes has no {told}", hint=hint)


_KINDS = (
    "ConfigMap", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "Namespace",
    "NetworkPolicy", "PersistentVolume", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "ReplicaSet",
    "ResourceQuota", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount", "StatefulSet", "StorageClass",
)  # fmt: skip
"""What a misspelt kind is likely to be meant as."""


def _best(versions: Sequence[str]) -> str:
    """The stable one, else the first."""
    stable = [each for each in versions if "alpha" not in each and "beta" not in each]
    return max(stable, default=versions[0])


def _move(manifest: Manifest) -> Body | None:
    """What became of a kind, by the table of moves."""
    for each in load_moves().get(manifest.group, ()):
        version = text_at(each, "was").rpartition("/")[2]
        if version in ("*", manifest.version) and each.get("kind") in ("*", manifest.kind):
            return each
    return None


def _gone(manifest: Manifest, move: Body) -> Finding:
    told = f"{manifest.api_version} {manifest.kind}"
    now, note = text_at(move, "now"), text_at(move, "note")
    rule = NOT_SERVED if now else NO_SUCH_KIND
    instead = f": it is {now}" if now else ""
    message = f"{told} is not served{instead} ({note})"
    return rule.on(manifest, "apiVersion", message=message, hint=_write(now))


def _outdated(manifest: Manifest, move: Body) -> Finding:
    told = f"{manifest.api_version} {manifest.kind}"
    now = text_at(move, "now")
    message = f"{told} is outdated: {now} takes its place ({text_at(move, 'note')})"
    return OUTDATED.on(manifest, "apiVersion", message=message, hint=_write(now))


def _write(now: str) -> str | None:
    version, _, kind = now.partition(" ")
    if not now:
        return "take it out"
    return (
        f"write `apiVersion: {version}`" + (f" and `kind: {kind}`" if kind else "") + ", and look at what has changed"
    )


def _unknown(unknown: Mapping[Key, Sequence[Manifest]], known: _Known) -> Iterator[Finding]:
    if known.case.facts.builtins is None and known.case.cluster.manifests:
        message = "objects of Kubernetes' own kinds are not held to their schemas"
        yield NOT_INSTALLED.at("", 0, message)
    for (group, _, kind), manifests in unknown.items():
        if known.case.facts.builtins is None and _may_be_builtin(group):
            continue
        first = manifests[0]
        others = {each.api_version: None for each in (*known.custom(kind), *known.builtin(kind))}
        known_as = f"; {kind} is known as {', '.join(others)}" if others else ""
        message = f"no schema of `{first.api_version} {kind}`; objects here: {len(manifests)}{known_as}"
        yield NO_SCHEMA.on(first, "kind", message=message)


def _may_be_builtin(group: str) -> bool:
    return "." not in group or group.endswith(".k8s.io")


def _not_read(known: _Known) -> Iterator[Finding]:
    for file, message in dict.fromkeys(known.case.facts.custom.problems()):
        yield UNREAD_FILE.at(file, 0, message)
    if known.has_custom() and known.ask is None:
        message = "rules of custom kinds in CEL are not asked"
        yield NOT_INSTALLED.at("", 0, message)


CHECKS = (check_kinds,)
