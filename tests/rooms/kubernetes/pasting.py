"""Pastes the commands of a tree's guide into a shell, where others' tools only write down what they were asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hanok.kubernetes.store import write_tree
from tests.rooms.kubernetes.rendering import Made

OTHERS = (
    "argocd", "aws", "curl", "eksctl", "flux", "git", "hanok", "helm", "helmfile", "jq", "kubectl", "openssl", "podman",
    "sleep", "ssh-keygen", "uv", "vault",
)  # fmt: skip
EDITOR = "#!/bin/sh\nsed -i 's/^\\([^=]*\\)=$/\\1=typed=/' \"$1\"\n"
"""Writes something where nothing stands."""
STUB = f"""\
#!{sys.executable} -IS
import json, os, sys
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
given = sys.stdin.read() if "-" in args or "--password-stdin" in args or name == "jq" else ""
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps([name, args, given]), file=file)
said = " ".join(args)
for words, answer in json.loads(os.environ["ANSWERS"]).items():
    if words in said:
        print(answer)
if name == "jq":
    print("sk-first")
if name == "openssl":
    print("madeup=")
"""
ANSWERS = {
    "get-caller-identity": "123456789012",
    "cluster.identity.oidc.issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
    "cluster.resourcesVpcConfig.vpcId": "vpc-1",
    "clusterSecurityGroupId": "sg-1",
    "Subnets[].SubnetId": "subnet-1\tsubnet-2",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::123456789012:policy/One\tarn:aws:iam::123456789012:policy/Two",
    "show chart": "appVersion: v2.14.1",
    "status.addresses[0]": "balancer.example.com",
    "get pods --all-namespaces": "kube-system cilium-1",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    tool: str
    args: Sequence[str]
    given: str

    @property
    def said(self) -> str:
        return " ".join((self.tool, *self.args))

    def option(self, name: str) -> str:
        return self.args[self.args.index(name) + 1]


def blocks(tree: Made) -> list[str]:
    """What can be pasted, in its order."""
    return re.findall(r"^```sh\n(.*?)^```$", tree.files["APPLY.md"], flags=re.MULTILINE | re.DOTALL)


def pasted(tree: Made, folder: Path) -> list[Call]:
    """What was asked of others' tools when all commands were pasted, from the first to the last, in one shell."""
    write_tree(tree.files, folder / "deploy")
    tools = folder / "tools"
    tools.mkdir()
    for name, text in [*((each, STUB) for each in OTHERS), ("editor", EDITOR)]:
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    for name in ("image.digest", "deploy-key", "deploy-key.pub"):  # as podman and ssh-keygen write them
        (folder / name).write_text("made")
    calls = folder / "calls"
    environment = {
        **os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls), "ANSWERS": json.dumps(ANSWERS),
        "EDITOR": "editor", "BASH_ENV": "",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-u"], input="\n".join(blocks(tree)), cwd=folder, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    assert "of another account" not in done.stdout
    assert "still empty" not in done.stdout
    found = (json.loads(line) for line in calls.read_text().splitlines())
    return [Call(tool=tool, args=args, given=given) for tool, args, given in found]
