"""Who pastes `APPLY.md` from top to bottom ends with a cluster: each command is whole, and comes when it can work."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.kubernetes import Format
from hanok.kubernetes.load import shipped
from hanok.kubernetes.notes import Role, Value
from hanok.spec import Target
from tests.rooms.kubernetes.pasting import Call, blocks, pasted
from tests.rooms.kubernetes.rendering import Made, made

PLATFORM = """\
name: acme
gateway: {url: "https://ai.acme.example", admin_key: "${env:ADMIN_KEY}"}
models:
  - name: chat
    serve: {engine: echo}
    deploy: {weights: Qwen/Qwen3-8B, gpu: [l40s]}
    scale: {min: 1, max: 2}
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
  - {name: cloud, serve: {engine: openai, url: "https://api.example/v1", key: "${env:OPENAI_API_KEY}"}}
knowledge: [{name: docs, sources: {uri: "s3://acme-documents/docs/"}}]
agents: [{name: clerk, model: cloud, system_prompt: Help.}]
teams: [{name: search, models: [cloud, chat]}]
cluster:
  name: acme
  region: eu-west-1
  repository: {url: "URL", path: deploy}
MORE
"""
KNOWN = """\
  account: "123456789012"
  hanok: {image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own/hanok:7"}
  entry: {acme: {email: a@acme.example, zone: Z0ABC}}
  postgres: {backup_bucket: acme-backups}
  milvus: {bucket: acme-vectors}
  nodes: {spot: true}
  observe: {langfuse: true}
  kagent: {enabled: true}
"""
PLAIN = "  entry: {issuer: company}\n  serving: {litellm: true}\n"
HTTPS, SSH = "https://git.acme.example/acme/platform.git", "git@github.com:acme/platform.git"


@cache
def tree(target: Target = "eks", form: Format = "flux", more: str = KNOWN, url: str = HTTPS) -> Made:
    text = PLATFORM.replace("MORE", more).replace("URL", url)
    if target == "kubernetes":
        text = text.replace('uri: "s3://acme-documents/docs/"', "path: ./docs")
    return made(text, target=target, form=form)


@pytest.fixture(scope="module")
def eks(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    return pasted(tree(), tmp_path_factory.mktemp("eks"))


def first(calls: Sequence[Call], words: str) -> int:
    """The place of the first call with these words."""
    return next(index for index, each in enumerate(calls) if words in each.said)


def saying(calls: Sequence[Call], words: str) -> list[Call]:
    return [each for each in calls if words in each.said]


def in_order(calls: Sequence[Call], *said: str) -> bool:
    places = [first(calls, each) for each in said]
    return places == sorted(places)


# --- AWS' own models of its calls -------------------------------------------------------------------------------------

OF_THE_CLI = {
    ("s3", "mb"), ("s3", "rb"), ("eks", "update-kubeconfig"), ("cloudformation", "deploy"),
    ("ecr", "get-login-password"),
}  # fmt: skip
"""Commands that are no call of the API."""
EVERYWHERE = {"region", "output", "query"}


@cache
def models() -> Any:
    return pytest.importorskip("botocore.session").get_session()


def wrong_of(call: Call) -> list[str]:
    """What AWS' own model of the call does not know, or misses."""
    if call.tool != "aws" or tuple(call.args[:2]) in OF_THE_CLI:
        return []
    xform = pytest.importorskip("botocore").xform_name
    service, command = call.args[:2]
    model = models().get_service_model(service)
    operations = {xform(each, "-"): each for each in model.operation_names}
    if command not in operations:
        return [f"{service} has no {command}"]
    shape = model.operation_model(operations[command]).input_shape
    known = {xform(each, "-") for each in shape.members} if shape else set[str]()
    needed = {xform(each, "-") for each in shape.required_members} if shape else set[str]()
    given = {each.removeprefix("--").partition("=")[0] for each in call.args[2:] if each.startswith("--")}
    unknown = {each for each in given - EVERYWHERE if each not in known and each.removeprefix("no-") not in known}
    return [f"{call.said}: {each}" for each in sorted(unknown | (needed - given))]


def test_each_call_of_aws_is_one_that_it_has_with_all_that_it_needs(eks: list[Call]) -> None:
    assert len([each for each in eks if each.tool == "aws"]) > 40
    assert [told for each in eks for told in wrong_of(each)] == []


# --- EKS --------------------------------------------------------------------------------------------------------------


def test_what_others_need_is_made_before_them(eks: list[Call]) -> None:
    assert in_order(
        eks, "podman push", "eksctl create cluster", "cloudformation deploy", "create-access-entry", "iam create-role",
        "aws-load-balancer-controller --repo", "s3 mb s3://acme-backups", "secretsmanager create-secret",
        "hanok preflight deploy", "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api",
        "git push", "flux bootstrap", "wait --for=create statefulset/hanok", "rollout status",
        "rollout status statefulset/chat -n models", "route53 change-resource-record-sets", "wait certificate/",
        "keys create first", "curl -sS", "hanok render platform.yaml --target eks --format flux --out deploy --diff",
        "flux suspend", "delete namespace", "delete nodepools", "eksctl delete cluster", "s3 rb", "iam delete-role",
        "cloudformation delete-stack",
    )  # fmt: skip


def test_the_new_cluster_has_what_the_tree_builds_on(eks: list[Call]) -> None:
    config = yaml.safe_load(eks[first(eks, "eksctl create cluster")].given)
    assert config["metadata"] == {"name": "acme", "region": "eu-west-1", "version": "1.36"}
    assert config["iam"] == {"withOIDC": True}
    addons = {each["name"]: each.get("configurationValues") for each in config["addons"]}
    assert json.loads(addons["vpc-cni"]) == {"enableNetworkPolicy": "true"}
    assert {"eks-pod-identity-agent", "aws-ebs-csi-driver", "metrics-server"} <= addons.keys()
    assert saying(eks, "associate-iam-oidc-provider --cluster acme --approve")
    [tags] = saying(eks, "create-tags")
    assert "Key=karpenter.sh/discovery,Value=acme --resources sg-1 subnet-1 subnet-2" in tags.said


def test_karpenter_gets_its_queue_its_role_and_the_role_of_its_nodes(eks: list[Call]) -> None:
    version = shipped().pin("karpenter").version
    assert f"/v{version}/" in eks[first(eks, "karpenter-provider-aws")].said
    [stack] = saying(eks, "cloudformation deploy")
    assert stack.option("--parameter-overrides") == "ClusterName=acme"
    [entry] = saying(eks, "create-access-entry")
    role = tree().one("EC2NodeClass", "general")["spec"]["role"]
    assert entry.option("--principal-arn") == f"arn:aws:iam::123456789012:role/{role}"
    [bound] = saying(eks, "--service-account karpenter")
    assert bound.option("--namespace") == "kube-system"
    assert [each.option("--policy-arn")[-3:] for each in saying(eks, "attach-role-policy")] == ["One", "Two"]
    assert saying(eks, "create-service-linked-role --aws-service-name spot.amazonaws.com")


def test_every_role_of_the_tree_is_made_with_its_trust_and_its_rights(eks: list[Call]) -> None:
    roles = [each.told for each in tree().rendered.notes if isinstance(each.told, Role)]
    made = {each.option("--role-name"): each for each in saying(eks, "iam create-role")}
    rights = {each.option("--role-name"): each for each in saying(eks, "iam put-role-policy")}
    assert {each.name for each in roles} | {"acme-karpenter", "acme-load-balancer"} == made.keys()
    for role in roles:
        [trust] = json.loads(made[role.name].option("--assume-role-policy-document"))["Statement"]
        issuer = "oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        assert trust["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
        subjects = [f"system:serviceaccount:{each.replace('/', ':')}" for each in role.accounts]
        assert trust["Condition"]["StringEquals"] == {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subjects}
        policy = json.loads(rights[role.name].option("--policy-document"))
        assert policy["Statement"] == [each.form() for each in role.grants]


def asked_of_the_store(tree: Made) -> set[str]:
    found = [each for one in tree.all("ExternalSecret") for each in one["spec"].get("data", [])]
    return {each["remoteRef"].get("property") or each["remoteRef"]["key"] for each in found}


def test_all_that_the_tree_takes_from_the_store_is_put_there_and_a_key_of_hanoks_once_it_runs(eks: list[Call]) -> None:
    put = {each.option("--name"): each.option("--secret-string") for each in saying(eks, "create-secret --name")}
    assert put.keys() == asked_of_the_store(tree())
    assert put["production/acme/OPENAI_API_KEY"] == "typed="
    assert put["production/acme/ADMIN_KEY"] == "madeup=", "what is made up may end with a sign that parts lines"
    assert put["production/acme/HANOK_KAGENT_KEY"] == "sk-first"
    assert in_order(eks, "rollout status", "keys create kagent", "--name production/acme/HANOK_KAGENT_KEY")


def test_the_image_is_pushed_under_its_declared_name_and_pinned(eks: list[Call]) -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own/hanok:7"
    assert saying(eks, "create-repository --region eu-west-1 --repository-name own/hanok")
    assert eks[first(eks, "podman push")].args[-1] == image
    assert eks[first(eks, "podman build")].option("-t") == image


def test_flux_is_led_to_the_declared_repository(eks: list[Call]) -> None:
    [flux] = saying(eks, "flux bootstrap")
    assert {f"--url={HTTPS}", "--branch=main", "--path=deploy/clusters/production", "--token-auth"} <= set(flux.args)


def test_a_first_key_asks_a_model_that_its_team_may_ask(eks: list[Call]) -> None:
    [made] = saying(eks, "keys create first")
    assert made.args[-3:] == ["--team", "search", "--json"]
    [call] = saying(eks, "/v1/chat/completions")
    assert "Authorization: Bearer sk-first" in call.args
    assert json.loads(call.option("-d"))["model"] == "chat", "the first in the file that the team's list has"


def test_the_name_leads_to_the_load_balancer(eks: list[Call]) -> None:
    [call] = saying(eks, "change-resource-record-sets")
    [change] = json.loads(call.option("--change-batch"))["Changes"]
    assert change["ResourceRecordSet"]["Name"] == "ai.acme.example"
    assert change["ResourceRecordSet"]["ResourceRecords"] == [{"Value": "balancer.example.com"}]


def test_no_role_bucket_or_secret_is_left_that_was_made_here(eks: list[Call]) -> None:
    def named(words: str, option: str) -> set[str]:
        return {each.option(option) for each in saying(eks, words)}

    assert named("iam create-role", "--role-name") == named("iam delete-role --role", "--role-name")
    assert named("create-secret --name", "--name") == named("delete-secret", "--secret-id")
    assert {each.args[-1] for each in saying(eks, "s3 mb")} == {each.args[-2] for each in saying(eks, "s3 rb")}
    pools = {each["metadata"]["name"] for each in tree().all("NodePool")}
    assert pools <= set(eks[first(eks, "delete nodepools")].args)


# --- Other targets and formats ----------------------------------------------------------------------------------------


def test_auto_mode_has_the_nodes_role_with_its_entry_and_network_policies_enforced(tmp_path: Path) -> None:
    there = tree("eks-auto", "argocd", KNOWN, SSH)
    calls = pasted(there, tmp_path)
    config = yaml.safe_load(calls[first(calls, "eksctl create cluster")].given)
    assert config["autoModeConfig"] == {"enabled": True}
    role = there.one("NodeClass", "general")["spec"]["role"]
    assert in_order(calls, f"create-role --role-name {role}", "create-access-entry", "AmazonEKSAutoNodePolicy")
    said = yaml.safe_load(calls[first(calls, "kubectl apply -f -")].given)
    assert said["data"] == {"enable-network-policy-controller": "true"}
    assert not saying(calls, "Karpenter-")
    assert in_order(calls, "--from-file=sshPrivateKey=deploy-key", "kubectl apply -n argocd -f deploy/clusters")
    assert f"--from-literal=url={SSH}" in calls[first(calls, "platform-repository")].args


def test_where_the_account_is_not_known_roles_are_bound_and_the_image_has_a_name_in_the_account_of_who_pastes(
    tmp_path: Path,
) -> None:
    calls = pasted(tree("eks-auto", "flux", ""), tmp_path)
    bound = {each.option("--service-account") for each in saying(calls, "create-pod-identity-association")}
    assert bound == {"external-secrets", "hanok"}
    assert not saying(calls, "oidc-provider")
    image = calls[first(calls, "podman push")].args[-1]
    assert image.startswith("123456789012.dkr.ecr.eu-west-1.amazonaws.com/hanok:")


def test_machines_of_ones_own_are_looked_at_and_labelled_as_pods_want_them(tmp_path: Path) -> None:
    there = tree("kubernetes", "flat", PLAIN)
    calls = pasted(there, tmp_path)
    wanted: dict[str, Any] = there.one("StatefulSet", "chat")["spec"]["template"]["spec"]["nodeSelector"]
    [(key, value)] = wanted.items()
    assert saying(calls, f"label node  {key}={value}")
    assert saying(calls, "taint node  nvidia.com/gpu=true:NoSchedule")
    assert in_order(
        calls, "get storageclass", "metallb", "create secret generic platform", "hanok preflight deploy nodes.yaml",
        "gateway-api", "helmfile init", "kubectl apply --server-side -k deploy/1-namespaces", "stage=controllers",
        "-k deploy/6-apps", "rollout status", "keys create litellm", "helmfile --file deploy/helmfile.yaml destroy",
    )  # fmt: skip
    given = [yaml.safe_load(each.given) for each in calls if each.given.startswith("apiVersion: cert-manager.io")]
    assert [each["metadata"]["name"] for each in given] == ["company"]
    for word in ("eksctl", "aws "):
        assert not saying(calls, word)
    assert not re.search(r"delete .*--all( |$)", "\n".join(each.said for each in calls)), "others' things may be there"


def test_what_is_made_in_one_secret_is_all_that_the_tree_takes_but_for_keys_that_come_later() -> None:
    there = tree("kubernetes", "flat", PLAIN)
    later = {each.told.name for each in there.rendered.notes if isinstance(each.told, Value) and each.told.later}
    [block] = [each for each in blocks(there) if "cat > secrets.env" in each]
    assert set(re.findall(r"^([A-Z_]+)=", block, re.MULTILINE)) == asked_of_the_store(there) - later
    assert later == {"LITELLM_HANOK_KEY"}


OTHERS: dict[str, tuple[Target, Format, str, str]] = {
    "names in the Parameter Store": (
        "eks", "flat", '  secrets: {store: aws-parameter-store}\n  account: "123456789012"\n', SSH,
    ),
    "two architectures, a role of one's own, HTTP-01": (
        "eks", "argocd", "  entry: {expose: public, acme: {email: a@b.io}}\n"
        '  nodes: {general: ["m7g.*", "m7i.*"], role: Mine}\n'
        f'  hanok: {{image: "ghcr.io/acme/hanok@sha256:{64 * "a"}"}}\n', HTTPS,
    ),
    "Vault, no entry": (
        "kubernetes", "flux", '  secrets: {store: vault, url: "https://vault.acme.example"}\n'
        "  entry: {expose: none}\n  kagent: {enabled: true}\n", SSH,
    ),
    "a store that is there": ("kubernetes", "argocd", "  secrets: {store: existing, name: ours}\n", HTTPS),
    "AWS' store from elsewhere, shared weights and GPUs": (
        "kubernetes", "flat", "  secrets: {store: aws-secrets-manager}\n"
        "  serving: {weights: efs, storage_class: nfs}\n  nodes: {sharing: {mode: time-slicing, replicas: 2}}\n", HTTPS,
    ),
    "weights on EFS": ("eks-auto", "flux", "  serving: {weights: efs}\n  storage: {efs: fs-0ab}\n", SSH),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_whatever_is_declared_each_command_is_whole_and_all_that_was_told_stands_in_the_guide(
    case: str, tmp_path: Path
) -> None:
    there = tree(*OTHERS[case])
    calls = pasted(there, tmp_path)
    for each in calls:
        for name in ("--policy-document", "--assume-role-policy-document"):
            if name in each.args and not each.option(name).startswith("file://"):
                assert json.loads(each.option(name))["Statement"]
    assert [told for each in calls for told in wrong_of(each)] == []
    page = there.files["APPLY.md"]
    assert [each.message for each in there.rendered.notes if each.mark not in page] == []
    assert saying(calls, "hanok preflight deploy")
    assert in_order(calls, "podman login", "hanok preflight deploy", "rollout status", "keys create first")
