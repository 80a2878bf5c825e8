"""cert-manager: certificates of the entry, where an issuer is named, and of operators that the API server calls.

The issuer is the organisation's own, or one for an ACME authority that is rendered. How the name is proved to that:
by a record in Route 53, or over port 80 of the entry's own Gateway.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.notes import Grant, Step, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import ENTRY, ENTRY_GATEWAY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.roles import ROLE, asked, role_of
from hanok.spec.tree.cluster import Acme

NAME = "cert-manager"
_RECORDS = ("ForAllValues:StringEquals", "route53:ChangeResourceRecordSetsRecordTypes", "TXT")


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator; and the issuer, where its authority is told."""
    twice: Body = {"replicaCount": 2, "podDisruptionBudget": {"enabled": True}}
    values: Body = {**twice, "crds": {"enabled": True}, "webhook": dict(twice), "cainjector": dict(twice)}
    if plan.cluster.entry.signer:
        kind = {"apiVersion": "controller.config.cert-manager.io/v1alpha1", "kind": "ControllerConfiguration"}
        values["config"] = {**kind, "enableGatewayAPI": True}
    acme = plan.cluster.entry.acme
    role = role_of(plan, NAME)
    if acme and acme.zone and role:
        values["serviceAccount"] = {"annotations": {ROLE: role}}
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=values)
    if acme:
        yield Placed(stage="configs", folder=NAME, body=_issuer(plan, acme))


def _issuer(plan: ClusterPlan, acme: Acme) -> Body:
    name = plan.cluster.entry.signer or NAME
    told = {
        "email": acme.email,
        "server": acme.server,
        "privateKeySecretRef": {"name": f"{name}-account"},
        "solvers": [_by_record(plan, acme.zone) if acme.zone else _by_port()],
    }
    return thing("cert-manager.io/v1", "ClusterIssuer", name, labels=labels(name, NAME), spec={"acme": told})


def _by_record(plan: ClusterPlan, zone: str) -> Body:
    return {"dns01": {"route53": given(region=plan.cluster.region, hostedZoneID=zone)}}


def _by_port() -> Body:
    gateway = {"name": ENTRY_GATEWAY, "namespace": ENTRY, "kind": "Gateway", "sectionName": "http"}
    return {"http01": {"gatewayHTTPRoute": {"parentRefs": [gateway]}}}


def is_wanted(plan: ClusterPlan) -> bool:
    """By the entry; by the collector's operator and by ClickHouse's, whose webhooks need certificates."""
    watched = plan.cluster.observe
    return bool(plan.cluster.entry.signer) or watched.collector or watched.langfuse


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Names that nobody could prove."""
    entry, place = plan.cluster.entry, ("cluster", "entry", "acme")
    if entry.acme is None or entry.expose == "none":
        return
    if entry.acme.zone and not plan.on_aws:
        message = "records in Route 53 are written by an IAM role, which pods have on EKS only"
        yield plan.written.problem((*place, "zone"), message, "name an `issuer` of your own, or leave `zone` out")
    if entry.acme.zone is None and entry.expose == "internal":
        message = "no authority can reach an internal load balancer to see whose name it is"
        hint = "name the Route 53 `zone` of the name" if plan.on_aws else "name an `issuer` of your own"
        yield plan.written.problem(place, message, f"{hint}, or say `expose: public`")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """The issuer that is not rendered, or the rights of the one that is."""
    entry = plan.cluster.entry
    if entry.acme and entry.acme.zone:
        why = f"write the records that prove {plan.platform.gateway.url} to the authority"
        yield asked(plan, NAME, f"{NAME}/{NAME}", why, _grants(entry.acme.zone))
    elif entry.issuer and not entry.acme:
        message = f"make the ClusterIssuer `{entry.issuer}` once cert-manager runs, or have one rendered: `entry.acme`"
        yield Step(message=message, shown=f"ClusterIssuer `{entry.issuer}` signs")


def _grants(zone: str) -> tuple[Grant, ...]:
    """As cert-manager's documentation has them, for one zone."""
    verbs = ("route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets")
    return (
        Grant(actions=("route53:GetChange",), resources=("arn:aws:route53:::change/*",)),
        Grant(actions=verbs, resources=(f"arn:aws:route53:::hostedzone/{zone}",), only=_RECORDS),
    )


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1": render}, refuse=refuse, notes=notes)
