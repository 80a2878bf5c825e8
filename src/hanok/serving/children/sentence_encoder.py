"""`python -m hanok.serving.children.sentence_encoder PORT [MODEL]`: an encoder at `/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
import uvicorn

from hanok.errors import RequestError
from hanok.serving.encoder import SentenceEncoder
from hanok.wire import Task, TaskRequest, json_bytes

_OPERATIONS: dict[str, Task] = {"/v1/embeddings": "embedding", "/v1/rerank": "rerank"}


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads wait for one another by spinning: tenfold on a busy machine
    port = int(sys.argv[1])
    app = _app(SentenceEncoder(*sys.argv[2:3]))
    print("listening on port", port, flush=True)
    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="off", ws="none")


def _app(encoder: SentenceEncoder) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        status, answer = await _answer(encoder, scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _answer(encoder: SentenceEncoder, path: str, body: bytes) -> tuple[int, bytes]:
    if (operation := _OPERATIONS.get(path)) is None:
        return (
            (200, b'{"object":"list","data":[]}')
            if path == "/v1/models"
            else (404, b'{"error":{"message":"not found"}}')
        )
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        model = msgspec.json.decode(fields.get("model", b'""'), type=str)
        return 200, (await encoder.perform(TaskRequest(model, fields, operation=operation))).data
    except (msgspec.DecodeError, RequestError) as error:
        param = error.param if isinstance(error, RequestError) else None
        message = {"message": str(error), "type": "invalid_request_error", "param": param, "code": None}
        return 400, json_bytes({"error": message})


if __name__ == "__main__":
    main()
