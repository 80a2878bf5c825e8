"""The OpenAPI 3.1 document, generated from the types that check requests."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from hanok import __version__
from hanok.gateway.admin import KeyBody, RotateBody
from hanok.gateway.batches import BatchBody
from hanok.gateway.bodies import ChatBody, EmbeddingBody, ModerationBody, RerankBody, TextBody
from hanok.gateway.files import PURPOSES
from hanok.gateway.knowledge import SearchBody
from hanok.gateway.knowledge_answers import AnswerBody
from hanok.gateway.runs import RunBody
from hanok.gateway.vector_stores import (
    AttachBody,
    AttachManyBody,
    AttributesBody,
    StoreBody,
    StoreChange,
    StoreSearchBody,
)
from hanok.gateway.wires.messages_request import CountBody, MessagesBody
from hanok.gateway.wires.responses_request import ResponsesBody
from hanok.wire import json_bytes

_REF = "#/components/schemas/{name}"


@cache
def document() -> bytes:
    """`openapi()` as it is sent. Made when it is asked for: that takes 50 ms, which no start has to wait for."""
    return json_bytes(openapi())


def openapi() -> dict[str, Any]:
    """The document that `/openapi.json` serves."""
    types = [ChatBody, TextBody, EmbeddingBody, RerankBody, ModerationBody, RunBody, KeyBody, RotateBody, BatchBody]
    wire_types = [MessagesBody, CountBody, ResponsesBody]
    found_types = [SearchBody, AnswerBody]
    kept_types = [StoreBody, StoreChange, StoreSearchBody, AttachBody, AttributesBody, AttachManyBody]
    all_types = [*types, *wire_types, *found_types, *kept_types]
    bodies, components = msgspec.json.schema_components(all_types, ref_template=_REF)
    chat, text, embedding, rerank, moderation, run, key, rotate, batch, *others = bodies
    wires, found, kept = others[:3], others[3:5], others[5:]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hanok", "version": __version__, "description": "One OpenAI-compatible API for all models."},
        "security": [{"key": []}],
        "paths": {
            "/v1/chat/completions": {"post": _call("Answer a conversation", chat, streams=True)},
            "/v1/completions": {"post": _call("Continue a text", text, streams=True)},
            "/v1/embeddings": {"post": _call("Embed texts", embedding, streams=False)},
            "/v1/rerank": {"post": _call("Order documents by a query", rerank, streams=False)},
            "/v1/moderations": {"post": _call("Judge texts", moderation, streams=False)},
            "/v1/models": {"get": _read("List the models", "The models.", errors=("401",))},
            "/v1/models/{model}": {
                "get": {
                    **_read("Show a model", "The model.", errors=("401", "404")),
                    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
                }
            },
            "/v1/runs": {"post": _write("Give a run a limit of its own", run, errors=("400", "401", "413", "415"))},
            "/v1/budgets": {"get": _read("What is left to the caller", "The accounts.", errors=("400", "401"))},
            **_files(),
            **_batches(batch),
            **_wires(*wires),
            **_knowledge(*found),
            **_vector_stores(*kept),
            **_admin(key, rotate),
            "/health/live": {"get": _open("Whether the process runs", JSON_TYPE)},
            "/health/ready": {"get": _open("Whether calls can be answered now", JSON_TYPE, also="503")},
            "/metrics": {"get": _open("Prometheus metrics", "text/plain")},
        },
        "components": {
            "schemas": {**components, "Error": _ERROR, "MessagesError": _MESSAGES_ERROR},
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
_MESSAGES_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_STATUS = {
    "400": "The request is not well-formed.",
    "401": "No key, or one that nobody knows.",
    "403": "The key does not open this model.",
    "404": "There is no such thing.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key of another call; or a platform.yaml that is wrong.",
    "429": "A budget or a limit has too little left, or a queue is full.",
    "502": "The engine failed.",
    "503": "No engine can answer now.",
    "504": "The engine took too long.",
}


def _errors(*codes: str, form: str = "Error") -> dict[str, Any]:
    content = {JSON_TYPE: {"schema": {"$ref": _REF.format(name=form)}}}
    return {code: {"description": _STATUS[code], "content": content} for code in codes}


def _call(summary: str, body: dict[str, Any], *, streams: bool, errors: str = "Error") -> dict[str, Any]:
    content: dict[str, Any] = {JSON_TYPE: {"schema": {"type": "object"}}}
    if streams:
        content["text/event-stream"] = {"schema": {}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON_TYPE: {"schema": body}}},
        "responses": {"200": {"description": "The answer.", "content": content}, **_errors(*_STATUS, form=errors)},
    }


def _wires(messages: dict[str, Any], count: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's Messages and OpenAI's Responses."""
    one = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
    wrong = ("400", "401", "404", "503")
    kept = {
        **one,
        "get": _read("Show a kept response", "The response.", errors=wrong),
        "delete": _read("Delete a kept response", "It is deleted.", errors=wrong),
    }
    items = {**one, "get": _read("List what a kept response was asked", "The items.", errors=wrong)}
    counting = _call("Count the tokens of a prompt", count, streams=False, errors="MessagesError")
    return {
        "/v1/messages": {"post": _call("Answer in Anthropic's form", messages, streams=True, errors="MessagesError")},
        "/v1/messages/count_tokens": {"post": counting},
        "/v1/responses": {"post": _call("Answer in the form of Responses", responses, streams=True)},
        "/v1/responses/input_tokens": {"post": _call("Count the tokens of a prompt", responses, streams=False)},
        "/v1/responses/{id}": kept,
        "/v1/responses/{id}/input_items": items,
    }


