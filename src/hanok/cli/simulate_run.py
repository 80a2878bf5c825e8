"""Replays of `hanok simulate`: in this process, or where there is much to do in one for each processor.

A replay needs nothing but the setting, so each process is handed that once, and then only rules.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from hanok.autoscaling.simulation import Setting, Tried
from hanok.cli.terminal import talk
from hanok.spec import ModelScale

WORTH_PROCESSES = 150_000
"""Calls of all replays together: some seconds of one processor, beside which the start of others is small."""
Titled = tuple[str | None, ModelScale]


def replay(setting: Setting, rules: Sequence[Titled]) -> list[Tried]:
    """Each rule tried, in their order, with a bar on a terminal. Raises `PlanError`."""
    calls = len(setting.calls)
    processes = min(os.cpu_count() or 1, len(rules))
    with _progress(calls * len(rules), len(rules)) as step:
        if processes == 1 or calls * len(rules) < WORTH_PROCESSES:
            return list(_one_by_one(setting, rules, step))
        return _together(setting, rules, processes, lambda: step(calls))


def _one_by_one(setting: Setting, rules: Sequence[Titled], step: Callable[[int], None]) -> Iterator[Tried]:
    for title, scale in rules:
        last = 0

        def told(done: int) -> None:
            nonlocal last
            step(done - last)
            last = done

        yield setting.try_out(scale, title=title, progress=told)
        step(len(setting.calls) - last)


def _together(setting: Setting, rules: Sequence[Titled], processes: int, step: Callable[[], None]) -> list[Tried]:
    """In processes of their own, which know nothing of what this one has open."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_settle, initargs=(setting,)) as pool:
        try:
            asked = [pool.submit(_try_out, title, scale) for title, scale in rules]
            for each in as_completed(asked):
                each.result()
                step()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [each.result() for each in asked]


_settled: list[Setting] = []
"""In a process that replays: what all rules are tried with."""


def _settle(setting: Setting) -> None:
    _settled[:] = [setting]


def _try_out(title: str | None, scale: ModelScale) -> Tried:
    return _settled[0].try_out(scale, title=title)


@contextmanager
def _progress(total: int, rules: int) -> Generator[Callable[[int], None]]:
    """A bar over the calls of all replays; to be told how many more have come."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    told = f"replaying {rules} rules" if rules > 1 else "replaying"
    columns = (TextColumn(told), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        task = progress.add_task(told, total=total)
        yield lambda more: progress.advance(task, more)
