"""The rivals: how each is installed and started in front of the engine.

The idea that keeps it simple: all that is special about one of them is in its few lines here. Each is set up the way
that suits it best; where that is not its default, the comment says so.
"""

import json
import shutil
from pathlib import Path

from fake_engine import MODEL
from launch import Gateway, Launch, NotInstalled, Place, install_once, install_python, run
from ours import launch_bare, launch_hanok, no_install
from processes import free_port

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


# -- smg


def install_smg(cache: Path, may_install: bool) -> Path:
    def install(folder: Path) -> None:
        install_python(folder, ["smg==1.13.0"])

    return install_once(cache, "smg-1.13.0", may_install, install)


def launch_smg(place: Place) -> Launch:
    command = [str(place.installed / "venv/bin/smg"), "launch", "--worker-urls", place.engine]
    command += ["--host", "127.0.0.1", "--port", str(place.port)]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    # Not its default, cache_aware: with a single engine there is nothing to choose. No tokenizer: it would be looked
    # for on the network, and plain HTTP needs none.
    command += ["--policy", "round_robin", "--log-level", "warn", "--disable-tokenizer-autoload"]
    return Launch(command=command, headers={})


# -- tensorzero

# Its wheel has no program to start, but the gateway's own HTTP server, for OpenAI clients within a Python process. The
# server runs on threads of its own, in Rust; Python only waits. It chooses its port itself.
SERVE_TENSORZERO = """\
import pathlib, signal, urllib.parse
from tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file="tensorzero.toml", clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
pathlib.Path("port.new").write_text(str(urllib.parse.urlsplit(gateway.base_url).port))
pathlib.Path("port.new").rename("port")
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.pause()
"""


def install_tensorzero(cache: Path, may_install: bool) -> Path:
    def install(folder: Path) -> None:
        install_python(folder, ["tensorzero==2026.6.0"])

    return install_once(cache, "tensorzero-2026.6.0", may_install, install)


def launch_tensorzero(place: Place) -> Launch:
    (place.folder / "tensorzero.toml").write_text(
        f"""\
[gateway.observability]
enabled = false

[models.{MODEL}]
routing = ["engine"]

[models.{MODEL}.providers.engine]
type = "openai"
api_base = "{place.engine}/v1/"
model_name = "{MODEL}"
api_key_location = "none"
"""
    )
    return Launch(
        command=[str(place.installed / "venv/bin/python"), "-c", SERVE_TENSORZERO],
        headers={},
        path="/openai/v1/chat/completions",
        model=f"tensorzero::model_name::{MODEL}",
        port_file=place.folder / "port",
    )


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


ALL_ON = "keys, metering, prices, budgets and limits of key, team, model and session, spans"
GATEWAYS = (
    Gateway("hanok", ALL_ON, "/health/ready", no_install, launch_hanok, exports=True),
    Gateway("hanok-bare", "keys, metering, prices", "/health/ready", no_install, launch_bare),
    Gateway("litellm", "checks the key, prices, stores nothing", "/health/readiness", install_litellm, launch_litellm),
    Gateway("vllm-router", "neither keys nor metering", "/readiness", install_vllm_router, launch_vllm_router),
    Gateway("smg", "neither keys nor metering", "/readiness", install_smg, launch_smg),
    Gateway("tensorzero", "neither keys nor stored metering", None, install_tensorzero, launch_tensorzero),
    Gateway("portkey", "neither keys nor metering", "/", install_portkey, launch_portkey),
)
