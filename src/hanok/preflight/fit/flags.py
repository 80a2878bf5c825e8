"""Flags, variables and images of engines: does this version of vLLM have them, and do they do what they seem to.

vLLM stops at a flag that it does not know, so a typing error or an old article costs a node that was started for
nothing. What is judged is the version in the image's tag, or the newest known where the tag says none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from hanok.preflight.case import Case
from hanok.preflight.engines import Engine, Flag, is_switch, read_engine
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.fit.load_flags import Gone, Version, vocabulary
from hanok.preflight.manifests import Manifest, list_at, mappings_at
from hanok.preflight.workloads import Container, Workload

UNKNOWN_FLAG = Rule("HK401", "error", "a flag that vLLM does not know", "vLLM stops at it: correct it or delete it")
OTHER_VERSION = Rule(
    "HK402", "error", "a flag that this vLLM does not have", "take what came in its place, or the version that has it"
)
SAYS_NOTHING = Rule("HK403", "info", "a flag that changes nothing", "leave it out")
MODEL_FLAG = Rule("HK404", "info", "`--model` under `vllm serve`", "give the model as the first argument")
REMOTE_CODE = Rule(
    "HK405", "warning", "code from the model's repository is trusted without need", "delete --trust-remote-code"
)
OLD = Rule("HK406", "warning", "a vLLM from before its present engine", "take a release of this year, and test it")
NO_VERSION = Rule("HK407", "info", "an image that does not say vLLM's version", "pin a release by its tag, or digest")
DEAF_VARIABLE = Rule("HK408", "warning", "a variable that vLLM no longer reads", "use the flag that took its place")
OLD_TOKEN = Rule("HK409", "info", "the token's old name", "call the variable HF_TOKEN")
BAD_VALUE = Rule("HK410", "error", "a value that vLLM refuses", "give a value of the kind that the flag takes")
ALL_MEMORY = Rule(
    "HK412", "warning", "nearly all GPU memory is given away", "stay at 0.95 or below; 0.92 is the default"
)

V1: Version = (0, 8, 0)
"""The first release whose engine is the present one by default (January to March 2025)."""
SURE_SINCE: Version = (0, 30, 0)
"""Flags of images from here on are known well enough to call one unknown for certain."""
SERVES_SINCE: Version = (0, 20, 0)
"""By then at the latest the official image starts `vllm serve`."""
DEFAULTS = {
    "enable-prefix-caching": "prefixes are cached unless --no-enable-prefix-caching says otherwise",
    "enable-chunked-prefill": "prompts are cut into chunks unless --no-enable-chunked-prefill says otherwise",
    "block-size": "the attention backend chooses it; a size that it cannot do is refused",
}
NATIVE = re.compile(
    r"^(Llama|Llama4|Mistral|Mistral3|Mixtral|Gemma|Gemma2|Gemma3|Gemma4|Phi3|GptOss|DeepseekV[23]|DeepseekV32|"
    r"Qwen2|Qwen2Moe|Qwen3|Qwen3Moe|Qwen3Next|Qwen3VL|Qwen3VLMoe|Qwen3_5|Qwen3_5Moe|Glm4|Glm4Moe)"
    r"(ForCausalLM|ForConditionalGeneration)$"
)
"""Architectures that vLLM and transformers have themselves."""
_OWN_TOKENIZER = re.compile(r"kimi|moonshot", re.IGNORECASE)
_NO_ENGINES_OWN = frozenset(
    {"model", "seed", "dtype", "quantization", "revision", "tokenizer", "log-level", "load-format"}
)
"""Flags that other servers have, too: they do not make a list of arguments vLLM's."""
_CHOICES = {
    "dtype": ("auto", "half", "float16", "bfloat16", "float", "float32"),
    "runner": ("auto", "generate", "pooling", "draft"),
}
_WHOLE = frozenset({
    "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "max-num-seqs", "max-num-batched-tokens",
    "port", "block-size", "nnodes", "data-parallel-size-local",
})  # fmt: skip
_SHARE = frozenset({"gpu-memory-utilization"})


def engines_told(case: Case) -> Iterator[Engine]:
    """The engines of pods, and those that an article shows without a manifest around them."""
    yield from case.engines
    for fragment in case.cluster.fragments:
        yield from _in_fragment(fragment)


def _in_fragment(fragment: Manifest) -> Iterator[Engine]:
    workload = Workload(manifest=fragment, path=(), least=1, most=1, replicas=1)
    if list_at(fragment.body, "args"):
        containers: Sequence[Container] = [Container(body=fragment.body, path=())]
    else:
        containers = workload.containers
    for container in containers:
        found = read_engine(workload, container) or read_engine(workload, container, surely=True)
        if found and (container.name.startswith("vllm") or _is_vllms(found)):
            yield found


