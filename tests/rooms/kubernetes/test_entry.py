"""Where callers come in: the Gateway, and who signs its certificate."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.kubernetes.notes import Grant, Role
from hanok.spec import Target
from tests.rooms.kubernetes.rendering import Made, faults, made

PLATFORM = """\
name: acme
gateway: {url: "https://ai.acme.example"}
models: [{name: m, serve: {engine: echo}}]
cluster: {region: eu-west-1, account: "123456789012", entry: ENTRY}
"""
ZONE = "{acme: {email: a@acme.example, zone: Z0ABC}}"
OPEN = "{expose: public, issuer: signer, acme: {email: a@acme.example}}"


def tree(entry: str, target: Target = "eks") -> Made:
    return made(PLATFORM.replace("ENTRY", entry), target=target)


def test_the_issuer_of_an_authority_is_rendered_and_proves_the_name_by_a_record(tmp_path: Path) -> None:
    there = tree(ZONE)
    issuer = there.one("ClusterIssuer", "acme")
    [solver] = issuer["spec"]["acme"]["solvers"]
    assert solver == {"dns01": {"route53": {"region": "eu-west-1", "hostedZoneID": "Z0ABC"}}}
    gateway = there.one("Gateway", "hanok")
    assert gateway["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "acme"}
    assert [each["port"] for each in gateway["spec"]["listeners"]] == [443]
    assert faults(there, tmp_path) == []


def test_it_may_write_records_that_prove_and_no_others() -> None:
    [role] = [
        each.told for each in tree(ZONE).rendered.notes if isinstance(each.told, Role) and "cert" in each.told.name
    ]
    assert role.accounts == ("cert-manager/cert-manager",)
    [zone] = [each for each in role.grants if any("Change" in name for name in each.actions) and each.only]
    assert zone.resources == ("arn:aws:route53:::hostedzone/Z0ABC",)
    assert zone.form()["Condition"] == {
        "ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": ["TXT"]}
    }
    values = tree(ZONE).one("HelmRelease", "cert-manager")["spec"]["values"]
    assert list(values["serviceAccount"]["annotations"].values()) == [f"arn:aws:iam::123456789012:role/{role.name}"]
    assert "Condition" not in Grant(actions=("a",), resources=("b",)).form()


@pytest.mark.parametrize("target", ["eks", "kubernetes"])
def test_without_a_zone_the_name_is_proved_over_port_80_to_which_no_other_route_comes(target: Target) -> None:
    there = tree(OPEN, target)
    listeners = there.one("Gateway", "hanok")["spec"]["listeners"]
    assert [(each["name"], each["port"]) for each in listeners] == [("https", 443), ("http", 80)]
    assert listeners[1]["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    [solver] = there.one("ClusterIssuer", "signer")["spec"]["acme"]["solvers"]
    [parent] = solver["http01"]["gatewayHTTPRoute"]["parentRefs"]
    assert (parent["namespace"], parent["name"], parent["sectionName"]) == ("entry", "hanok", "http")


def test_an_issuer_of_ones_own_is_asked_for_after_cert_manager_has_come_with_the_tree() -> None:
    there = tree("{issuer: company}")
    assert not there.all("ClusterIssuer")
    page = there.files["APPLY.md"]
    assert "metadata: {name: company}" in page.partition("See that it runs")[2]
    assert "company" not in page.partition("See that it runs")[0]
