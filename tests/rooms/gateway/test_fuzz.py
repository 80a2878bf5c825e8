"""The door under fuzz: schemathesis makes requests from our own OpenAPI document, good and bad."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import call
from tests.conftest import ECHO, RunningHouse

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
def test_no_made_up_request_breaks_the_door_or_the_documented_contract(
    house: Callable[..., RunningHouse], tmp_path: Path
) -> None:
    secret = "an-admin-key-of-some-length"
    started = house(ECHO, gateway={"admin_key": secret}, budgets=[{"of": "run", "usd": 100}])
    document = call(f"{started.url}/openapi.json").json
    for body in ("ChatBody", "TextBody", "MessagesBody", "CountBody", "ResponsesBody"):
        document["components"]["schemas"][body]["properties"]["model"] = {"enum": ["echo", "none"]}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command = [Path(sys.executable).parent / "schemathesis", "run", file, "--url", started.url, "--checks", CHECKS]
    command += ["--header", f"authorization: Bearer {started.key}", "--max-examples", "20", "--seed", "1"]
    for path, operations in document["paths"].items():
        for operation in operations.values() if path.startswith("/admin") else ():
            if isinstance(operation, dict):
                header = {"in": "header", "name": "authorization", "required": True}
                operation.setdefault("parameters", []).append({**header, "schema": {"const": f"Bearer {secret}"}})
    file.write_text(json.dumps(document))
    command += ["--generation-database", "none", "--phases", "examples,coverage,fuzzing", "--request-timeout", "20"]
    fuzzed = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
    assert fuzzed.returncode == 0, fuzzed.stdout[-6000:] + fuzzed.stderr[-2000:]
    assert call(f"{started.url}/health/live").status == 200
