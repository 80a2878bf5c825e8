"""The OpenAPI 3.1 document, generated from the types that check requests."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from hanok import __version__
from hanok.gateway.admin import KeyBody, RotateBody
from hanok.gateway.agents.bodies import AnswersBody, ForkBody, StartBody
from hanok.gateway.agents.protocol.bodies import (
    AssistantsSearch,
    HistoryQuery,
    RunCreate,
    RunsCancel,
    StateChange,
    ThreadBody,
    ThreadChange,
    ThreadsSearch,
)
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
    agent_types = [StartBody, ForkBody, AnswersBody, AssistantsSearch, ThreadBody, ThreadChange, ThreadsSearch]
    agent_types += [StateChange, HistoryQuery, RunCreate, RunsCancel]
    all_types = [*types, *wire_types, *found_types, *kept_types, *agent_types]
    bodies, components = msgspec.json.schema_components(all_types, ref_template=_REF)
    chat, text, embedding, rerank, moderation, run, key, rotate, batch, *others = bodies
    wires, found, kept, agents, protocol = others[:3], others[3:5], others[5:11], others[11:14], others[14:]
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
            **_agents(*agents),
            **_agent_protocol(*protocol),
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
    "409": "It is there already, or busy.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key of another call; or a platform.yaml that is wrong.",
    "429": "A budget or a limit has too little left, or a queue is full.",
    "502": "The engine failed.",
    "503": "No engine can answer now.",
    "504": "The engine took too long.",
}

_OF_CALLS = [code for code in _STATUS if code != "409"]


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
        "responses": {"200": {"description": "The answer.", "content": content}, **_errors(*_OF_CALLS, form=errors)},
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


def _agents(start: dict[str, Any], fork: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Agents and their runs."""
    wrong, wrong_body = ("400", "401", "404", "503"), ("400", "401", "404", "413", "415", "422", "429", "503")
    name = {"parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]}
    runs, one = "/v1/agents/{name}/runs", "/v1/agent-runs/{id}"
    listed = {**_read("List the runs", "A page of runs, the newest first.", errors=wrong), "parameters": _PAGE}
    streamed = _with_events(_write("Start a run and watch it", start, errors=wrong_body))
    events = _with_events(_read("Tell a run's events", "Events after `after`.", errors=wrong))
    after = [{"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}}]
    wishes = {"cancel": "Call a run off", "pause": "Pause a run", "resume": "Go on with a run"}
    return {
        "/v1/agents": {"get": _read("List the agents", "Those open to the key.", errors=("401",))},
        "/v1/agents/{name}": {**name, "get": _read("Show an agent", "The agent.", errors=("401", "404"))},
        "/v1/agents/{name}/memories": {
            **name,
            "get": _read("List what it remembers of the caller", "Memories, the latest first.", errors=wrong),
            "delete": _read("Forget all of it", "How many there were.", errors=wrong),
        },
        "/v1/agents/{name}/memories/{memory}": {
            "parameters": [
                *name["parameters"],
                {"name": "memory", "in": "path", "required": True, "schema": {"type": "string"}},
            ],
            "get": _read("Show one memory", "The memory.", errors=wrong),
            "delete": _read("Forget it", "That it is gone.", errors=wrong),
        },
        runs: {**name, "get": listed, "post": _with_events(_write("Start a run", start, errors=wrong_body))},
        f"{runs}/stream": {**name, "post": streamed},
        "/v1/agent-runs": {"get": listed},
        one: {**_ID, "get": _read("Show a run", "The run.", errors=wrong)},
        f"{one}/events": {**_ID, "get": {**events, "parameters": after}},
        f"{one}/checkpoints": {**_ID, "get": {**_read("List its checkpoints", "They.", errors=wrong)}},
        f"{one}/answers": {**_ID, "post": _write("Answer what a run wants", answers, errors=wrong_body)},
        f"{one}/fork": {**_ID, "post": _with_events(_write("Go on from a checkpoint", fork, errors=wrong_body))},
        **{f"{one}/{wish}": {**_ID, "post": _read(said, "The run.", errors=wrong)} for wish, said in wishes.items()},
    }


def _agent_protocol(
    assistants: dict[str, Any],
    thread: dict[str, Any],
    change: dict[str, Any],
    search: dict[str, Any],
    state: dict[str, Any],
    history: dict[str, Any],
    run: dict[str, Any],
    cancel: dict[str, Any],
) -> dict[str, Any]:
    """LangGraph's Agent Protocol."""
    wrong, wrong_body = ("400", "401", "404", "503"), ("400", "401", "404", "409", "413", "415", "422", "429", "503")
    root = "/agent-protocol"
    own, its_run = f"{root}/threads/{{id}}", f"{root}/threads/{{id}}/runs/{{run_id}}"
    run_id = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
    of_run = {"parameters": [*_ID["parameters"], run_id]}
    starting = _write("Start a run", run, errors=wrong_body)
    waiting = _write("Start a run and wait for it", run, errors=wrong_body)
    streaming = _with_events(_write("Start a run and watch it", run, errors=wrong_body))
    told = {"graph": "its steps", "schemas": "its schemas", "subgraphs": "its subgraphs"}
    return {
        f"{root}/assistants/search": {"post": _write("Search the agents", assistants, errors=wrong_body)},
        f"{root}/assistants/count": {"post": _write("Count the agents", assistants, errors=wrong_body)},
        f"{root}/assistants/{{id}}": {**_ID, "get": _read("Show an agent", "The assistant.", errors=wrong)},
        **{
            f"{root}/assistants/{{id}}/{name}": {**_ID, "get": _read(f"Show {what}", what, errors=wrong)}
            for name, what in told.items()
        },
        f"{root}/threads": {"post": _write("Make a thread", thread, errors=wrong_body)},
        f"{root}/threads/search": {"post": _write("Search threads", search, errors=wrong_body)},
        f"{root}/threads/count": {"post": _write("Count threads", search, errors=wrong_body)},
        own: {
            **_ID,
            "get": _read("Show a thread", "The thread.", errors=wrong),
            "patch": _write("Change a thread", change, errors=wrong_body),
            "delete": _read("Remove a thread", "It is gone.", errors=wrong),
        },
        f"{own}/copy": {**_ID, "post": _read("Copy a thread", "The copy.", errors=wrong)},
        f"{own}/state": {
            **_ID,
            "get": _read("Show a thread's state", "The state.", errors=wrong),
            "post": _write("Change a thread's state", state, errors=wrong_body),
        },
        f"{own}/history": {**_ID, "post": _write("List a thread's states", history, errors=wrong_body)},
        f"{own}/runs": {**_ID, "get": _read("List a thread's runs", "The runs.", errors=wrong), "post": starting},
        f"{own}/runs/wait": {**_ID, "post": waiting},
        f"{own}/runs/stream": {**_ID, "post": streaming},
        its_run: {**of_run, "get": _read("Show a run", "The run.", errors=wrong)},
        f"{its_run}/cancel": {**of_run, "post": _read("Call a run off", "Nothing.", errors=wrong)},
        f"{its_run}/join": {**of_run, "get": _read("Wait for a run", "The thread's values.", errors=wrong)},
        f"{its_run}/stream": {**of_run, "get": _with_events(_read("Watch a run", "Its events.", errors=wrong))},
        f"{root}/runs": {"post": starting},
        f"{root}/runs/wait": {"post": waiting},
        f"{root}/runs/stream": {"post": streaming},
        f"{root}/runs/cancel": {"post": _write("Call runs off", cancel, errors=wrong_body)},
    }


def _with_events(operation: dict[str, Any]) -> dict[str, Any]:
    """The same, answered also as a stream."""
    answered: dict[str, Any] = operation["responses"]["200"]
    content: dict[str, Any] = {**answered["content"], "text/event-stream": {"schema": {}}}
    return {**operation, "responses": {**operation["responses"], "200": {**answered, "content": content}}}


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
