"""ExternalSecrets: what is asked of a store, and passwords that a generator makes."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, mapping_at, mappings_at, text_at

NOTHING_ASKED = Rule(
    "HK578",
    "error",
    "an ExternalSecret that asks for nothing",
    "add `data` or `dataFrom`; what is no secret needs no store, and can stand where it is used",
)
MADE_ANEW = Rule(
    "HK579",
    "error",
    "a password that is made anew at each refresh",
    "set `refreshPolicy: CreatedOnce`, which makes it once",
)

NEVER = frozenset(("0", "0s", "0m", "0h"))
"""Intervals that mean once: https://external-secrets.io/latest/api/externalsecret/"""
_MADE = ("Password", "SSHKey", "UUID")
"""Generators whose every answer is another; those of tokens are meant to be asked again."""


def check_external_secrets(case: Case) -> Iterator[Finding]:
    """Each by itself. Source: its validating webhook, in apis/externalsecrets/v1/externalsecret_validator.go."""
    for secret in case.cluster.of("ExternalSecret"):
        if not (mappings_at(secret.body, "spec", "data") or mappings_at(secret.body, "spec", "dataFrom")):
            message = "neither data nor dataFrom: External Secrets' webhook refuses it, and its Secret is never made"
            yield NOTHING_ASKED.on(secret, "spec", message=message)
        yield from _passwords(secret)


def _passwords(secret: Manifest) -> Iterator[Finding]:
    spec = mapping_at(secret.body, "spec")
    if text_at(spec, "refreshPolicy") == "CreatedOnce" or text_at(spec, "refreshInterval") in NEVER:
        return
    for index, source in enumerate(mappings_at(spec, "dataFrom")):
        kind = text_at(source, "sourceRef", "generatorRef", "kind")
        if kind in _MADE:
            message = (
                f"the generator {kind} makes another at each refresh, and what was set up with the last is shut out"
            )
            yield MADE_ANEW.on(secret, "spec", "dataFrom", index, message=message)


CHECKS = (check_external_secrets,)