def _is_vllms(engine: Engine) -> bool:
    known = vocabulary()
    return any(name in known.engine | known.gone.keys() and name not in _NO_ENGINES_OWN for name in engine.given)


def check_flags(case: Case) -> Iterator[Finding]:
    for engine in engines_told(case):
        for flag in engine.flags:
            yield from _judge(engine, flag)


def _judge(engine: Engine, flag: Flag) -> Iterator[Finding]:
    name, known = _plain(flag.name), vocabulary()
    if not name or name.startswith("-"):
        return
    if name in known.gone and name not in known.flags:
        yield from _gone(engine, flag, known.gone[name])
    elif _meant(name) is None:
        yield _unknown(engine, flag, name)
    elif (since := known.new.get(name)) and engine.version and engine.version < since:
        message = f"`--{name}` is not in vLLM {_said(engine.version)} yet"
        hint = f"take vLLM {_said(since)} or newer (now {_said(known.newest)}), or leave it out"
        manifest, path = engine.workload.manifest, engine.path(flag)
        yield OTHER_VERSION.on(manifest, *path, message=message, hint=hint, severity=_sure(engine))


def _plain(name: str) -> str:
    """A flag's own name: without its negation, and without the place inside of a JSON value."""
    name = name.partition(".")[0].rstrip("+")
    known = vocabulary().flags | vocabulary().gone.keys()
    return name.removeprefix("no-") if name not in known else name


def _meant(name: str) -> str | None:
    """The flag that is meant: itself, or the only one that begins so."""
    known = vocabulary().flags
    if name in known:
        return name
    begun = [each for each in known if each.startswith(name)]
    return begun[0] if len(begun) == 1 else None


def _gone(engine: Engine, flag: Flag, gone: Gone) -> Iterator[Finding]:
    manifest, path = engine.workload.manifest, engine.path(flag)
    if gone.by == (0, 0, 0):
        message, hint = f"neither vLLM nor llm-d ever had `--{flag.name}`", _instead(gone)
        yield UNKNOWN_FLAG.on(manifest, *path, message=message, hint=hint)
    elif engine.version is None or engine.version >= gone.by:
        judged = _said(engine.version) if engine.version else f"{_said(vocabulary().newest)} (the image names none)"
        message = f"`--{flag.name}` is gone from vLLM by {_said(gone.by)}; judged is {judged}"
        yield OTHER_VERSION.on(manifest, *path, message=message, hint=_instead(gone), severity=_sure(engine))
    else:
        message = f"`--{flag.name}` is gone by vLLM {_said(gone.by)}: {_said(engine.version)} may be its last"
        hint = f"before an update: {gone.instead}"
        yield OTHER_VERSION.on(manifest, *path, message=message, hint=hint, severity="info")


def _instead(gone: Gone) -> str:
    return gone.instead if gone.instead.startswith("delete") else f"instead: {gone.instead}"


def _sure(engine: Engine) -> Severity:
    """An error only where it is known which vLLM will read it."""
    return "error" if engine.official or not engine.container.image else "warning"


def _unknown(engine: Engine, flag: Flag, name: str) -> Finding:
    known = vocabulary()
    manifest, path = engine.workload.manifest, engine.path(flag)
    sure = engine.version is None or engine.version >= SURE_SINCE
    severity = _sure(engine) if sure else "warning"
    if " " in name:
        word = name.split()[0]
        message = f"`--{name}` is one argument with a space in it, so no flag is called so"
        return UNKNOWN_FLAG.on(
            manifest, *path, message=message, hint=f"make it two, or `--{word}=…`", severity=_sure(engine)
        )
    near = difflib.get_close_matches(name, sorted(known.flags), n=2, cutoff=0.75)
    meant = f"did you mean {' or '.join(f'--{each}' for each in near)}?" if near else UNKNOWN_FLAG.hint
    whose = f"vLLM {_said(known.listed)}"
    message = f"`--{name}` is no flag of {whose}"
    return UNKNOWN_FLAG.on(manifest, *path, message=message, hint=meant, severity=severity)


def _said(version: Version) -> str:
    return ".".join(str(each) for each in (version if version[2] else version[:2]))


def check_flags_that_change_nothing(case: Case) -> Iterator[Finding]:
    for engine in engines_told(case):
        if engine.version and engine.version < V1:
            continue
        for flag in engine.flags:
            if flag.name in DEFAULTS:
                message = f"`--{flag.name}`: {DEFAULTS[flag.name]}"
                yield SAYS_NOTHING.on(engine.workload.manifest, *engine.path(flag), message=message)


