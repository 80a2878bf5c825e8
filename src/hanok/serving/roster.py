"""The roster: the declared endpoints with their engines, processes and watchers, and how they give way to others.

An endpoint is known by what is declared of it. One that is declared as before goes on as the same object, with its
state, its circuit, its calls and its process. One that is declared no longer is given no new calls; those that run on
it end, and then it is closed. Where a model has nothing else that is up, its old endpoint goes on answering until a new
one is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanok.errors import StartError
from hanok.serving.fleet import Endpoint, Fleet, Replicas
from hanok.serving.launch import TRY_AGAIN_S, EngineProcess, Launch
from hanok.serving.load_watch import LoadWatch
from hanok.serving.table import describe, make_endpoint
from hanok.serving.watch import Watch
from hanok.spec import ADJUSTABLE, STARTED, Loaded, Model
from hanok.spec import Endpoint as EndpointSpec

LOOK_EVERY_S = 0.05
LONGEST_CALL_S = 3600.0
"""What calls of a replica that is not needed any longer are given to end: none is cut to save a process."""
LOAD_AWARE = frozenset({"prefix", "session", "cost"})
"""Policies that look at what engines tell of their load."""
WITH_METRICS = frozenset({"openai", "vllm", "llamacpp"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """An endpoint to be made: `model.serve[index]`, to be called `model#number`."""

    model: Model
    index: int
    number: int

    @property
    def spec(self) -> EndpointSpec:
        return self.model.serve[self.index]


@dataclass(eq=False)
class Post:
    """A declared endpoint: what is declared of it, and what runs."""

    spec: EndpointSpec
    endpoint: Endpoint
    launch: Launch | None
    process: EngineProcess | None = None

    def is_for(self, model: Model, spec: EndpointSpec) -> bool:
        """Whether this is what is declared there; what may change while it runs may differ."""
        return self.endpoint.model == model.name and _core(self.spec) == _core(spec)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What a new platform does to the roster: who goes on, in the place of which declaration; and who is made."""

    loaded: Loaded
    kept: Sequence[tuple[Post, Model, EndpointSpec]]
    openings: Sequence[Opening]
    staying: Sequence[Post]
    leaving: Sequence[Post]
    replicas: Mapping[str, Replicas]
    """Of the models that are scaled."""
    calls_may_end: bool
    """Whether those that leave are just fewer, and in no hurry."""

    def specs(self) -> dict[str, EndpointSpec]:
        """What will be declared of each endpoint, by its name, and was of those that stay for a while."""
        staying = {post.endpoint.name: post.spec for post in self.staying}
        kept = {post.endpoint.name: spec for post, _, spec in self.kept}
        return staying | kept | {f"{each.model.name}#{each.number}": each.spec for each in self.openings}


