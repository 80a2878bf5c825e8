"""`APPLY.md`: what a person must do is said once, by kind, and can be pasted."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanok.cli.app import app
from hanok.errors import SpecError
from hanok.kubernetes.notes import After, Known, Step
from tests.rooms.kubernetes.rendering import Made, made

PLATFORM = """\
name: acme
models:
  - {name: cloud, serve: {engine: litellm, model: bedrock/anthropic.claude}}
  - {name: chat, serve: {engine: echo}}
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
knowledge: [{name: docs, sources: {uri: "s3://acme-documents/docs/"}}]
cluster:
  name: acme
  region: eu-west-1
  ACCOUNT
  postgres: {backup_bucket: acme-backups}
  secrets: {store: aws-parameter-store}
  observe: {OBSERVE}
"""
KNOWN = {"ACCOUNT": 'account: "123456789012"', "OBSERVE": "langfuse: true, mlflow: true, bucket: acme-traces"}
NOT_KNOWN = {"ACCOUNT": "", "OBSERVE": "prometheus: false"}


@cache
def tree(*, account: bool = True) -> Made:
    return made(_filled(KNOWN if account else NOT_KNOWN), target="eks")


def _filled(values: Mapping[str, str]) -> str:
    text = PLATFORM
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def policies(tree: Made) -> dict[str, list[dict[str, Any]]]:
    """The statements below each role's name."""
    parts = re.split(r"^### `(.*)`$", tree.files["APPLY.md"], flags=re.MULTILINE)
    found = zip(parts[1::2], parts[2::2], strict=True)
    return {
        name: json.loads(re.findall(r"JSON'\n(.*?)JSON\n", text, re.DOTALL)[0])["Statement"] for name, text in found
    }


