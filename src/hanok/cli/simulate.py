"""`hanok simulate`: what a scaling rule would have done with a trace: waiting, replicas, dollars; and which is best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.plan import load_to_plan, make_plans, user_catalog
from hanok.cli.simulate_compared import Comparison
from hanok.cli.terminal import DEFAULT_FILE, FileArgument, JsonOption, talk
from hanok.errors import PlanError
from hanok.spec import Loaded, Model, ModelScale

if TYPE_CHECKING:
    from hanok.autoscaling.simulation import Setting
    from hanok.autoscaling.trace import Call

EXIT_NONE_MEETS = 1
MOST_BY_DEFAULT = 8


def simulate(
    file: FileArgument = None,
    *,
    trace: Annotated[
        Path,
        typer.Option(
            "--trace",
            help="Calls to replay: Mooncake's JSON lines, Azure's CSV, or CSV or JSON lines of "
            "`time_s,input_tokens,output_tokens`.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A declared model; by default the first with `scale`, or the only one."),
    ] = None,
    hours: Annotated[float | None, typer.Option("--hours", min=1e-6, help="Replay so many hours of it.")] = None,
    speed: Annotated[float, typer.Option("--speed", min=1e-6, help="Let calls come so many times as densely.")] = 1.0,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1e-6, help="Or so densely that so many come in a second.")
    ] = None,
    fewest: Annotated[int | None, typer.Option("--min", min=0, help="In the place of `scale.min`.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="In the place of `scale.max`.")] = None,
    start_s: Annotated[
        float | None, typer.Option("--start-s", min=0, help="Seconds until an added replica answers.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Try many targets, and name the cheapest that is quick enough.")
    ] = False,
    ttft_p99: Annotated[
        float | None,
        typer.Option(
            "--ttft-p99",
            min=1e-6,
            help="Quick enough: seconds to the first token of 99 calls in 100; by default `deploy.latency.ttft_s`.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots into this file.")] = None,
    hub: Annotated[
        str, typer.Option("--hub", help="Where configs of models that are not built in come from; `none` for nowhere.")
    ] = "https://huggingface.co",
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue to plan with.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a trace against a model's scaling rule: time to the first token, replicas, dollars.

    Replicas are as `hanok plan` reckons the model's cheapest machine. Fixed numbers stand beside the rule to compare.
    A model without `scale` is tried with the usual rule, a suggestion: nothing of it holds until it is written down.
    Exit codes: 0 done; 1 no rule that was tried is quick enough; 2 wrong input, or a model that cannot be planned.

    Example: `hanok simulate --trace trace.csv --sweep --ttft-p99 2`
    """
    from hanok.autoscaling.simulation import Setting

    loaded = load_to_plan(file or DEFAULT_FILE)
    declared = _model(loaded, model)
    scale = _scale(declared, fewest, most)
    limit_s = ttft_p99 or (declared.deploy.latency.ttft_s if declared.deploy else None)
    if sweep and limit_s is None:
        raise PlanError("nothing says how quick is quick enough", hint="say `--ttft-p99 2`, or `deploy.latency.ttft_s`")
    calls = _calls(trace, hours=hours, speed=speed, rate=rate)
    setting = Setting(
        calls=calls,
        hardware=_hardware(loaded, declared, catalog, hub),
        start_s=start_s,
        max_in_flight=declared.serve[0].max_in_flight,
    )
    compared = _compare(declared, setting, scale, trace=trace, sweep=sweep, limit_s=limit_s)
    _tell(compared, html=html, as_json=as_json)
    if sweep and compared.best is None:
        raise typer.Exit(EXIT_NONE_MEETS)


