"""Hanok and its rivals: how each is installed and started in front of the engine.

The idea that keeps it simple: to the benchmark a gateway is a `Gateway`: a way to install it and a way to say with
which command it starts. All that is special about one of them is in its few lines here. Rivals go into throw-away
environments under the cache folder; nothing of theirs gets into the environment of this program. Each is set up the
way that suits it best; where that is not its default, the comment says so.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fake_engine import MODEL
from processes import free_port

INSTALL_PATIENCE = 900.0
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class NotInstalled(Exception):
    """A gateway that is not there and cannot be had. The text is the reason, for the table."""


@dataclass(frozen=True)
class Place:
    """Where one gateway runs."""

    folder: Path  # a temporary one, of its own
    installed: Path  # what its install made
    port: int
    engine_port: int

    @property
    def engine(self) -> str:
        return f"http://127.0.0.1:{self.engine_port}"


@dataclass(frozen=True)
class Launch:
    command: list[str]
    headers: dict[str, str]  # what a client has to send
    env: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Gateway:
    name: str
    does: str  # beside handing requests on: a gateway that does more has more to pay
    ready_path: str
    install: Callable[[Path, bool], Path]  # (cache folder, whether it may install now): where it is
    launch: Callable[[Place], Launch]


def clean_env(folder: Path) -> dict[str, str]:
    """A child's environment: no proxy, account, database or setting of the user's gets into a measurement."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"HOME": str(folder)}


# -- installing


def install_once(cache: Path, name: str, may_install: bool, install: Callable[[Path], None]) -> Path:
    """A marker is written last, so a half-made install is seen and made anew."""
    folder = cache / name
    marker = folder / "installed"
    if marker.exists():
        return folder
    if not may_install:
        raise NotInstalled("it is not in the cache yet; a run without --quick installs it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    marker.touch()
    return folder


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{Path(command[0]).name} took more than {INSTALL_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise NotInstalled(f"{Path(command[0]).name} failed: {said[:400]}")


def find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def install_python(folder: Path, packages: list[str], any_version: tuple[str, ...] = ()) -> None:
    """Into an environment of its own, with uv where there is one.

    any_version: packages whose pins may be let go when the index does not have (or does not have yet) the exact ones.
    """
    uv = find_uv()
    if uv is None:
        run([sys.executable, "-m", "venv", str(folder / "venv")])
        run([str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", *packages])
        return
    run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    # Compiled now: else a start would compile thousands of modules each time, which no deployment does.
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "venv/bin/python")]
    try:
        run([*install, *packages])
    except NotInstalled:
        if not any_version:
            raise
        overrides = folder / "overrides.txt"
        overrides.write_text("\n".join(any_version) + "\n")
        run([*install, "--override", str(overrides), *packages])


# -- hanok


def no_install(_cache: Path, _may_install: bool) -> Path:
    return Path()


def launch_hanok(place: Place) -> Launch:
    platform = place.folder / "platform.yaml"
    platform.write_text(
        f"""\
name: bench
models:
  - name: {MODEL}
    serve: {{engine: openai, url: "{place.engine}/v1", model: {MODEL}}}
    price: {{input: 1.0, output: 2.0}}
"""
    )
    hanok = [sys.executable, "-m", "hanok"]
    create = [*hanok, "keys", "create", "bench", "--file", str(platform), "--json"]
    done = subprocess.run(
        create, cwd=place.folder, env=clean_env(place.folder), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise NotInstalled(f"`hanok keys create` failed: {' '.join(done.stderr.split())[-300:]}")
    key = json.loads(done.stdout)["key"]
    return Launch(
        command=[*hanok, "up", str(platform), "--host", "127.0.0.1", "--port", str(place.port)],
        headers={"Authorization": f"Bearer {key}"},
    )


# -- litellm


def install_litellm(cache: Path, may_install: bool) -> Path:
    def install(folder: Path) -> None:
        # OpenTelemetry's packages: without them the proxy tries, and fails, to import its tracing at every request.
        # The two whose pins may be let go: the database migrations, which a proxy without database never runs, and
        # the list of certificates, which plain HTTP never reads.
        install_python(
            folder,
            ["litellm[proxy]==1.109.1", "opentelemetry-sdk", "opentelemetry-exporter-otlp"],
            any_version=("litellm-proxy-extras", "certifi"),
        )

    return install_once(cache, "litellm-1.109.1", may_install, install)


def launch_litellm(place: Place) -> Launch:
    config = place.folder / "config.yaml"
    config.write_text(
        f"""\
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: {place.engine}/v1
      api_key: none
general_settings:
  master_key: sk-bench
"""
    )
    command = [str(place.installed / "venv/bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(place.port), "--num_workers", "1", "--telemetry", "False"]
    return Launch(
        command=command,
        headers={"Authorization": "Bearer sk-bench"},
        # Its settings for production, and no download of a price list at the start.
        env={"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )


# -- vllm-router


def install_vllm_router(cache: Path, may_install: bool) -> Path:
    def install(folder: Path) -> None:
        install_python(folder, ["vllm-router==0.1.17"])

    return install_once(cache, "vllm-router-0.1.17", may_install, install)


def launch_vllm_router(place: Place) -> Launch:
    command = [str(place.installed / "venv/bin/vllm-router"), "--worker-urls", place.engine]
    command += ["--host", "127.0.0.1", "--port", str(place.port), "--prometheus-port", str(free_port())]
    # Not its default, cache_aware: that asks the engine to render and tokenize every prompt before it sends the
    # request itself, three requests for one, and with a single engine there is nothing to choose.
    command += ["--policy", "round_robin", "--log-level", "warning"]
    return Launch(command=command, headers={})


# -- portkey

LISTEN_ON_LOOPBACK = """\
// The gateway has no option for the address it listens on, and would listen on all.
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const done = rest.filter((each) => typeof each === "function");
  return listen.call(this, { port, host: "127.0.0.1" }, ...done);
};
"""


def install_portkey(cache: Path, may_install: bool) -> Path:
    def install(folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise NotInstalled("it needs Node.js and npm")
        # With newer versions of this server package every streamed answer fails ("TypeError: immutable").
        package = {
            "private": True,
            "dependencies": {"@portkey-ai/gateway": "1.15.2"},
            "overrides": {"@hono/node-server": "1.13.8"},
        }
        (folder / "package.json").write_text(json.dumps(package, indent=2))
        run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", "--silent"])

    return install_once(cache, "portkey-1.15.2", may_install, install)


def launch_portkey(place: Place) -> Launch:
    preload = place.folder / "loopback.cjs"
    preload.write_text(LISTEN_ON_LOOPBACK)
    server = place.installed / "node_modules/@portkey-ai/gateway/build/start-server.js"
    node = shutil.which("node") or "node"
    return Launch(
        command=[node, "--require", str(preload), str(server), f"--port={place.port}", "--headless"],
        headers={"x-portkey-provider": "openai", "x-portkey-custom-host": f"{place.engine}/v1"},
        env={"NODE_ENV": "production"},
    )


GATEWAYS = (
    Gateway("hanok", "checks the key, meters, prices", "/health/ready", no_install, launch_hanok),
    Gateway("litellm", "checks the key, prices, stores nothing", "/health/readiness", install_litellm, launch_litellm),
    Gateway("vllm-router", "neither keys nor metering", "/readiness", install_vllm_router, launch_vllm_router),
    Gateway("portkey", "neither keys nor metering", "/", install_portkey, launch_portkey),
)
