"""The OpenAPI 3.1 document, generated from the types that check requests."""

from __future__ import annotations

from typing import Any

import msgspec

from hanok import __version__
from hanok.gateway.admin import KeyBody, RotateBody
from hanok.gateway.bodies import ChatBody, EmbeddingBody, TextBody
from hanok.gateway.runs import RunBody

_REF = "#/components/schemas/{name}"


def openapi() -> dict[str, Any]:
    """The document that `/openapi.json` serves."""
    types = [ChatBody, TextBody, EmbeddingBody, RunBody, KeyBody, RotateBody]
    bodies, components = msgspec.json.schema_components(types, ref_template=_REF)
    chat, text, embedding, run, key, rotate = bodies
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hanok", "version": __version__, "description": "One OpenAI-compatible API for all models."},
        "security": [{"key": []}],
        "paths": {
            "/v1/chat/completions": {"post": _call("Answer a conversation", chat, streams=True)},
            "/v1/completions": {"post": _call("Continue a text", text, streams=True)},
            "/v1/embeddings": {"post": _call("Embed texts", embedding, streams=False)},
            "/v1/models": {"get": _read("List the models", "The models.", errors=("401",))},
            "/v1/models/{model}": {
                "get": {
                    **_read("Show a model", "The model.", errors=("401", "404")),
                    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
                }
            },
            "/v1/runs": {"post": _write("Give a run a limit of its own", run, errors=("400", "401", "413", "415"))},
            "/v1/budgets": {"get": _read("What is left to the caller", "The accounts.", errors=("400", "401"))},
            **_admin(key, rotate),
            "/health/live": {"get": _open("Whether the process runs", JSON_TYPE)},
            "/health/ready": {"get": _open("Whether calls can be answered now", JSON_TYPE, also="503")},
            "/metrics": {"get": _open("Prometheus metrics", "text/plain")},
        },
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "admin": {"type": "http", "scheme": "bearer", "description": "`gateway.admin_key`"},
            },
        },
    }


JSON_TYPE = "application/json"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
_STATUS = {
    "400": "The request is not well-formed.",
    "401": "No key, or one that nobody knows.",
    "403": "The key does not open this model.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key of another call; or a platform.yaml that is wrong.",
    "429": "A budget or a limit has too little left, or a queue is full.",
    "502": "The engine failed.",
    "503": "No engine can answer now.",
    "504": "The engine took too long.",
}


def _errors(*codes: str) -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"$ref": _REF.format(name="Error")}}}
    return {code: {"description": _STATUS[code], "content": content} for code in codes}


def _call(summary: str, body: dict[str, Any], *, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {JSON_TYPE: {"schema": {"type": "object"}}}
    if streams:
        content["text/event-stream"] = {"schema": {}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": body}}},
        "responses": {"200": {"description": "The answer.", "content": content}, **_errors(*_STATUS)},
    }


def _admin(key: dict[str, Any], rotate: dict[str, Any]) -> dict[str, Any]:
    """The admin API; it is there when `gateway.admin_key` is declared."""
    wrong = ("400", "401", "404")
    one = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}
    paths: dict[str, Any] = {
        "/admin/keys": {
            "get": _read("List the keys", "The keys.", errors=wrong),
            "post": _write("Make a key", key, errors=wrong, status="201"),
        },
        "/admin/keys/{name}": {
            **one,
            "get": _read("Show a key", "The key.", errors=wrong),
            "patch": _write("Change what a key may do", key, errors=wrong),
            "delete": _read("Revoke a key", "The key.", errors=wrong),
        },
        "/admin/keys/{name}/rotate": {**one, "post": _write("Give a key a new secret", rotate, errors=wrong)},
    }
    paths["/admin/fleet"] = {"get": _read("Show every endpoint as it is now", "The endpoints.", errors=wrong)}
    paths["/admin/config"] = {"get": _read("Show what is running", "The configuration.", errors=wrong)}
    reload = _read("Take up platform.yaml now", "What changed.", errors=("400", "401", "422"))
    paths["/admin/reload"] = {"post": reload}
    for name in ("teams", "users", "budgets", "usage", "audit"):
        paths[f"/admin/{name}"] = {"get": _read(f"Show {name}", f"The {name}.", errors=wrong)}
    for path in paths.values():
        for method, operation in path.items():
            if method != "parameters":
                operation["security"] = [{"admin": []}]
    return paths


def _write(summary: str, body: dict[str, Any], *, errors: tuple[str, ...], status: str = "200") -> dict[str, Any]:
    made = _read(summary, summary, errors=errors)
    responses = {status: made["responses"].pop("200"), **made["responses"]}
    return {**made, "responses": responses, "requestBody": {"content": {JSON_TYPE: {"schema": body}}}}


def _read(summary: str, what: str, *, errors: tuple[str, ...]) -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"description": what, "content": content}, **_errors(*errors)}}


def _open(summary: str, content_type: str, *, also: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {content_type: {"schema": {}}}
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    if also:
        responses[also] = {"description": "Not now.", "content": content}
    return {"summary": summary, "security": [], "responses": responses}
