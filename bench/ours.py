"""Hanok as the benchmark starts it: with every policy on, and bare, to show what the policies cost.

With every policy on, a call draws on budgets of its key, team, model and session, on limits of requests, tokens and
calls at once for key, team and model, and leaves a span. All of them are far too large to refuse a call: what is
measured is keeping the books.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from fake_engine import MODEL
from launch import Launch, NotInstalled, Place, clean_env

PLATFORM = f"""\
name: bench
teams: [{{name: bench}}]
models:
  - name: {MODEL}
    serve: {{engine: openai, url: "ENGINE/v1", model: {MODEL}}}
    price: {{input: 1.0, output: 2.0}}
"""
PRICE_NANO_USD = (1000, 2000)  # of a prompt token, of a completion token: what `price` above comes to
POLICIES = """\
budgets:
  - {of: key, usd: 1000000, per: month}
  - {of: team, usd: 1000000, per: month}
  - {of: model, usd: 1000000, per: month}
  - {of: session, usd: 1000, per: ever}
limits:
  - {of: key, requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrent: 100000}
  - {of: team, requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrent: 100000}
  - {of: model, requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, concurrent: 100000}
telemetry:
  export: {url: "COLLECTOR"}
"""


def no_install(_cache: Path = Path(), _may_install: bool = False) -> Path:
    return Path()


def launch_hanok(place: Place, more: str = "") -> Launch:
    """more: further blocks of the platform file."""
    return start_platform(place, PLATFORM + POLICIES + more)


def launch_bare(place: Place) -> Launch:
    return start_platform(place, PLATFORM)


def start_platform(place: Place, text: str) -> Launch:
    text = text.replace("ENGINE", place.engine).replace("COLLECTOR", f"http://127.0.0.1:{place.collector_port}")
    (place.folder / "platform.yaml").write_text(text)
    key = said_by(place.folder, "keys", "create", "bench", "--team", "bench")["key"]
    command = [*HANOK, "up", "platform.yaml", "--host", "127.0.0.1", "--port", str(place.port)]
    return Launch(command=command, headers={"Authorization": f"Bearer {key}"}, env=same_code())


HANOK = [sys.executable, "-m", "hanok"]


def same_code() -> dict[str, str]:
    """The hanok that this program would import, also from a source tree that is not the installed one."""
    spec = importlib.util.find_spec("hanok")
    if spec is None or spec.origin is None:
        raise NotInstalled("hanok cannot be imported here")
    return {"PYTHONPATH": str(Path(spec.origin).parents[1])}


def said_by(folder: Path, *command: str) -> dict[str, object]:
    """What a command of hanok says as JSON, about the platform in this folder."""
    done = subprocess.run(
        [*HANOK, *command, "--file", "platform.yaml", "--json"],
        cwd=folder,
        env=clean_env(folder) | same_code(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise NotInstalled(f"`hanok {' '.join(command[:2])}` failed: {' '.join(done.stderr.split())[-300:]}")
    return json.loads(done.stdout)