def test_each_role_stands_there_once_with_a_policy_that_opens_what_its_pods_need_and_no_more() -> None:
    found = policies(tree())
    assert sorted(found) == ["acme-external-secrets", "acme-hanok", "acme-observe", "acme-postgres"]
    assert [each["Resource"] for each in found["acme-hanok"]] == [
        ["arn:aws:s3:::acme-documents"],
        ["arn:aws:s3:::acme-documents/docs/*"],
        ["arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:*:123456789012:inference-profile/*"],
    ]
    assert found["acme-hanok"][1]["Action"] == ["s3:GetObject"]
    assert "s3:PutObject" in found["acme-postgres"][1]["Action"]
    assert found["acme-external-secrets"][0]["Resource"] == [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/production/acme/*"
    ]
    assert tree().files["APPLY.md"].count("aws s3 mb s3://acme-traces") == 1


def test_where_the_account_is_not_known_roles_are_bound_and_nobody_vouches_for_them() -> None:
    guide = tree(account=False).files["APPLY.md"]
    assert "bound acme-postgres hanok/hanok-postgres" in guide
    assert "oidc-provider" not in guide


def test_names_in_the_parameter_store_begin_at_its_root_as_it_demands() -> None:
    keys = [each["remoteRef"]["key"] for body in tree().all("ExternalSecret") for each in body["spec"].get("data", [])]
    assert keys
    assert all(key.startswith("/production/acme/") and f"`{key}`" in tree().files["APPLY.md"] for key in keys)


def test_steps_are_numbered_without_those_that_this_tree_does_not_need() -> None:
    def titles(there: Made) -> list[str]:
        return re.findall(r"^## (.*)$", there.files["APPLY.md"], re.MULTILINE)

    assert titles(tree()) == [
        "1. Tools, and where you are", "2. The image", "3. The cluster", "4. Buckets and roles", "5. Secrets",
        "6. Prove it, and apply it", "7. See that it runs", "8. Change it", "9. Take it down", "Good to know",
    ]  # fmt: skip
    ours = "models: [{name: a, serve: {engine: echo}}]\ncluster: {target: kubernetes}\n"
    assert "4. Secrets" in titles(made(ours))
    assert "Steps 1 to 7 lead from nothing" in tree().files["APPLY.md"]
    assert "Steps 1 to 6 lead from nothing" in made(ours).files["APPLY.md"]


def test_the_recipe_of_the_image_names_no_folder_of_the_tree() -> None:
    recipe = tree().files["image/Containerfile"]
    assert "deploy" not in recipe
    assert "-f $TREE/image/Containerfile" in recipe


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.com/services/T0/B0/${env:REST}", "${env:BASE}/B0SECRET", "https://x.com/?k=1${env:A}"],
)
def test_a_part_of_the_address_of_alerts_in_plain_text_is_refused(url: str) -> None:
    text = f'models: [{{name: a, serve: {{engine: echo}}}}]\ncluster: {{observe: {{alerts: {{url: "{url}"}}}}}}\n'
    with pytest.raises(SpecError, match="whoever reads the repository"):
        made(text)


def test_the_terminal_tells_each_thing_in_a_line_what_comes_next_and_the_second_time_nothing_of_it(
    tmp_path: Path,
) -> None:
    file, out = tmp_path / "platform.yaml", tmp_path / "deploy"
    file.write_text(_filled(KNOWN).replace('uri: "s3://acme-documents/docs/"', "path: ./docs"))
    runner = CliRunner()
    said = runner.invoke(app, ["render", str(file), "--out", str(out), "--target", "eks"]).stderr
    titles = ("before it is applied", "after", "good to know", "next:")
    assert [line for line in said.splitlines() if line in titles] == list(titles)
    assert re.search(r"secrets: put \d+ into the store: ", said)
    assert "roles: make 4 in IAM: acme-external-secrets, acme-hanok, " in said
    assert "missing: docs is not beside platform.yaml" in said
    assert f"hanok preflight {out}" in said
    assert f"follow {out}/APPLY.md" in said
    (tmp_path / "docs").mkdir()
    again = runner.invoke(app, ["render", str(file), "--out", str(out), "--target", "eks"]).stderr
    assert again.splitlines()[-1].startswith("nothing changed of ")
    assert not set(titles) & set(again.splitlines())
    assert "missing" not in again


def test_in_a_pipe_a_note_is_one_line_and_on_a_terminal_it_is_wrapped_and_never_cut(tmp_path: Path) -> None:
    file, notes = tmp_path / "platform.yaml", tree().rendered.notes
    file.write_text(_filled(KNOWN))
    hanok = [sys.executable, "-m", "hanok", "render", str(file), "--target", "eks", "--out"]
    piped = subprocess.run(
        [*hanok, str(tmp_path / "a")], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stderr
    shown = on_a_terminal([*hanok, str(tmp_path / "b")], width=60)
    told = [f"{each.component}: {each.message}" for each in notes if isinstance(each.told, Step | After | Known)]
    assert max(map(len, told)) > 80
    for each in told:
        assert f"  {each}\n" in piped
        assert "".join(each.split()) in "".join(shown.split())
    assert max(map(len, shown.partition("next:")[0].splitlines())) <= 60


def on_a_terminal(command: list[str], *, width: int) -> str:
    """What a command says on stderr, where that is a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    plain = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}
    process = subprocess.Popen(command, stderr=its, stdout=subprocess.DEVNULL, env=plain)
    os.close(its)
    said = b"".join(iter(lambda: _read(ours), b""))
    assert process.wait() == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode())


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 4096)
    except OSError:  # Linux says so that the other end is closed
        return b""


@pytest.mark.parametrize("name", ["Qwen/Qwen3-8b", "Qwen3-8B"])
def test_a_model_that_is_not_called_quite_so_is_told_its_whole_name(name: str) -> None:
    text = f"models: [{{name: a, serve: {{engine: vllm, model: {name}}}, deploy: {{gpu: [g6.xlarge]}}}}]\n"
    with pytest.raises(SpecError) as refused:
        made(text)
    assert [(each.line, each.hint) for each in refused.value.problems] == [(1, "write Qwen/Qwen3-8B")]