def _model(loaded: Loaded, name: str | None) -> Model:
    """The declared model of that name, or the first that is scaled, or the only one that can be. Raises `PlanError`."""
    models = loaded.platform.models
    if name is not None:
        found = next((each for each in models if each.name == name), None)
        if found is None:
            known = ", ".join(each.name for each in models)
            raise PlanError(f"{loaded.file} declares no model called {name!r}", hint=f"declared models: {known}")
        return found
    planned = [each for each in models if each.deploy is not None or any(one.engine == "vllm" for one in each.serve)]
    found = next(iter([*(each for each in planned if each.scale), *planned]), None)
    if found is not None and found.scale is None and len(planned) > 1:
        hint = f"say which: `--model {found.name}`; there are {', '.join(each.name for each in planned)}"
        raise PlanError(f"none of the {len(planned)} models of {loaded.file} has `scale`", hint=hint)
    if found is None:
        message = f"{loaded.file} has no model that can be planned"
        raise PlanError(message, hint="give one `deploy: {weights: OWNER/MODEL}`, or serve it with `engine: vllm`")
    return found


def _scale(model: Model, fewest: int | None, most: int | None) -> ModelScale:
    """The declared rule, or the usual one, with other bounds where they are given. Raises `PlanError`."""
    scale = model.scale or ModelScale(max=max(MOST_BY_DEFAULT, most or 0, fewest or 0))
    low, high = scale.min if fewest is None else fewest, scale.max if most is None else most
    if low > high:
        raise PlanError(f"min is {low}, more than max, {high}", hint="say both `--min` and `--max`")
    return scale.model_copy(update={"min": low, "max": high})


def _calls(trace: Path, *, hours: float | None, speed: float, rate: float | None) -> list[Call]:
    from hanok.autoscaling.load import load_trace
    from hanok.autoscaling.trace import select

    return select(load_trace(trace), hours=hours, speed=speed, per_s=rate)


def _hardware(loaded: Loaded, model: Model, catalog: Path | None, hub: str):
    from hanok.autoscaling.simulation import hardware_of
    from hanok.gpu import load_catalog, read_catalog
    from hanok.gpu.wishes import wishes_of

    wishes = [(model.name, deploy) for deploy in wishes_of(model)]
    if not wishes:
        hint = "give it `deploy: {weights: OWNER/MODEL}`: what it needs of GPUs says how fast it is"
        raise PlanError(f"the model {model.name!r} cannot be planned: it has no `deploy`", hint=hint)
    figures = read_catalog(catalog) if catalog else load_catalog(user_catalog())[0]
    plans, _ = make_plans(wishes, {}, figures, folder=loaded.folder, hub=hub)
    return hardware_of(plans[0][1], name=model.name)


def _compare(
    model: Model, setting: Setting, scale: ModelScale, *, trace: Path, sweep: bool, limit_s: float | None
) -> Comparison:
    from hanok.autoscaling.simulation import candidates, cheapest
    from hanok.autoscaling.simulation import fixed as fixed_numbers
    from hanok.cli.simulate_run import replay

    alone = fixed_numbers(scale)
    rules = list(candidates(scale)) if sweep else [scale]
    every = replay(setting, [*alone, *((None, each) for each in rules)])
    fixed, tried = every[: len(alone)], every[len(alone) :]
    best = cheapest([*tried, *fixed], ttft_s=limit_s) if limit_s is not None else None
    return Comparison(
        model=model.name,
        is_declared=model.scale is not None,
        setting=setting,
        trace=trace,
        fixed=fixed,
        rules=tried,
        limit_s=limit_s,
        best=best,
    )


def _write(file: Path, text: str) -> None:
    """Raises `PlanError`."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{file} cannot be written: {error.strerror}", hint="name another file with --html") from None


def _tell(compared: Comparison, *, html: Path | None, as_json: bool) -> None:
    from hanok.cli import simulate_view

    if html is not None:
        from hanok.cli.simulate_page import page

        _write(html, page(compared))
        talk.print(f"wrote {html}", highlight=False, soft_wrap=True)
    if as_json:
        simulate_view.print_form(compared)
    else:
        simulate_view.show(compared)
