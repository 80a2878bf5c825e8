"""Keys that certificates are signed with: Ed25519, in PEM files, as `openssl genpkey -algorithm ed25519` writes them.

The library stands here alone. A key's id is the SHA-256 of its public half (DER, SubjectPublicKeyInfo).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hanok.errors import PreflightError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True, kw_only=True, eq=False)
class PublicKey:
    """What signatures are checked with."""

    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return sha256(self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature is this key's, of these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, kw_only=True, eq=False)
class PrivateKey:
    """What certificates are signed with."""

    key: Ed25519PrivateKey

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(key=self.key.public_key())

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


def load_private(file: Path) -> PrivateKey:
    """The private key in a PEM file. Raises `PreflightError`."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(file)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise PreflightError(f"{file} is locked by a passphrase", hint="`openssl pkey -in KEY -out PLAIN`") from None
    except Exception:  # noqa: BLE001 - the library raises many kinds for what is no key
        raise PreflightError(f"{file} holds no private key in PEM", hint=_MAKE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PreflightError(f"{file} holds a key of another kind than Ed25519", hint=_MAKE)
    return PrivateKey(key=key)


def load_public(file: Path) -> PublicKey:
    """The public key in a PEM file. Raises `PreflightError`."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(file)
    if b"PRIVATE KEY" in data:
        raise PreflightError(f"{file} is a private key", hint="verify with the public one, beside it as `.pub`")
    try:
        key = load_pem_public_key(data)
    except Exception:  # noqa: BLE001 - as above
        raise PreflightError(f"{file} holds no public key in PEM", hint=_MAKE) from None
    if not isinstance(key, Ed25519PublicKey):
        raise PreflightError(f"{file} holds a key of another kind than Ed25519", hint=_MAKE)
    return PublicKey(key=key)


def make_keys(private: Path, public: Path) -> PrivateKey:
    """A new pair of keys, in new files; the private one for its owner's eyes only. Raises `PreflightError`."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    for file in (private, public):
        if file.exists():
            raise PreflightError(f"{file} is there already", hint="name another file: keys are not overwritten")
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return PrivateKey(key=key)


_MAKE = "`hanok certificate keygen FILE` makes a pair of keys"


def _require() -> None:
    if find_spec("cryptography") is None:
        raise PreflightError("signatures need a library", hint='pip install "hanok[k8s]"')


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PreflightError(f"{file} cannot be read: {error.strerror}", hint=_MAKE) from None


def _write_new(file: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
            opened.write(data)
    except OSError as error:
        raise PreflightError(f"{file} cannot be written: {error.strerror}") from None
