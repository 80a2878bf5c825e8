"""The step after: it comes up, callers find it, and a first key gets an answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatch

from hanok.kubernetes.components.entry import TLS_SECRET, host_of
from hanok.kubernetes.components.prometheus import GRAFANA_PASSWORD
from hanok.kubernetes.guide.page import Page, listed, quoted, sh
from hanok.kubernetes.guide.secrets import put
from hanok.kubernetes.notes import After, Value
from hanok.kubernetes.places import ENTRY, ENTRY_GATEWAY, GATEWAY_PORT, HANOK, MODELS, OBSERVABILITY, PROMETHEUS_RELEASE

_WATCH = {
    "flux": ("flux get kustomizations", "flux get helmreleases --all-namespaces"),
    "argocd": ("kubectl get applications -n argocd",),
    "flat": ("helm list --all-namespaces",),
}
_EXEC = f"kubectl exec -n {HANOK} hanok-0 -- hanok"


def steps(page: Page) -> Iterator[str]:
    """Pods, the name, the certificate, a key and a call."""
    yield from _pods(page)
    if page.balanced:
        yield from _name(page)
    yield from _first(page)
    if later := [each for each in page.told(Value) if each.later]:
        yield "Others' keys can only be made now; pods that wait for them start when they are in the store:\n"
        yield sh(*(line for each in later for line in _later(page, each)))
    yield from _boards(page)
    if after := page.of(After):
        yield listed(after)


def _pods(page: Page) -> Iterator[str]:
    takes = "Models take as long as their machines and weights do: ten minutes and more. " if page.plan.engines else ""
    yield f"{takes}At the end no pod is left that does not run:\n"
    lines = [
        *_WATCH[page.form],
        f"kubectl wait --for=create statefulset/hanok -n {HANOK} --timeout=60m",
        f"kubectl rollout status statefulset/hanok -n {HANOK} --timeout=30m",
        *_engines(page),
        "kubectl get pods --all-namespaces --field-selector=status.phase!=Running,status.phase!=Succeeded",
    ]
    yield sh(*lines)
    yield (
        "What does not come up says why in its events: "
        "`kubectl get events --all-namespaces --field-selector=type=Warning`. "
        "What is missing in the secret store shows in `kubectl get externalsecrets --all-namespaces`.\n"
    )


def _engines(page: Page) -> Iterator[str]:
    kinds = [(each.body["kind"], each.body["metadata"]) for each in page.objects]
    if names := [at["name"] for kind, at in kinds if kind == "StatefulSet" and at.get("namespace") == MODELS]:
        yield f"for each in {' '.join(names)}; do"
        yield f'  kubectl wait --for=create statefulset/"$each" -n {MODELS} --timeout=60m'
        yield f'  kubectl rollout status statefulset/"$each" -n {MODELS} --timeout=60m'
        yield "done"


# --- The name ---------------------------------------------------------------------------------------------------------


def _name(page: Page) -> Iterator[str]:
    plan, host = page.plan, host_of(page.plan)
    entry = plan.cluster.entry
    found = f"ADDRESS=$(kubectl get gateway {ENTRY_GATEWAY} -n {ENTRY} -o jsonpath='{{.status.addresses[0].value}}')"
    if host is None:
        yield "The load balancer's address is what callers use; `gateway.url` would give it a name:\n"
        yield sh(found, 'echo "$ADDRESS"')
        return
    if plan.on_aws and entry.acme and entry.acme.zone:
        yield f"The name `{host}` leads to the load balancer:\n"
        yield sh(found, *_record(entry.acme.zone, host))
    else:
        kind = "a CNAME" if plan.on_aws else "an A"
        yield f"Let the name `{host}` lead to the load balancer, by {kind} record in your DNS:\n"
        yield sh(found, 'echo "$ADDRESS"')
    if entry.signer:
        yield from _certificate(page)


def _record(zone: str, host: str) -> Iterator[str]:
    record = {"Name": host, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": "'\"$ADDRESS\"'"}]}
    change = json.dumps({"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]})
    yield f"aws route53 change-resource-record-sets --hosted-zone-id {zone} \\"
    yield f"  --change-batch '{change.replace(chr(92) + chr(34), chr(34))}'"


def _certificate(page: Page) -> Iterator[str]:
    entry = page.plan.cluster.entry
    if entry.issuer and not entry.acme:
        yield (
            f"The ClusterIssuer `{entry.issuer}` signs. Where the cluster has none of that name, this makes one of an "
            "authority's own certificate and key; any other kind will do:\n"
        )
        yield sh(
            "kubectl create secret tls authority -n cert-manager --cert=ca.crt --key=ca.key",
            "kubectl apply -f - <<'YAML'",
            "apiVersion: cert-manager.io/v1",
            "kind: ClusterIssuer",
            f"metadata: {{name: {entry.issuer}}}",
            "spec: {ca: {secretName: authority}}",
            "YAML",
        )
    yield "The certificate comes within minutes; why not, says the second:\n"
    yield sh(
        f"kubectl wait certificate/{TLS_SECRET} -n {ENTRY} --for=condition=Ready --timeout=10m",
        f"kubectl get certificaterequests,orders,challenges -n {ENTRY}",
    )


# --- The first call ---------------------------------------------------------------------------------------------------


def _first(page: Page) -> Iterator[str]:
    plan, gateway = page.plan, page.plan.platform.gateway
    team = f" --team {quoted(plan.platform.teams[0].name)}" if plan.platform.teams else ""
    yield "A key, and an answer:\n"
    lines = [f"KEY=$({_EXEC} keys create first{team} --json | jq -r .secret)"]
    outside = plan.cluster.entry.expose == "public" and gateway.url
    url = gateway.url.rstrip("/") if outside and gateway.url else f"http://localhost:{GATEWAY_PORT}"
    if not outside:
        lines += [f"kubectl port-forward -n {HANOK} svc/hanok {GATEWAY_PORT} & sleep 2"]
    auth = '-H "Authorization: Bearer $KEY"'
    lines.append(f"curl -sS {url}/v1/models {auth}")
    if model := _model(page):
        said = json.dumps({"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}]})
        lines.append(f"curl -sS {url}/v1/chat/completions {auth} -H 'Content-Type: application/json' \\")
        lines.append(f"  -d {quoted(said)}")
    yield sh(*lines)
    if not outside and gateway.url and page.balanced:
        yield f"From inside of the network the same at {gateway.url}.\n"
    yield from _admin(page)


def _model(page: Page) -> str | None:
    """One that chats and that the first team may ask."""
    teams = page.plan.platform.teams
    allowed = teams[0].models if teams else None
    for each in page.plan.platform.models:
        if each.type == "chat" and (allowed is None or any(fnmatch(each.name, one) for one in allowed)):
            return each.name
    return None


def _admin(page: Page) -> Iterator[str]:
    known = [each for each in page.plan.variables if each.place[:2] == ("gateway", "admin_key")]
    if not known:
        return
    name = f"{page.plan.secret_prefix}{known[0].name}"
    yield (
        f"The admin key is what stands in the store as `{known[0].name}`; it opens `/admin` "
        f"(`POST /admin/keys` makes keys, too):\n"
    )
    yield sh(_fetched(page, name))


def _fetched(page: Page, name: str) -> str:
    """How a value is read from where it stands; in the cluster it is always in Hanok's own Secret."""
    match page.plan.secret_store:
        case "aws-secrets-manager":
            return f"aws secretsmanager get-secret-value --secret-id {quoted(name)} --query SecretString --output text"
        case "aws-parameter-store":
            return (
                f"aws ssm get-parameter --with-decryption --name {quoted(name)} --query Parameter.Value --output text"
            )
        case _:
            key = name.removeprefix(page.plan.secret_prefix)
            return f"kubectl get secret hanok-variables -n {HANOK} -o jsonpath='{{.data.{key}}}' | base64 -d"


def _later(page: Page, value: Value) -> Iterator[str]:
    yield f"KEY=$({_EXEC} keys create {value.later} --json | jq -r .secret)"
    yield from put(page, value, "$KEY")


def _boards(page: Page) -> Iterator[str]:
    if not page.plan.cluster.observe.prometheus:
        return
    service = f"svc/{PROMETHEUS_RELEASE}-grafana"
    yield f"Grafana, with the user and the password of the store (`{GRAFANA_PASSWORD}`), at http://localhost:3000:\n"
    yield sh(f"kubectl port-forward -n {OBSERVABILITY} {service} 3000:80")
