"""Why no node takes a pod, told by its nearest misses, and the cheapest change that would help."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hanok.errors import PlanError
from hanok.gpu.memory import Split, weights_bytes
from hanok.preflight.quantities import CPU, DISK, MEMORY, say
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.choices import ABSENT, ANY
from hanok.preflight.scheduling.pools import Pool
from hanok.preflight.scheduling.seating import Ground, disagreement
from hanok.preflight.scheduling.taints import Taint, untolerated
from hanok.preflight.scheduling.types import ARCH, DECIDED, KNOWN, NODEPOOL
from hanok.preflight.workloads import GPU

SHOWN = 3
CORDONED = "node.kubernetes.io/unschedulable"
_WEIGHT_SHARE = 0.85
"""Of a GPU's memory, what weights may take: an engine needs the rest. The memory layer says it exactly."""
_PARAMETERS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[bB](?![a-zA-Z])")
_PACKED = re.compile(r"(fp8|int8|w8a8)|(awq|gptq|int4|fp4|4bit|w4a16)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Miss:
    """What stands between a pod and one pool."""

    pool: Pool
    words: Sequence[str]
    """Each thing in the way."""
    taint: Taint | None = None
    """What keeps the pod off."""
    label: str = ""
    """The label on which they do not agree."""
    name: str = ""
    """The nearest instance type."""
    short: float = 0.0
    """How much it lacks: the sum of how many times too much is asked for."""

    def __str__(self) -> str:
        return f"pool {self.pool.name}: {'; '.join(self.words)}" if self.pool.cloud != "node" else (
            f"node {self.pool.name}: {'; '.join(self.words)}"
        )  # fmt: skip

    @property
    def kept_off(self) -> bool:
        """By labels, names or taints."""
        return len(self.words) > bool(self.short)

    @property
    def rank(self) -> tuple[int, float, str]:
        return len(self.words), self.short, self.pool.name


def misses(ground: Ground, ask: Ask) -> list[Miss]:
    """Why each pool refuses a pod, the nearest miss first."""
    return sorted((_miss(ground, ask, pool) for pool in ground.pools if pool.cloud), key=lambda each: each.rank)


def _miss(ground: Ground, ask: Ask, pool: Pool) -> Miss:
    taint = untolerated(pool.taints, ask.tolerations)
    label, told = _label_words(ask, pool)
    words = [f"its taint `{taint}` is not tolerated"] if taint else []
    words += [told] if told else []
    suited = pool.names if words else ground.reachable(ask, pool) or frozenset[str]()
    if not suited and not pool.names:
        return Miss(pool=pool, words=[*words, "no instance type meets its requirements"], short=100.0)
    if not suited:
        short = 50.0 if _has_what(ground, ask, pool) else 60.0
        return Miss(pool=pool, words=[_no_type(ground, ask, pool)], short=short)
    short, name = min((_shortfall(ground, ask, pool, name), name) for name in sorted(suited, key=ground.price_order))
    words += [_lack_words(ground, ask, pool, name)] if short else []
    if not words:
        fitting = [each for each in suited if ground.fits(ask, pool, each)]
        key = ground.too_few(pool, fitting)
        least = pool.least_values.get(key, 0)
        words.append(
            f"`minValues` wants {least} values of `{key}` to choose from, and {', '.join(sorted(fitting))} fit"
        )
    return Miss(pool=pool, words=words, taint=taint, label=label, name=name, short=short)


def _label_words(ask: Ask, pool: Pool) -> tuple[str, str]:
    """The label on which pod and pool do not agree, and what to say of it."""
    if not ask.alternatives:
        return "", "the pod's node affinity has no term that any node could meet"
    if ask.node_name and ask.node_name != pool.name:
        return "", f"the pod names the node {ask.node_name}"
    found = [disagreement(each, pool) for each in ask.alternatives]
    key = found[0] or ""
    if all(found):
        wanted, given = ask.alternatives[0][key], pool.choices.get(key)
        has = "has no such label" if given is None or given == ABSENT else f"gives {given}"
        return key, f"the pod wants `{key}` to be {wanted}, the pool {has}"
    if any(each.get(NODEPOOL, ANY).has(pool.name) for each in ask.alternatives):
        return "", ""
    return NODEPOOL, "the pod names another pool"


def _has_what(ground: Ground, ask: Ask, pool: Pool) -> bool:
    """Whether some type of the pool has every kind of device that the pod asks for."""
    return any(set(ask.extended) <= set(ground.room(pool, name).free) for name in pool.names)


def _no_type(ground: Ground, ask: Ask, pool: Pool) -> str:
    for key, wanted in ask.alternatives[0].items():
        if key in DECIDED and not pool.names & ground.types.left_by(key, wanted):
            return f"none of its instance types has `{key}` {wanted}"
    return "none of its instance types has all labels that the pod wants"


def lacking(ground: Ground, ask: Ask, pool: Pool, name: str) -> dict[str, tuple[int, int]]:
    """What a type has too little of: asked for and there."""
    free = ground.room(pool, name).free
    pairs = {each: (wanted, max(0, free.get(each, 0))) for each, wanted in ask.requests.items()}
    return {
        each: (wanted, there)
        for each, (wanted, there) in pairs.items()
        if wanted > there and not (each == DISK and each not in free)
    }


def _shortfall(ground: Ground, ask: Ask, pool: Pool, name: str) -> float:
    return sum(
        min(100.0, wanted / max(there, wanted / 100)) for wanted, there in lacking(ground, ask, pool, name).values()
    )


def _lack_words(ground: Ground, ask: Ask, pool: Pool, name: str) -> str:
    lacks = lacking(ground, ask, pool, name)
    there = _joined([amount(each, there) for each, (_, there) in lacks.items()])
    wanted = _joined([amount(each, wanted) for each, (wanted, _) in lacks.items()])
    nearest = "its nearest type " if len(pool.names) > 1 else ""
    return f"{nearest}{name} leaves {there} to pods, and the pod asks for {wanted}"


def _joined(told: Sequence[str]) -> str:
    return f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)


