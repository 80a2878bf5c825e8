"""Who gets spans in the cluster: what the platform file declares, and what the cluster has of its own. Pure.

Hanok's pods send spans to the collector alone, which hands them on; so keys of receivers are the collector's secrets.
A header is a text of External Secrets' template: what is secret in it is filled in the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from hanok.errors import Problem
from hanok.kubernetes.engines import HERE
from hanok.kubernetes.filled import expression, fetched, template
from hanok.kubernetes.objects import label
from hanok.kubernetes.places import LANGFUSE, MLFLOW
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.nodes import Place
from hanok.spec.tree import Export

PATHS = {
    "otlp": "/v1/traces",
    "langfuse": "/api/public/otel/v1/traces",
    "langsmith": "/otel/v1/traces",
    "mlflow": "/v1/traces",
}
"""As docs/telemetry.md has them; a test holds both together."""
PUBLIC_KEY, SECRET_KEY = "${env:LANGFUSE_PUBLIC_KEY}", "${env:LANGFUSE_SECRET_KEY}"
"""Of the cluster's own Langfuse, where the file declares no export to it."""

_OURS = [urlsplit(each).hostname for each in (LANGFUSE, MLFLOW)]


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """`url` and `headers` are templates; `needs` are the variables in them that come from the store.

    `plain` are headers that are no secrets.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    plain: Mapping[str, str]
    needs: tuple[str, ...]


def receivers(plan: ClusterPlan) -> list[Receiver]:
    """Every receiver, each with a name of its own. Nothing where nothing is declared and the cluster has none."""
    found: list[Receiver] = []
    for index, export in enumerate(plan.platform.telemetry.export):
        found.append(_declared(plan, index, export, [each.name for each in found]))
    if plan.cluster.observe.langfuse and not _replaced(plan, "langfuse"):
        found.append(_langfuse(plan, "cluster-langfuse", LANGFUSE, PUBLIC_KEY, SECRET_KEY))
    if plan.cluster.observe.mlflow and not _replaced(plan, "mlflow"):
        found.append(_receiver(plan, "cluster-mlflow", MLFLOW + PATHS["mlflow"], {}, {"x-mlflow-experiment-id": "0"}))
    return found


def made_up(key: str) -> str:
    """How a shell makes up a key of the cluster's own Langfuse, which takes any; nothing for others' keys."""
    forms = {PUBLIC_KEY: "pk-lf-$(openssl rand -hex 16)", SECRET_KEY: "sk-lf-$(openssl rand -hex 16)"}
    return forms.get(key, "")


def langfuse_keys(plan: ClusterPlan) -> tuple[str, str]:
    """Texts of the public and the secret key of the cluster's own Langfuse."""
    for index, export in enumerate(plan.platform.telemetry.export):
        if stands_here(plan, index, export):
            place: Place = ("telemetry", "export", index)
            return _text(plan, (*place, "public_key")) or PUBLIC_KEY, _text(plan, (*place, "secret_key")) or SECRET_KEY
    return PUBLIC_KEY, SECRET_KEY


def stands_here(plan: ClusterPlan, index: int, export: Export) -> bool:
    """Whether an export means what the cluster has of its own: its address is one machine's, or the cluster's."""
    own = {"langfuse": plan.cluster.observe.langfuse, "mlflow": plan.cluster.observe.mlflow}.get(export.to, False)
    return own and _is_local(plan, index)


def refuse_local(plan: ClusterPlan) -> Iterator[Problem]:
    """Receivers on the machine where the file is run, of which the cluster has none."""
    for index, export in enumerate(plan.platform.telemetry.export):
        if _is_local(plan, index) and not stands_here(plan, index, export):
            place = ("telemetry", "export", index, "url")
            what = f"`cluster.observe.{export.to}: true`, or " if export.to in ("langfuse", "mlflow") else ""
            hint = f"set {what}`url` to `${{env:NAME}}`, and the cluster's address in `cluster.hanok.variables`"
            yield plan.written.problem(place, "spans would be sent to an address of one machine", hint)


def _replaced(plan: ClusterPlan, to: str) -> bool:
    exports = enumerate(plan.platform.telemetry.export)
    return any(each.to == to and stands_here(plan, index, each) for index, each in exports)


def _is_local(plan: ClusterPlan, index: int) -> bool:
    url = template(plan, _text(plan, ("telemetry", "export", index, "url")))
    return "{{" not in url and urlsplit(url).hostname in (*HERE, *_OURS)


def _text(plan: ClusterPlan, place: Place) -> str:
    return str(plan.written.at(place) or "")


# --- One receiver -----------------------------------------------------------------------------------------------------


def _declared(plan: ClusterPlan, index: int, export: Export, taken: list[str]) -> Receiver:
    place: Place = ("telemetry", "export", index)
    name = export.to if export.to not in taken else label(f"{export.to}-{index + 1}")
    here = stands_here(plan, index, export)
    url = {"langfuse": LANGFUSE, "mlflow": MLFLOW}[export.to] if here else _text(plan, (*place, "url"))
    secrets = {header.lower(): _text(plan, (*place, "headers", header)) for header in export.headers}
    project = _text(plan, (*place, "project"))
    plain: dict[str, str] = {}
    match export.to:
        case "langfuse":
            keys = (_text(plan, (*place, "public_key")), _text(plan, (*place, "secret_key")))
            return _langfuse(plan, name, url, *keys, secrets)
        case "langsmith":
            secrets = {"x-api-key": _text(plan, (*place, "secret_key")), **secrets}
            plain = {"langsmith-project": project} if project else {}
        case "mlflow":
            plain = {"x-mlflow-experiment-id": project or "0"}
        case "otlp":
            pass
    return _receiver(plan, name, _with_path(url, PATHS[export.to]), secrets, plain)


def _langfuse(
    plan: ClusterPlan, name: str, url: str, public: str, secret: str, more: Mapping[str, str] | None = None
) -> Receiver:
    """Basic authentication; version 4 of its ingestion shows spans at once."""
    found = _receiver(plan, name, _with_path(url, PATHS["langfuse"]), more or {}, {"x-langfuse-ingestion-version": "4"})
    pair = f"Basic {{{{ {expression(plan, f'{public}:{secret}')} | b64enc }}}}"
    needs = dict.fromkeys([*fetched(plan, public), *fetched(plan, secret), *found.needs])
    return Receiver(
        name=name, url=found.url, plain=found.plain, headers={"authorization": pair, **found.headers},
        needs=tuple(needs),
    )  # fmt: skip


def _receiver(plan: ClusterPlan, name: str, url: str, secrets: Mapping[str, str], plain: Mapping[str, str]) -> Receiver:
    needs = dict.fromkeys(each for text in (url, *secrets.values(), *plain.values()) for each in fetched(plan, text))
    both = {**plain, **secrets}
    filled = {key: template(plan, text) for key, text in both.items()}
    hidden = {key for key, text in both.items() if fetched(plan, text)}
    return Receiver(
        name=name,
        url=template(plan, url),
        headers={key: text for key, text in filled.items() if key in hidden},
        plain={key: text for key, text in filled.items() if key not in hidden},
        needs=tuple(needs),
    )


def _with_path(url: str, path: str) -> str:
    """The path, as far as the address does not end with it already; as where spans are sent from one machine."""
    url, steps = url.rstrip("/"), path.split("/")[1:]
    done = (count for count in range(len(steps), 0, -1) if url.endswith("/" + "/".join(steps[:count])))
    return "/".join([url, *steps[next(done, 0) :]])
