"""Sources are looked at side by side: a slow one holds up nobody, a broken one is left alone for longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hanok.errors import SourceError
from hanok.gpu.monitor import Load, Reading, Told, Watch
from tests.conftest import wait_until

GPU = Told(readings=(Reading(source="s", node="n", index="0"),))


@dataclass
class Scripted:
    """A source that does what it is told."""

    act: Callable[[int], Told]
    name: str = "s"
    looks: int = 0

    def look(self) -> Told:
        self.looks += 1
        return self.act(self.looks)


@dataclass
class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    now: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> float:
        with self.lock:
            self.now += 1.0
            return self.now


def fails(_: int) -> Told:
    raise SourceError("it is night", hint="wait")


def test_a_source_that_hangs_holds_up_nobody_and_is_told_of() -> None:
    leave = threading.Event()

    def hangs(_: int) -> Told:
        leave.wait(30)
        return GPU

    with Watch([Scripted(hangs, "slow"), Scripted(lambda _: GPU, "quick")], every_s=0.01, patience_s=0.1) as watch:
        watch.wait_first()
        wait_until(lambda: watch.seen()[1].told == GPU)
        wait_until(lambda: (watch.seen()[0].fault or "").startswith("no answer for "))
        assert watch.seen()[0].told == Told()
        assert not watch.all_told
        leave.set()
        wait_until(lambda: watch.seen()[0].told == GPU)


def test_a_fault_is_told_with_its_hint_and_gone_when_the_source_is_back() -> None:
    back = threading.Event()
    source = Scripted(lambda number: GPU if back.is_set() else fails(number))
    with Watch([source], every_s=0.001, patience_s=5) as watch:
        watch.wait_first()
        [seen] = watch.seen()
        assert (seen.fault, seen.hint, seen.told) == ("it is night", "wait", Told())
        back.set()
        wait_until(lambda: watch.seen()[0].told == GPU and watch.seen()[0].fault is None)


def test_what_nobody_foresaw_is_a_fault_like_others() -> None:
    def falls(_: int) -> Told:
        raise ZeroDivisionError("division by zero")

    with Watch([Scripted(falls)], every_s=0.001, patience_s=5) as watch:
        watch.wait_first()
        assert "division by zero" in (watch.seen()[0].fault or "")


def test_a_source_that_fails_is_asked_less_often() -> None:
    broken, sound = Scripted(fails), Scripted(lambda _: GPU)
    with Watch([broken, sound], every_s=0.002, patience_s=5):
        wait_until(lambda: sound.looks >= 100)
        assert broken.looks < 30


def test_tokens_a_second_are_told_from_the_second_look_on() -> None:
    go = threading.Event()

    def counts(number: int) -> Told:
        if number > 2:
            go.wait(30)
        return Told(
            loads=(Load(source="s", model="m", place="p", prompt_tokens=100.0 * number, output_tokens=-10.0 * number),)
        )

    with Watch([Scripted(counts)], every_s=0.0, patience_s=10**6, monotonic=Clock()) as watch:
        wait_until(lambda: watch.seen()[0].told.loads and watch.seen()[0].told.loads[0].prompt_rate)
        [load] = watch.seen()[0].told.loads
        assert load.prompt_rate is not None
        assert 0 < load.prompt_rate <= 100  # a hundred tokens in one second or more
        assert load.output_rate is None  # a counter that falls began anew
        go.set()


def test_nobody_is_asked_once_it_is_closed() -> None:
    source = Scripted(lambda _: GPU)
    with Watch([source], every_s=0.001, patience_s=5):
        wait_until(lambda: source.looks > 3)
    wait_until(lambda: not any(each.name == "gpu s" for each in threading.enumerate()))