def amount(resource: str, value: int) -> str:
    """An amount for people; none of something is said so."""
    return say(resource, value) if value else f"no {'CPU' if resource == CPU else resource}"


def wishes(ask: Ask) -> str:
    """What a pod asks for, in words."""
    told = sorted(
        (each for each in ask.requests if each != "pods"), key=lambda each: (each in (CPU, MEMORY, DISK), each)
    )
    return ", ".join(say(each, ask.requests[each]) for each in told) or "nothing in particular"


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """An instance type that would do, and the requirements of the pool that keep it out."""

    pool: Pool
    name: str
    usd_hour: float | None
    keys: Sequence[str]

    def __str__(self) -> str:
        price = f" ({self.usd_hour:.2f} $/h)" if self.usd_hour else ""
        keys = " and ".join(f"`{each}`" for each in self.keys)
        verb = "let" if len(self.keys) == 1 else "let all of"
        return f"{self.name}{price} would do: {verb} {keys} in pool {self.pool.name} allow it"


def remedy(ground: Ground, ask: Ask, miss: Miss) -> Remedy | None:
    """The cheapest instance type that the pool could be given for the pod."""
    if not miss.short or miss.pool.cloud not in ("ec2", "auto"):
        return None
    name = min(_possible(ground, ask, miss.pool), key=ground.price_order, default=None)
    if name is None:
        return None
    keys = [key for key, each in miss.pool.choices.items() if name not in ground.types.left_by(key, each)]
    return Remedy(pool=miss.pool, name=name, usd_hour=ground.types.instances[name].usd_hour, keys=keys)


def helping(ground: Ground, ask: Ask, found: Sequence[Miss]) -> str | None:
    """What would help with the nearest pool: its labels and taints first, then its types."""
    if not found:
        return None
    miss, best = found[0], remedy(ground, ask, found[0])
    told = [*_mend(ask, miss), *([str(best)] if best else [])]
    if miss.short and not best and miss.pool.cloud in ("ec2", "auto"):
        told.append("no instance type that is known has so much: ask for less, or spread the work over several pods")
    return "; ".join(told) or None


def _mend(ask: Ask, miss: Miss) -> Iterator[str]:
    is_node = miss.pool.cloud == "node"
    if miss.taint:
        cordoned = is_node and miss.taint.key == CORDONED
        yield f"`kubectl uncordon {miss.pool.name}`" if cordoned else f"tolerate `{miss.taint}`"
    if miss.label and is_node and miss.label not in KNOWN:
        yield f"`kubectl label node {miss.pool.name} {_labelling(ask, miss.label)}`, or let the pod do without it"
    elif miss.label and is_node:
        yield f"add a node that has `{miss.label}` so, or let the pod do without it"
    elif miss.label:
        yield f"let the template of pool {miss.pool.name} give the label `{miss.label}`, or the pod do without it"


def _labelling(ask: Ask, label: str) -> str:
    """What `kubectl label` is told for a pod to agree: `key=value`, or `key-` where there may be none."""
    wanted = next((each[label] for each in ask.alternatives if label in each), ANY)
    if wanted.takes_absent:
        return f"{label}-"
    return f"{label}={'VALUE' if wanted.others else min(wanted.values)}"


def _possible(ground: Ground, ask: Ask, pool: Pool) -> list[str]:
    """Types that the pod would fit on in such a pool, its architecture kept."""
    names = ground.types.left({ARCH: pool.choices.get(ARCH, ANY)})
    names = names & frozenset(each for wanted in ask.alternatives for each in ground.types.left(wanted))
    weights = weights_of(ground, ask)
    return [each for each in sorted(names) if ground.fits(ask, pool, each) and _holds(ground, ask, each, weights)]


def _holds(ground: Ground, ask: Ask, name: str, weights: float) -> bool:
    host = ground.types.instances[name]
    memory = (ground.types.memory.get(host.accelerator) or 0) * (1 << 20)
    return not weights or (host.gpus >= ask.requests.get(GPU, 0) and weights <= memory * _WEIGHT_SHARE)


def weights_of(ground: Ground, ask: Ask) -> float:
    """Bytes of weights on each GPU of an engine in the pod; 0 where it is not known."""
    for engine in ground.engines.get(ask.workload, ()):
        try:
            anatomy = ground.facts.anatomy(engine.model)
        except PlanError:
            return _by_name(engine.model) / engine.tensor / engine.pipeline
        return weights_bytes(anatomy, Split(tensor=engine.tensor, pipeline=engine.pipeline))
    return 0.0


def _by_name(model: str) -> float:
    """Bytes of weights by a model's name, as `…-70B-…`: two bytes a parameter unless it says that it is packed."""
    found = _PARAMETERS.search(model)
    packed = _PACKED.search(model)
    return float(found[1]) * 1e9 * (0.55 if packed and packed[2] else 1 if packed else 2) if found else 0.0


def wanted_labels(ask: Ask) -> list[str]:
    """Labels that a pod wants and that not every node has."""
    return [
        key for each in ask.alternatives for key, wanted in each.items() if key not in KNOWN and not wanted.takes_absent
    ]
