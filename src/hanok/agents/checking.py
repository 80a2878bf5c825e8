"""Whether arguments fit a tool's JSON Schema, told so that a model can mend them. Format: JSON Schema 2020-12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator, exceptions
from referencing import Registry

_KEPT = 256
_NOWHERE = cast("Any", Registry)()
"""References to elsewhere are not followed: a schema that somebody else wrote must not have us ask servers."""
_best = cast("Any", exceptions).best_match


class Checker:
    """Remembers the validators of schemas that come again."""

    def __init__(self) -> None:
        self._validators: dict[int, tuple[Mapping[str, Any], Any]] = {}

    def __call__(self, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
        """What does not fit, in words; None when all does. A schema that is none lets nothing pass."""
        try:
            error = _best(self._validator(schema).iter_errors(dict(arguments)))
        except (exceptions.SchemaError, RecursionError, ValueError) as broken:
            return f"the tool's own schema is broken: {str(broken).splitlines()[0]}"
        except Exception as broken:  # noqa: BLE001 - references to nowhere, in a schema that somebody else wrote
            return f"the tool's own schema cannot be used ({type(broken).__name__})"
        if error is None:
            return None
        where = ".".join(str(each) for each in error.absolute_path)
        return f"{where}: {error.message[:500]}" if where else error.message[:500]

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        known = self._validators.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        if len(self._validators) >= _KEPT:
            self._validators.clear()
        validator = Draft202012Validator(dict(schema), registry=_NOWHERE)
        self._validators[id(schema)] = schema, validator
        return validator
