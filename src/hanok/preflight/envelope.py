"""DSSE envelopes: a payload, its type, and signatures over both.

The form is the Dead Simple Signing Envelope v1 (github.com/secure-systems-lab/dsse), as in-toto and cosign write it.
What is signed is not JSON but the pre-authentication encoding of type and payload, so nothing has to be put in order
before it is checked. Pure: whoever signs or verifies brings the key (`load_keys.py`).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hanok.errors import PreflightError
from hanok.preflight.certificate import canonical, parse
from hanok.preflight.manifests import at, mappings_at, text_at

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_KEYS, _SIGNATURE_KEYS = {"payload", "payloadType", "signatures"}, {"keyid", "sig"}


class Signer(Protocol):
    """A private key."""

    @property
    def id(self) -> str: ...
    def sign(self, data: bytes) -> bytes: ...


class Verifier(Protocol):
    """A public key."""

    @property
    def id(self) -> str: ...
    def verify(self, signature: bytes, data: bytes) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """An envelope that was read. Each signature has the id of its key, which may be empty."""

    payload: bytes
    signatures: Sequence[tuple[str, bytes]]


def encode(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding: `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def seal(payload: bytes, signer: Signer) -> bytes:
    """The payload in an envelope, signed."""
    signature = {"keyid": signer.id, "sig": b64encode(signer.sign(encode(payload))).decode()}
    return canonical({"payload": b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [signature]})


def is_envelope(data: bytes) -> bool:
    """Whether these bytes are an envelope, and not a bare statement. Raises `PreflightError` for what is no JSON."""
    return "payload" in parse(data)


def open_envelope(data: bytes) -> Envelope:
    """What is in an envelope. Raises `PreflightError` where it is none, or holds something else than in-toto's."""
    form = parse(data)
    if at(form, "payloadType") != PAYLOAD_TYPE:
        raise PreflightError(f"the envelope's payloadType is {at(form, 'payloadType')!r}, not {PAYLOAD_TYPE!r}")
    if set(form) - _KEYS or any(set(each) - _SIGNATURE_KEYS for each in mappings_at(form, "signatures")):
        raise PreflightError("the envelope holds keys that DSSE does not know", hint="take it as it was signed")
    signatures = [
        (text_at(each, "keyid"), _bytes(text_at(each, "sig"), "sig")) for each in mappings_at(form, "signatures")
    ]
    if not signatures:
        raise PreflightError("the envelope has no signature", hint="`hanok certificate sign FILE --key KEY` makes one")
    return Envelope(payload=_bytes(text_at(form, "payload"), "payload"), signatures=signatures)


def is_signed(envelope: Envelope, verifier: Verifier) -> bool:
    """Whether one of its signatures is this key's. A signature that names another key is not tried."""
    data = encode(envelope.payload)
    return any(key in ("", verifier.id) and verifier.verify(signature, data) for key, signature in envelope.signatures)


def _bytes(text: str, key: str) -> bytes:
    """What base64 stands for; only its one canonical form is taken, so that no bit can change unseen."""
    try:
        found = b64decode(text, validate=True)
    except ValueError:
        found = b""
    if not found or b64encode(found).decode() != text:
        raise PreflightError(f"the envelope's {key!r} is not base64")
    return found