class Roster:
    """Every endpoint that runs. `fleet` is the picture that calls look at; `restarted` is told of processes that died.

    `changing` is held from `compare` to `apply`, so that nobody leaves in between. `ports` are those of engine
    processes that somebody else runs; then none is started here.
    """

    def __init__(
        self, fleet: Fleet, *, restarted: Callable[[str], None], ports: Mapping[str, int] | None = None
    ) -> None:
        self.fleet = fleet
        self.ports = ports
        self.changing = asyncio.Lock()
        self._restarted = restarted
        self._posts: list[Post] = []
        self._staying: list[Post] = []
        self._leaving: dict[Post, asyncio.Task[None]] = {}
        self._watch = Watch(fleet)
        self._load_watch = LoadWatch()
        self._drain_s = 0.0
        self._counts: Mapping[str, int] = {}

    def specs(self) -> dict[str, EndpointSpec]:
        """What is declared of each endpoint, by its name."""
        return {post.endpoint.name: post.spec for post in [*self._posts, *self._staying]}

    def is_declared(self, name: str) -> bool:
        """Whether the endpoint of that name is declared now, and does not just stay until another is up."""
        return any(post.endpoint.name == name for post in self._posts)

    def compare(self, loaded: Loaded, counts: Mapping[str, int] | None = None) -> Exchange:
        """Find out what has to change for this platform, with so many replicas of its scaled models; by default as many
        as there are. Nothing changes yet."""
        replicas = {} if self.ports is not None else self._replicas(loaded, {**self._counts, **(counts or {})})
        left = sorted([*self._posts, *self._staying], key=lambda post: post.endpoint.state != "up")
        kept: list[tuple[Post, Model, EndpointSpec]] = []
        wanted: list[tuple[Model, int]] = []
        for model in loaded.platform.models:
            for index, spec in _wanted(model, replicas):
                post = next((each for each in left if each.is_for(model, spec)), None)
                if post is None:
                    wanted.append((model, index))
                else:
                    left.remove(post)
                    kept.append((post, model, spec))
        staying = [post for post in left if _is_needed(post, kept, wanted)]
        taken = {post.endpoint.name for post in [*staying, *(post for post, _, _ in kept)]}
        taken |= {post.endpoint.name for post in self._leaving if post.endpoint.model in replicas}
        openings = [_opening(model, index, taken) for model, index in wanted]
        leaving = [post for post in left if post not in staying]
        return Exchange(
            loaded=loaded,
            kept=kept,
            openings=openings,
            staying=staying,
            leaving=leaving,
            replicas=replicas,
            calls_may_end=counts is not None,
        )

    def apply(self, exchange: Exchange, made: Sequence[Post]) -> None:
        """Exchange them, all at one moment. Those `made` for the openings are started, those that go may finish."""
        gateway = exchange.loaded.platform.gateway
        self._drain_s = gateway.drain_s
        self._counts = {name: each.count for name, each in exchange.replicas.items()}
        self.fleet.replicas = dict(exchange.replicas)
        for post, model, spec in exchange.kept:
            _adjust(post, spec, model, gateway.answer_limit_mib)
        self._posts = _in_order(exchange, made)
        self._staying = list(exchange.staying)
        self._show()
        for post in made:
            self._start(post)
        for post in exchange.leaving:
            self._let_go(post, max(self._drain_s, LONGEST_CALL_S) if exchange.calls_may_end else self._drain_s)
        self._watch.look_every(gateway.health_every_s)
        self._load_watch.follow(_to_follow(exchange.loaded, self._posts))

    async def relieve(self) -> None:
        """For ever: let those go who only stay until another of their model is up."""
        while True:
            async with self.changing:
                while post := next((each for each in self._staying if self._is_relieved(each)), None):
                    self._staying.remove(post)
                    self._show()
                    self._let_go(post, self._drain_s)
            await self.fleet.changed()

    async def close(self) -> None:
        """End everything now."""
        leaving = dict(self._leaving)
        for task in leaving.values():
            task.cancel()
        await asyncio.gather(*leaving.values(), return_exceptions=True)
        self._watch.close()
        self._load_watch.close()
        posts = [*self._posts, *self._staying, *leaving]
        await asyncio.gather(*(post.process.stop() for post in posts if post.process), return_exceptions=True)
        await asyncio.gather(*(post.endpoint.engine.aclose() for post in posts), return_exceptions=True)

    def _replicas(self, loaded: Loaded, counts: Mapping[str, int]) -> dict[str, Replicas]:
        """How many there are to be of each scaled model: as many as asked for, as far as its bounds allow."""
        found: dict[str, Replicas] = {}
        for model in loaded.platform.models:
            if model.scale is not None and scaled_place(model) is not None:
                fewest, most = model.scale.min, model.scale.max
                count = min(max(counts.get(model.name, fewest), fewest), most)
                known = self.fleet.replicas.get(model.name)
                because = known.because if known else "as declared"
                found[model.name] = Replicas(count=count, fewest=fewest, most=most, because=because)
        return found

    def _show(self) -> None:
        self.fleet.replace([post.endpoint for post in [*self._posts, *self._staying]])

    def _start(self, post: Post) -> None:
        if post.launch is not None:
            again_s = TRY_AGAIN_S if post.endpoint.model in self.fleet.replicas else ()
            post.process = EngineProcess(
                post.launch, post.endpoint, self.fleet, restarted=self._restarted, try_again_s=again_s
            )
            post.process.start()
        self._watch.begin(post.endpoint)

    def _is_relieved(self, post: Post) -> bool:
        """Whether another can take its place. While that one loads, or when it cannot start at all, it goes on; of
        several replicas one for each that still loads."""
        model = post.endpoint.model
        states = [each.endpoint.state for each in self._posts if each.endpoint.model == model]
        if "up" not in states:
            return "starting" not in states and "failed" not in states
        staying = sum(each.endpoint.model == model for each in self._staying)
        return model not in self.fleet.replicas or staying > states.count("starting")

    def _let_go(self, post: Post, within_s: float) -> None:
        self._watch.end(post.endpoint)
        if post.process is not None:
            post.process.leave()
        task = asyncio.create_task(self._leave(post, within_s), name=f"leave {post.endpoint.name}")
        self._leaving[post] = task

    async def _leave(self, post: Post, within_s: float) -> None:
        """Close it when its last call is over, or has had its time."""
        deadline = time.monotonic() + within_s
        while post.endpoint.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY_S)
        if post.endpoint.in_flight:
            _log.warning("%s is closed; it still had %d calls", post.endpoint.name, post.endpoint.in_flight)
        if post.process is not None:
            await post.process.stop()
        with contextlib.suppress(Exception):  # it is gone either way
            await post.endpoint.engine.aclose()
        del self._leaving[post]