def check_model_flag(case: Case) -> Iterator[Finding]:
    for engine in engines_told(case):
        by_image = engine.official and not list_at(engine.container.body, "command")
        newly = engine.version is not None and engine.version >= SERVES_SINCE
        if (engine.by_serve or (by_image and newly)) and "model" in engine.given:
            message = "vLLM warns that `--model` will be removed"
            hint = f"give the model as the first argument: `vllm serve {engine.given['model'] or 'MODEL'} …`"
            yield MODEL_FLAG.on(engine.workload.manifest, *engine.path("model"), message=message, hint=hint)


def check_trust(case: Case) -> Iterator[Finding]:
    for engine in case.fits:
        found, given = engine.anatomy, engine.engine
        if "trust-remote-code" not in given.given or given.given["trust-remote-code"] in ("false", "0"):
            continue
        if found and NATIVE.match(found.architecture) and not _OWN_TOKENIZER.search(found.name):
            message = f"{found.name} ({found.architecture}) needs no code of its own, yet whatever is there will be run"
            yield REMOTE_CODE.on(given.workload.manifest, *given.path("trust-remote-code"), message=message)


def check_version(case: Case) -> Iterator[Finding]:
    newest = _said(vocabulary().newest)
    for engine in case.engines:
        manifest, path = engine.workload.manifest, (*engine.container.path, "image")
        image = engine.container.image
        if engine.version and engine.version < V1:
            message = f"`{image}` has the engine that vLLM has left; {newest} is out"
            yield OLD.on(manifest, *path, message=message)
        elif engine.official and engine.version is None:
            message = f"`{image}` names no version: flags are judged as of vLLM {newest}"
            yield NO_VERSION.on(manifest, *path, message=message)


def check_variables(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        for index, entry in enumerate(mappings_at(engine.container.body, "env")):
            name, path = str(entry.get("name")), (*engine.container.path, "env", index)
            if gone := vocabulary().variables.get(name):
                yield _deaf(engine, name, gone, path)
            elif name in ("HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"):
                message = f"{name} is the old name of HF_TOKEN; new libraries may not look at it"
                yield OLD_TOKEN.on(engine.workload.manifest, *path, message=message)


def _deaf(engine: Engine, name: str, gone: Gone, path: tuple[str | int, ...]) -> Finding:
    """A warning where something else happens than is meant; what is meant may be what happens anyway."""
    heard = engine.version is not None and engine.version < gone.by
    harmless = heard or (name == "VLLM_USE_V1" and engine.container.env.get(name) == "1")
    when = "not read any more by" if heard else "not read since, at the latest,"
    message = f"{name} is {when} vLLM {_said(gone.by)}"
    severity = "info" if harmless else "warning"
    return DEAF_VARIABLE.on(engine.workload.manifest, *path, message=message, hint=_instead(gone), severity=severity)


def check_values(case: Case) -> Iterator[Finding]:
    for engine in engines_told(case):
        for flag in engine.flags:
            if wrong := _wrong(flag):
                yield BAD_VALUE.on(engine.workload.manifest, *engine.path(flag), message=wrong, severity=_sure(engine))


def _wrong(flag: Flag) -> str | None:
    """What is wrong with a flag's value, if anything is for certain."""
    name, value = flag.name, flag.value
    if value is not None and "$" in value:
        return None
    if is_switch(name) and name in vocabulary().flags and value is not None:
        return f"`--{name}` is a switch and takes no value; `{value}` is read as something else"
    if name not in _CHOICES and name not in _WHOLE and name not in _SHARE:
        return None
    if value is None:
        return f"`--{name}` has no value"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"`--{name} {value}`: it is one of {', '.join(_CHOICES[name])}"
    if name in _WHOLE and not re.fullmatch(r"\d+(\.\d+)?[kKmMgG]?", value):
        return f"`--{name} {value}`: it is a whole number"
    if name in _SHARE and not _is_share(value):
        return f"`--{name} {value}`: it is a share, above 0 and at most 1"
    return None


def _is_share(value: str) -> bool:
    try:
        return 0 < float(value) <= 1
    except ValueError:
        return False


def check_utilization(case: Case) -> Iterator[Finding]:
    for engine in engines_told(case):
        share = engine.number("gpu-memory-utilization", 0.0)
        if 0.97 < share <= 1:
            message = (
                f"{share:g} of the GPU's memory is the cap for weights, activations and cache together: what the "
                "driver and CUDA graphs take has no room, and vLLM refuses to start where less is free"
            )
            yield ALL_MEMORY.on(engine.workload.manifest, *engine.path("gpu-memory-utilization"), message=message)


CHECKS = (
    check_flags, check_flags_that_change_nothing, check_model_flag, check_trust, check_version, check_variables,
    check_values, check_utilization,
)  # fmt: skip