_ID = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
_PAGE = [
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}},
]


def _files() -> dict[str, Any]:
    """Files for batches and vector stores."""
    form = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
            "purpose": {"enum": list(PURPOSES)},
            "expires_after[anchor]": {"const": "created_at"},
            "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
        },
    }
    upload = _read("Upload a file", "The file.", errors=("400", "401", "413", "415", "503"))
    content = _read("Fetch a file", "Its content.", errors=("401", "404", "503"))
    content["responses"]["200"]["content"] = {"application/octet-stream": {"schema": {}}}
    return {
        "/v1/files": {
            "get": {**_read("List the files", "A page of files.", errors=("400", "401", "503")), "parameters": _PAGE},
            "post": {**upload, "requestBody": {"content": {"multipart/form-data": {"schema": form}}}},
        },
        "/v1/files/{id}": {
            **_ID,
            "get": _read("Show a file", "The file.", errors=("401", "404", "503")),
            "delete": _read("Delete a file", "That it is gone.", errors=("401", "404", "503")),
        },
        "/v1/files/{id}/content": {**_ID, "get": content},
    }


def _batches(body: dict[str, Any]) -> dict[str, Any]:
    """Batches of calls."""
    wrong = ("400", "401", "404", "503")
    return {
        "/v1/batches": {
            "get": {**_read("List the batches", "A page of batches.", errors=wrong), "parameters": _PAGE},
            "post": _write("Order a batch", body, errors=("400", "401", "404", "413", "415", "422", "503")),
        },
        "/v1/batches/{id}": {**_ID, "get": _read("Show a batch", "The batch.", errors=wrong)},
        "/v1/batches/{id}/cancel": {**_ID, "post": _read("Call a batch off", "The batch.", errors=wrong)},
    }


def _knowledge(search: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Declared knowledge bases."""
    one = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}
    showing = _read("Show a knowledge base", "The base.", errors=("401", "404", "503"))
    finding = _call("Find passages", search, streams=False)
    answering = _call("Answer from a knowledge base, with citations", answer, streams=True)
    return {
        "/v1/knowledge": {"get": _read("List the knowledge bases", "Those open to the key.", errors=("401",))},
        "/v1/knowledge/{name}": {**one, "get": showing},
        "/v1/knowledge/{name}/search": {**one, "post": finding},
        "/v1/knowledge/{name}/answer": {**one, "post": answering},
    }


def _vector_stores(
    store: dict[str, Any],
    change: dict[str, Any],
    search: dict[str, Any],
    attach: dict[str, Any],
    attributes: dict[str, Any],
    attach_many: dict[str, Any],
) -> dict[str, Any]:
    """Vector stores, their files, and files that are attached together."""
    wrong, wrong_body = ("400", "401", "404", "503"), ("400", "401", "404", "413", "415", "503")
    stores, files = "/v1/vector_stores/{id}", "/v1/vector_stores/{id}/files"
    batch = "/v1/vector_stores/{id}/file_batches/{batch_id}"
    file_id = {"name": "file_id", "in": "path", "required": True, "schema": {"type": "string"}}
    file = {"parameters": [*_ID["parameters"], file_id]}
    one = {"parameters": [*_ID["parameters"], {**file_id, "name": "batch_id"}]}
    listed = {**_read("List the files", "A page of files.", errors=wrong), "parameters": _PAGE}
    return {
        "/v1/vector_stores": {
            "get": {**_read("List the vector stores", "A page of them.", errors=wrong), "parameters": _PAGE},
            "post": _write("Make a vector store", store, errors=wrong_body),
        },
        stores: {
            **_ID,
            "get": _read("Show a vector store", "The vector store.", errors=wrong),
            "post": _write("Change a vector store", change, errors=wrong_body),
            "delete": _read("Delete a vector store", "That it is gone.", errors=wrong),
        },
        f"{stores}/search": {**_ID, "post": _call("Find passages", search, streams=False)},
        files: {**_ID, "get": listed, "post": _write("Attach a file", attach, errors=wrong_body)},
        f"{files}/{{file_id}}": {
            **file,
            "get": _read("Show a file of a vector store", "The file.", errors=wrong),
            "post": _write("Change a file's attributes", attributes, errors=wrong_body),
            "delete": _read("Take a file out", "That it is out.", errors=wrong),
        },
        f"{files}/{{file_id}}/content": {**file, "get": _read("Read a file", "Its passages.", errors=wrong)},
        "/v1/vector_stores/{id}/file_batches": {
            **_ID,
            "post": _write("Attach files together", attach_many, errors=wrong_body),
        },
        batch: {**one, "get": _read("Show how many are read", "The file batch.", errors=wrong)},
        f"{batch}/cancel": {**one, "post": _read("Read no more of them", "The file batch.", errors=wrong)},
        f"{batch}/files": {**one, "get": listed},
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
    paths["/admin/cache"] = {
        "get": _read("Show the cache of answers", "What is kept, by model.", errors=wrong),
        "delete": _read("Forget kept answers, of all models or of `?model=`", "How many.", errors=wrong),
    }
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