def scaled_place(model: Model) -> int | None:
    """Which of a scaled model's endpoints has replicas: the one whose engine is started here."""
    if model.scale is None:
        return None
    return next((index for index, each in enumerate(model.serve) if each.engine in STARTED), None)


def _wanted(model: Model, replicas: Mapping[str, Replicas]) -> Iterator[tuple[int, EndpointSpec]]:
    """Every endpoint of the model, the scaled one as often as there are to be replicas."""
    place = scaled_place(model)
    for index, spec in enumerate(model.serve):
        times = replicas[model.name].count if index == place and model.name in replicas else 1
        yield from [(index, spec)] * times


def make_posts(loaded: Loaded, openings: Sequence[Opening], *, ports: Mapping[str, int] | None = None) -> list[Post]:
    """Make what is to be made; nothing is started. May take a while. Raises `StartError` naming all that is missing."""
    made: list[Post] = []
    missing: list[StartError] = []
    for opening in openings:
        try:
            endpoint, launch = make_endpoint(loaded, opening.model, opening.index, number=opening.number, ports=ports)
            if launch is not None and ports is not None and endpoint.name not in ports:
                message = f"the endpoint {endpoint.name} needs an engine process, which workers do not start"
                raise StartError(message, hint="start the platform anew, or use one worker")
            made.append(Post(opening.spec, endpoint, launch if ports is None else None))
        except StartError as error:
            missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        hints = "; ".join(dict.fromkeys(error.hint for error in missing if error.hint))
        raise StartError("\n".join(error.message for error in missing), hint=hints or None)
    return made


def declared_openings(loaded: Loaded) -> list[Opening]:
    """Every endpoint of the platform, as one that is to be made."""
    return [
        Opening(model=model, index=index, number=index + 1)
        for model in loaded.platform.models
        for index in range(len(model.serve))
    ]


def _opening(model: Model, index: int, taken: set[str]) -> Opening:
    """Its number is its place, or the first that is free."""
    numbers = [index + 1, *range(1, len(taken) + 2)]
    number = next(each for each in numbers if f"{model.name}#{each}" not in taken)
    taken.add(f"{model.name}#{number}")
    return Opening(model=model, index=index, number=number)


def _is_needed(
    post: Post, kept: Sequence[tuple[Post, Model, EndpointSpec]], wanted: Sequence[tuple[Model, int]]
) -> bool:
    """Whether its model, declared still, has nothing else that is up, but something that may come up."""
    name = post.endpoint.model
    others = {other.endpoint.state for other, model, _ in kept if model.name == name}
    coming = "starting" in others or any(model.name == name for model, _ in wanted)
    return post.endpoint.state == "up" and "up" not in others and coming


def _in_order(exchange: Exchange, made: Sequence[Post]) -> list[Post]:
    """As the file has them: ties between endpoints go round in this order."""
    posts = [*(post for post, _, _ in exchange.kept), *made]
    places = {model.name: place for place, model in enumerate(exchange.loaded.platform.models)}
    return sorted(posts, key=lambda post: (places[post.endpoint.model], int(post.endpoint.name.rpartition("#")[2])))


def _adjust(post: Post, spec: EndpointSpec, model: Model, answer_limit_mib: float) -> None:
    post.spec = spec
    describe(post.endpoint, spec, model)
    post.endpoint.engine.adjust(timeouts=model.timeouts, answer_limit_mib=answer_limit_mib)


def _to_follow(loaded: Loaded, posts: Sequence[Post]) -> dict[Endpoint, float]:
    """The endpoints whose engines' load is to be known, with the seconds between two looks."""
    every_s = {
        model.name: model.routing.load_every_s
        for model in loaded.platform.models
        if model.scale is not None
        or (len(model.serve) > 1 and (model.routing.policy in LOAD_AWARE or any(each.role for each in model.serve)))
    }
    return {
        post.endpoint: every_s[post.endpoint.model]
        for post in posts
        if post.endpoint.model in every_s and post.endpoint.kind in WITH_METRICS
    }


def _core(spec: EndpointSpec) -> Any:
    return spec.model_copy(update=dict.fromkeys(ADJUSTABLE))
