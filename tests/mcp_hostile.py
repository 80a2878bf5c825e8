"""`python tests/mcp_hostile.py HOW`: an MCP server of 2025 that does what servers should not."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

OBJECT = {"type": "object", "properties": {}}
ODD = [
    {"name": "plain", "inputSchema": OBJECT},
    {"name": "plain", "inputSchema": OBJECT, "description": "the same name again"},
    {"name": "a b", "inputSchema": OBJECT},
    {"name": "a/b", "inputSchema": OBJECT},
    {"name": "n" * 300, "inputSchema": OBJECT},
    {"name": "wordy", "inputSchema": OBJECT, "description": "x" * 500_000},
    {"name": "text", "inputSchema": {"type": "string"}},
    {"name": "wrong", "inputSchema": {"type": "object", "properties": {"a": {"type": "nonsense"}}}},
    {"name": "elsewhere", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}},
    {"name": "nowhere", "inputSchema": {"type": "object", "allOf": [{"$ref": "#/$defs/none"}]}},
    {"name": "endless", "inputSchema": {"type": "object", "allOf": [{"$ref": "#"}]}},
    {"name": "huge", "inputSchema": {"type": "object", "properties": {f"p{i}": {} for i in range(9000)}}},
    {
        "name": "slow",
        "inputSchema": {
            "type": "object",
            "properties": {"pattern": {"type": "string", "pattern": "^(a+)+$", "description": "Letters."}},
            "patternProperties": {"^(a+)+$": {}},
            "additionalProperties": False,
        },
    },
    {"name": "hidden", "inputSchema": OBJECT},
    {"name": "big", "inputSchema": OBJECT},
    "nothing of the kind",
]
cancelled: list[Any] = []


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def lists(how: str, cursor: str | None) -> dict[str, Any]:
    """What it says its tools are."""
    match how:
        case "many":
            return {"tools": [{"name": f"t{number}", "inputSchema": OBJECT} for number in range(3000)]}
        case "pages":
            page = int(cursor or 0)
            tools = [{"name": f"t{page}", "inputSchema": OBJECT}]
            return {"tools": tools, "nextCursor": str(page + 1)}
        case "none":
            return {"tools": [{"name": "x", "inputSchema": "nothing of the kind"}]}
        case _:
            return {"tools": ODD}


def gives(name: str) -> dict[str, Any] | None:
    """What a tool gives back; None where it gives nothing."""
    match name:
        case "big":
            return {"content": [{"type": "text", "text": "x" * 6_000_000}]}
        case "a b":
            image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
            link = {"type": "resource_link", "name": "report", "uri": "file:///r.txt"}
            text = {"type": "resource", "resource": {"uri": "file:///t.txt", "text": "what it says"}}
            blob = {"type": "resource", "resource": {"uri": "file:///b.bin", "blob": "AAAAAA=="}}
            return {"content": [image, link, text, blob]}
        case "a/b":
            return {"content": [], "structuredContent": {"answer": 42}}
        case "wordy":
            return {"content": [{"type": "text", "text": "there is no such row"}], "isError": True}
        case "hidden":
            return {"content": [{"type": "text", "text": json.dumps({"pid": os.getpid(), "cancelled": cancelled})}]}
        case "slow":
            return {"content": "not a list"}
        case _:
            return None


def serve(how: str) -> None:
    asked = itertools.count(1000)
    waiting: dict[int, Any] = {}
    for line in sys.stdin:
        message = json.loads(line)
        method, id_ = message.get("method"), message.get("id")
        if method == "notifications/cancelled":
            cancelled.append(message["params"].get("reason"))
        if id_ is None:
            continue
        if method is None:  # an answer to what we asked
            say(id=waiting.pop(id_), result={"content": [{"type": "text", "text": json.dumps(message["error"])}]})
        elif method == "initialize":
            version = message["params"]["protocolVersion"]
            about = {"name": "hostile", "version": "1"}
            say(id=id_, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
        elif method == "tools/list":
            say(id=id_, result=lists(how, (message.get("params") or {}).get("cursor")))
        elif method != "tools/call":
            say(id=id_, error={"code": -32601, "message": "what is that?"})
        elif message["params"]["name"] == "n" * 300:
            waiting[number := next(asked)] = id_
            params = {"message": "Your password?", "requestedSchema": OBJECT}
            say(id=number, method="elicitation/create", params=params)
        elif message["params"]["name"] == "plain" and message["params"]["arguments"].get("cut"):
            sys.stdout.write(f'{{"jsonrpc": "2.0", "id": {id_}, "resu')
            sys.stdout.flush()
            os._exit(7)
        elif (result := gives(message["params"]["name"])) is not None:
            say(id=id_, result=result)


if __name__ == "__main__":
    how = sys.argv[1]
    print("started", file=sys.stderr)
    if how == "late":
        time.sleep(0.4)
    if how == "crash":
        sys.exit("there is no licence")
    if how == "hang":
        sys.stdin.read()
    if how == "noise":
        for number in range(3000):
            sys.stdout.write(f"loading {number}\n")
        say(method="notifications/message", params={"level": "info", "data": "hello"})
    serve(how)
