"""The OpenAPI 3.1 document, generated from the types that check requests."""

from __future__ import annotations

from typing import Any

import msgspec

from hanok import __version__
from hanok.gateway.bodies import ChatBody, EmbeddingBody, TextBody

_REF = "#/components/schemas/{name}"


def openapi() -> dict[str, Any]:
    """The document that `/openapi.json` serves."""
    bodies, components = msgspec.json.schema_components([ChatBody, TextBody, EmbeddingBody], ref_template=_REF)
    chat, text, embedding = bodies
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
            "/health/live": {"get": _open("Whether the process runs", JSON_TYPE)},
            "/health/ready": {"get": _open("Whether calls can be answered now", JSON_TYPE, also="503")},
            "/metrics": {"get": _open("Prometheus metrics", "text/plain")},
        },
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
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
    "404": "There is no such model.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
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


def _read(summary: str, what: str, *, errors: tuple[str, ...]) -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"description": what, "content": content}, **_errors(*errors)}}


def _open(summary: str, content_type: str, *, also: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {content_type: {"schema": {}}}
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    if also:
        responses[also] = {"description": "Not now.", "content": content}
    return {"summary": summary, "security": [], "responses": responses}
