"""Certificates: the same input gives the same bytes, and whatever is changed afterwards is found."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.errors import PreflightError
from hanok.preflight.certificate import Options as Asked
from hanok.preflight.certificate import canonical, certify, read_statement
from hanok.preflight.envelope import encode, is_envelope, is_signed, open_envelope, seal
from tests.rooms.preflight.conftest import Hanok, write
from tests.rooms.preflight.test_cli import NAMESPACE, TWICE
from tests.rooms.preflight.told import deployments, report_on

pytest.importorskip("cryptography")
Ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")


@dataclass(frozen=True, kw_only=True)
class Signed:
    """An envelope, and the key that made it."""

    data: bytes
    key: Any


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    from hanok.preflight.load_keys import make_keys

    folder = tmp_path_factory.mktemp("keys")
    key = make_keys(folder / "k", folder / "k.pub")
    statement = certify(report_on(folder, deployments("a")), Asked(paths=["all.yaml"]), version="1.2.3")
    return Signed(data=seal(canonical(statement), key) + b"\n", key=key)


def certified(hanok: Hanok, *arguments: str) -> dict[str, Any]:
    hanok("preflight", *arguments, "--certificate", "c.json")
    return json.loads(Path("c.json").read_text("utf-8"))


def verified(hanok: Hanok, *arguments: str) -> tuple[int, dict[str, Any]]:
    status, out, _ = hanok("certificate", "verify", *arguments, "--json")
    return status, json.loads(out)


def untrue(found: dict[str, Any]) -> list[str]:
    return [each["question"] for each in found["answers"] if each["holds"] is False]


def test_a_certificate_is_an_in_toto_statement_on_the_files(hanok: Hanok) -> None:
    write("deploy/a.yaml", TWICE)
    write("deploy/b.yaml", NAMESPACE)
    found = certified(hanok, "deploy", "--select", "HK0")
    assert (found["_type"], found["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:hanok:preflight:1")
    assert [each["name"] for each in found["subject"]] == ["deploy/a.yaml", "deploy/b.yaml"]
    assert all(len(each["digest"]["sha256"]) == 64 for each in found["subject"])
    said = found["predicate"]
    assert said["verdict"] == "refuted"
    assert [(each["rule"], each["line"]) for each in said["counterExamples"]] == [("HK002", 5)]
    assert said["assumptions"]["kubernetes"] == "1.37"
    assert set(said["assumptions"]["catalog"]) == {"date", "region", "sha256"}
    assert said["options"]["select"] == ["HK0"]
    assert "timestamp" not in said


def test_what_is_accepted_and_what_is_missing_is_certified(tmp_path: Path) -> None:
    text = deployments("a").replace("  # four of them", "  # hanok: ignore HK901 the pool comes on Monday")
    said = certify(report_on(tmp_path, text), Asked(paths=["all.yaml"]), version="1")["predicate"]
    assert said["verdict"] == "unknown"
    assert [each["reason"] for each in said["accepted"]] == ["the pool comes on Monday"]
    assert [each["message"] for each in said["missing"]] == ["the model `shop/secret` is not known"]
    assert said["others"] == {"HK902": 1, "HK903": 1}


def test_the_same_input_gives_the_same_bytes(hanok: Hanok) -> None:
    write("deploy/a.yaml", NAMESPACE)
    written = [canonical(certified(hanok, "deploy")) for _ in range(2)]
    assert written[0] == written[1]
    assert Path("c.json").read_bytes() == written[0] + b"\n"


def test_a_moment_is_told_only_where_it_is_asked_for(hanok: Hanok) -> None:
    write("a.yaml", NAMESPACE)
    assert certified(hanok, "a.yaml", "--timestamp")["predicate"]["timestamp"].endswith("Z")
    assert verified(hanok, "c.json", "--again")[0] == 0


def test_floats_have_no_canonical_form() -> None:
    with pytest.raises(TypeError, match=r"0\.1 has no"):
        canonical({"a": [{"b": 0.1}]})


def test_signing_and_verifying_from_end_to_end(hanok: Hanok) -> None:
    write("deploy/a.yaml", NAMESPACE)
    certified(hanok, "deploy")
    assert hanok("certificate", "keygen", "k")[0] == 0
    assert Path("k").stat().st_mode & 0o777 == 0o600
    assert hanok("certificate", "sign", "c.json", "--key", "k")[0] == 0
    status, found = verified(hanok, "c.json", "--key", "k.pub", "--again", "--proved")
    assert (status, found["valid"], found["verdict"]) == (0, True, "proved")
    assert [each["question"] for each in found["answers"]] == ["signature", "files", "again", "proved"]
    status, out, _ = hanok("certificate", "verify", "c.json", "--key", "k.pub")
    assert "valid: preflight's verdict on these files is proved" in out


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("deploy/a.yaml", f"{NAMESPACE}# a comment\n", "deploy/a.yaml was changed"),
        ("deploy/b.yaml", NAMESPACE, "deploy/b.yaml is new"),
        ("deploy/a.yaml", None, "deploy/a.yaml is gone"),
    ],
)
def test_files_that_are_not_the_same_make_a_certificate_void(
    hanok: Hanok, name: str, text: str | None, words: str
) -> None:
    write("deploy/a.yaml", NAMESPACE)
    write("deploy/z.yaml", NAMESPACE.replace("shop", "other"))
    certified(hanok, "deploy")
    if text is None:
        Path(name).unlink()
    else:
        write(name, text)
    status, found = verified(hanok, "c.json")
    assert (status, found["valid"], found["verdict"], untrue(found)) == (1, False, None, ["files"])
    assert words in found["answers"][1]["told"]


def test_a_certificate_holds_where_the_files_lie_elsewhere(hanok: Hanok) -> None:
    write("deploy/a.yaml", TWICE)
    certified(hanok, "deploy")
    Path("deploy").rename("moved")
    assert verified(hanok, "c.json", "moved", "--again")[0] == 0
    status, found = verified(hanok, "c.json")
    assert (status, found["valid"]) == (2, False)
    assert found["error"]["message"] == "deploy cannot be read: No such file or directory"
    assert hanok("certificate", "verify", "c.json", "moved", "moved")[0] == 2


def test_a_verdict_that_was_written_by_hand_does_not_survive_a_second_look(hanok: Hanok) -> None:
    write("a.yaml", TWICE)
    found = certified(hanok, "a.yaml", "--select", "HK0")
    found["predicate"]["verdict"] = "proved"
    Path("c.json").write_bytes(canonical(found))
    assert verified(hanok, "c.json")[0] == 0
    status, told = verified(hanok, "c.json", "--again")
    assert (status, untrue(told)) == (1, ["again"])
    assert "verdict: proved then, refuted now" in told["answers"][-1]["told"]


def test_a_certificate_of_another_verdict_can_be_refused(hanok: Hanok) -> None:
    write("a.yaml", TWICE)
    certified(hanok, "a.yaml")
    status, found = verified(hanok, "c.json", "--proved")
    assert (status, untrue(found)) == (1, ["proved"])


def test_a_verdict_of_some_rules_is_told_as_such(hanok: Hanok) -> None:
    write("a.yaml", TWICE)
    certified(hanok, "a.yaml", "--select", "HK1")
    assert "proved (only HK1)" in hanok("certificate", "verify", "c.json")[1]


def test_a_key_asks_for_its_own_signature(hanok: Hanok) -> None:
    write("a.yaml", NAMESPACE)
    certified(hanok, "a.yaml")
    hanok("certificate", "keygen", "k")
    hanok("certificate", "keygen", "other")
    assert untrue(verified(hanok, "c.json", "--key", "k.pub")[1]) == ["signature"]
    hanok("certificate", "sign", "c.json", "--key", "other", "--out", "s.json")
    status, found = verified(hanok, "s.json", "--key", "k.pub")
    assert (status, untrue(found)) == (1, ["signature"])
    assert verified(hanok, "s.json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sign", "none.json", "--key", "k"], "none.json cannot be read"),
        (["sign", "c.json", "--key", "none"], "none cannot be read"),
        (["sign", "c.json", "--key", "c.json"], "no private key in PEM"),
        (["sign", "c.json", "--key", "k.pub"], "no private key in PEM"),
        (["sign", "c.json", "--key", "rsa"], "another kind than Ed25519"),
        (["sign", "c.json", "--key", "locked"], "locked by a passphrase"),
        (["sign", "a.yaml", "--key", "k"], "not a JSON object"),
        (["sign", "list.json", "--key", "k"], "not a JSON object"),
        (["sign", "other.json", "--key", "k"], "no certificate of preflight"),
        (["sign", "s.json", "--key", "k"], "signed already"),
        (["verify", "c.json", "--key", "k"], "is a private key"),
        (["verify", "c.json", "--key", "a.yaml"], "no public key in PEM"),
        (["verify", "a.yaml"], "not a JSON object"),
        (["verify", "envelope.json"], "payloadType"),
        (["keygen", "k"], "is there already"),
        (["keygen", "none/k"], "cannot be written"),
    ],
)
def test_bad_keys_and_files_end_with_2_and_a_word(hanok: Hanok, arguments: list[str], words: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    write("a.yaml", NAMESPACE)
    certified(hanok, "a.yaml")
    hanok("certificate", "keygen", "k")
    hanok("certificate", "sign", "c.json", "--key", "k", "--out", "s.json")
    other = ec.generate_private_key(ec.SECP256R1())
    write("rsa", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write("locked", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")))
    write("list.json", "[]")
    write("other.json", '{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/x"}')
    write("envelope.json", '{"payload": "", "payloadType": "text/plain", "signatures": []}')
    status, _, err = hanok("certificate", *arguments)
    assert status == 2
    assert words in err


def test_the_envelope_is_dsse(signed: Signed) -> None:
    form = json.loads(signed.data)
    assert set(form) == {"payload", "payloadType", "signatures"}
    payload = b64decode(form["payload"])
    data = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    assert encode(payload) == data
    signed.key.public.key.verify(b64decode(form["signatures"][0]["sig"]), data)


def test_the_pre_authentication_encoding_is_the_one_of_the_specification() -> None:
    assert encode(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signature_can_be_checked_with_openssl(signed: Signed, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = json.loads(signed.data)
    public = signed.key.public.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files = {"pub": public, "sig": b64decode(form["signatures"][0]["sig"]), "data": encode(b64decode(form["payload"]))}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = "openssl pkeyutl -verify -pubin -inkey pub -rawin -in data -sigfile sig"
    try:
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert "Verified Successfully" in done.stdout


def holds(data: bytes, key: Any) -> bool:
    """Whether these bytes are a certificate with this key's signature."""
    try:
        if not is_envelope(data):
            return False
        envelope = open_envelope(data)
        return is_signed(envelope, key.public) and bool(read_statement(envelope.payload).verdict)
    except PreflightError:
        return False


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_byte_can_be_changed_unseen(signed: Signed, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(signed.data) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != signed.data[place]))
    changed = signed.data[:place] + bytes([byte]) + signed.data[place + 1 :]
    assert holds(signed.data, signed.key)
    assert not holds(changed, signed.key)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_bytes_come_there_is_an_answer(signed: Signed, data: bytes) -> None:
    assert not holds(data, signed.key)


