"""`hanok plan`: which machines can serve the declared models, how fast, at what price, and why the others cannot."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanok.cli.terminal import DEFAULT_FILE, FileArgument, JsonOption, print_json, talk
from hanok.errors import PlanError
from hanok.spec import Deploy, Loaded, load

if TYPE_CHECKING:
    from hanok.gpu import Catalog, Plan
    from hanok.gpu.load import FetchedConfig

EXIT_NOTHING_FITS, EXIT_NOT_PLANNED = 1, 2


class Quantization(StrEnum):
    NONE, FP8, INT8, AWQ, GPTQ, MXFP4, NVFP4 = "none", "fp8", "int8", "awq", "gptq", "mxfp4", "nvfp4"


def user_catalog() -> Path:
    """Where `hanok catalog update` keeps a newer catalogue."""
    return Path(typer.get_app_dir("hanok")) / "catalog.yaml"


def plan(
    file: FileArgument = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A model of Hugging Face or a folder with its config.json; with a FILE, "
            "the declared model of that name.",
        ),
    ] = None,
    context: Annotated[int | None, typer.Option("--context", min=1, help="Tokens of one call, at most.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Such calls in memory at once.")
    ] = None,
    requests_per_s: Annotated[
        float | None, typer.Option("--requests-per-s", min=1e-6, help="Calls a second that are expected.")
    ] = None,
    prompt: Annotated[int | None, typer.Option("--prompt", min=1, help="Tokens of a usual prompt.")] = None,
    output: Annotated[int | None, typer.Option("--output", min=1, help="Tokens of a usual answer.")] = None,
    ttft: Annotated[float | None, typer.Option("--ttft", min=1e-6, help="Seconds to the first token, at most.")] = None,
    tpot: Annotated[
        float | None, typer.Option("--tpot", min=1e-6, help="Milliseconds for each further token, at most.")
    ] = None,
    quantization: Annotated[
        Quantization | None,
        typer.Option("--quantization", help="How weights are quantised; by default as its config says."),
    ] = None,
    kv_fp8: Annotated[bool, typer.Option("--kv-fp8", help="Keep the KV cache in fp8.")] = False,
    gpu: Annotated[
        list[str] | None, typer.Option("--gpu", help="A GPU or instance type to choose from, or a pattern: `g6e.*`.")
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="Reckon with the price of spot instances.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Options to show.")] = 5,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every option, and every machine that fell out.")
    ] = False,
    hub: Annotated[
        str, typer.Option("--hub", help="Where configs of models that are not built in come from; `none` for nowhere.")
    ] = "https://huggingface.co",
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue to plan with.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which machines can serve a model, how fast, at what price, cheapest first, and why the others cannot.

    Without --model, every model of the file that has `deploy`, or runs on vLLM. Nothing is asked of a cloud.
    Exit codes: 0 everything fits somewhere; 1 a model fits nowhere; 2 wrong input, or a model that cannot be planned.

    Example: `hanok plan --model Qwen/Qwen3-32B --context 32768 --concurrency 16`
    """
    wishes = {
        "context_tokens": context, "concurrency": concurrency, "gpu": gpu or None, "spot": spot or None,
        "kv_dtype": "fp8" if kv_fp8 else None, "quantization": quantization.value if quantization else None,
        "load": {"requests_per_s": requests_per_s, "prompt_tokens": prompt, "output_tokens": output},
        "latency": {"ttft_s": ttft, "tpot_ms": tpot},
    }  # fmt: skip
    loaded = None if file is None and model is not None else load_to_plan(file or DEFAULT_FILE)
    named = _deploys(loaded, model)
    figures, source = _catalog(catalog)
    plans, refusals = make_plans(named, wishes, figures, folder=loaded.folder if loaded else Path(), hub=hub)
    _tell(plans, refusals, figures, source, top=None if show_all else top, as_json=as_json)
    if refusals:
        raise typer.Exit(EXIT_NOT_PLANNED)
    if any(not each.fits for _, each in plans):
        raise typer.Exit(EXIT_NOTHING_FITS)


def load_to_plan(file: Path) -> Loaded:
    """The platform, for which keys and passwords need not be set; who names a model where the file belongs is told so.

    Raises `SpecError`, `PlanError`.
    """
    if not file.exists() and file.suffix not in (".yaml", ".yml"):
        raise PlanError(f"{file}: no such file", hint=f"to plan a model: `hanok plan --model {file}`")
    loaded = load(file, lenient=True)
    for index in range(len(loaded.platform.models)):
        loaded.require(f"models[{index}].deploy")
    return loaded


def _deploys(loaded: Loaded | None, model: str | None) -> list[tuple[str, Deploy]]:
    """What is to be planned: names, and what is wanted of each. Raises `PlanError`."""
    from hanok.gpu.wishes import wishes_of

    if loaded is None:
        assert model is not None
        return [(model, Deploy(weights=model))]
    declared = [(each.name, deploy) for each in loaded.platform.models for deploy in wishes_of(each)]
    if model is None:
        return declared
    found = [(name, deploy) for name, deploy in declared if name == model]
    if not found:
        known = ", ".join(name for name, _ in declared) or "none"
        raise PlanError(f"{loaded.file} plans no model called {model!r}", hint=f"planned models: {known}")
    return found


def _catalog(file: Path | None) -> tuple[Catalog, str]:
    from hanok.gpu import load_catalog, read_catalog

    return (read_catalog(file), str(file)) if file else load_catalog(user_catalog())


def make_plans(
    named: list[tuple[str, Deploy]], wishes: dict[str, Any], catalog: Catalog, *, folder: Path, hub: str
) -> tuple[list[tuple[str, Plan]], list[tuple[str, PlanError]]]:
    from hanok.gpu import load_model
    from hanok.gpu import plan as make_plan
    from hanok.gpu.wishes import wish

    fetch = None if hub == "none" else partial(_fetch, hub=hub)
    plans: list[tuple[str, Plan]] = []
    refusals: list[tuple[str, PlanError]] = []
    for name, deploy in named:
        try:
            anatomy = load_model(deploy.weights or name, folder=folder, fetch=fetch)
            plans.append((name, make_plan(anatomy, wish(deploy, wishes), catalog)))
        except PlanError as error:
            refusals.append((name, error))
    if refusals and len(named) == 1:
        raise refusals[0][1]
    return plans, refusals


def _fetch(model: str, *, hub: str) -> FetchedConfig:
    from hanok.gpu.client import fetch_config

    return fetch_config(model, hub=hub, token=os.environ.get("HF_TOKEN"))


def _tell(
    plans: list[tuple[str, Plan]],
    refusals: list[tuple[str, PlanError]],
    catalog: Catalog,
    source: str,
    *,
    top: int | None,
    as_json: bool,
) -> None:
    from hanok.cli import plan_view

    if as_json:
        refused = [{"model": name, "message": error.message, "hint": error.hint} for name, error in refusals]
        print_json(plan_view.form(plans, catalog, source) | {"refused": refused})
        return
    if not plans and not refusals:
        message = "No model here runs on GPUs of yours: give one `deploy`, or plan one with `hanok plan --model …`."
        talk.print(message, soft_wrap=True)
        return
    plan_view.show(plans, catalog, top=top)
    for name, error in refusals:
        talk.print(f"{name} cannot be planned: {error}", style="red", markup=False, soft_wrap=True)