def resigned(form: dict[str, Any], signatures: Sequence[dict[str, str]]) -> bytes:
    return json.dumps({**form, "signatures": list(signatures)}).encode()


def test_one_good_signature_among_others_is_enough(signed: Signed) -> None:
    form = json.loads(signed.data)
    good = form["signatures"][0]
    foreign = {"keyid": "somebody", "sig": b64encode(bytes(64)).decode()}
    assert holds(resigned(form, [foreign, good]), signed.key)
    assert holds(resigned(form, [{**good, "keyid": ""}]), signed.key)
    assert not holds(resigned(form, [foreign]), signed.key)
    assert not holds(resigned(form, []), signed.key)


PRICED = """\
apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: gpus
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpus}
      requirements:
        - {key: node.kubernetes.io/instance-type, operator: In, values: [g6.xlarge]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: chat
  namespace: shop
spec:
  replicas: 2
  selector:
    matchLabels: {app: chat}
  template:
    metadata:
      labels: {app: chat}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.33.0
          args: [Qwen/Qwen3-8B, --max-model-len, "4096"]
          resources:
            limits: {nvidia.com/gpu: "1"}
"""


def test_nodes_engines_and_costs_are_certified_without_floats(hanok: Hanok) -> None:
    write("a.yaml", PRICED)
    said = certified(hanok, "a.yaml", "--max-usd-month", "20")["predicate"]
    (node,) = said["nodes"]["most"]
    assert (node["pool"], node["instance"], node["count"]) == ("gpus", "g6.xlarge", 2)
    assert node["pods"] == [{"count": 1, "workload": "Deployment shop/chat"}]
    assert said["engines"][0]["best"]["outcome"] == "fits"
    assert said["cost"]["most"]["on_demand_per_hour"] == f"{2 * float(node['usdPerHour']):.4f}"
    assert said["options"]["more"] == {"max-usd-month": "20.00"}
    assert verified(hanok, "c.json", "--again")[0] == 0


def test_schemas_that_were_named_are_told_by_their_digest(hanok: Hanok) -> None:
    write("a.yaml", NAMESPACE)
    write("crds/x.yaml", "kind: List\napiVersion: v1\nitems: []\n")
    said = certified(hanok, "a.yaml", "--crds", "crds")["predicate"]
    assert [*said["assumptions"]["files"]] == ["crds/x.yaml"]
    assert verified(hanok, "c.json", "--again", "--crds", "crds")[0] == 0
    status, found = verified(hanok, "c.json", "--again")
    assert status == 1
    assert "assumptions differ" in found["answers"][-1]["told"]
