"""How well and how fast knowledge is searched, by the store that platforms use (Milvus Lite), beside langchain-milvus.

    .venv/bin/python bench/retrieval.py             # quality; installs langchain-milvus into a cache folder
    .venv/bin/python bench/retrieval.py --quick     # the same, without langchain-milvus where it is not installed yet
    .venv/bin/python bench/retrieval.py --speed     # instead: searches among 20,000 and 200,000 passages
    .venv/bin/python bench/retrieval.py --speed 20000 --json

The idea that keeps it honest: everybody gets the same documents, one passage each, the same vectors (the embedded
sentence encoder) and ten places; only how they are looked up differs. `default` is what platform.yaml gives where
`retrieve` says nothing. Figures are named SET/METHOD, those of speed PASSAGES/METHOD. Ends with what was to be reached.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hanok.knowledge.ranking import terms_of, terms_of_question
from hanok.knowledge.store import Store
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Query, Row, Shape
from hanok.serving.encoder import DIMENSIONS, SentenceEncoder
from hanok.spec import Index, Retrieve
from hanok.wire import TaskRequest
from launch import NotInstalled, install_once, install_python
from processes import rss_mib
from retrieval_sets import DATA, MEASURES, Judged, mean_measures, read_sets

Figures = dict[str, dict[str, float]]
RIVAL = "langchain-milvus-0.4.0"
SIZES = (20_000, 200_000)
SEARCHES = 100
BATCH = 1_000
DECLARED = Retrieve()
PLACES = 10

talk = Console(stderr=True)


@dataclass(frozen=True)
class Method:
    """A way to look passages up."""

    title: str
    lexical: bool = True
    dense: bool = True
    mmr_lambda: float = 1.0

    def query(self, question: str, vector: bytes, k: int) -> Query:
        return Query(
            readers=(EVERYONE,),
            vector=vector if self.dense else None,
            terms=terms_of_question(question) if self.lexical else "",
            k=k,
            fetch_k=DECLARED.fetch_k,
            lexical_weight=DECLARED.lexical_weight,
            dense_weight=DECLARED.dense_weight,
            mmr_lambda=self.mmr_lambda,
            ef=DECLARED.ef,
            nprobe=DECLARED.nprobe,
        )


METHODS = {
    "default": Method("where nothing is declared", mmr_lambda=DECLARED.mmr_lambda),
    "lexical": Method("words alone", dense=False),
    "dense": Method("meaning alone", lexical=False),
    "hybrid": Method("both"),
    "hybrid_mmr": Method("both, λ 0.5", mmr_lambda=0.5),
    "hybrid_mmr_90": Method("both, λ 0.9", mmr_lambda=0.9),
}
TITLES = {name: method.title for name, method in METHODS.items()} | {
    "langchain": "langchain-milvus, as it comes",
    "langchain_mmr": "the same with its MMR",
}


class Texts:
    """Vectors of texts, by the embedded sentence encoder, each made once."""

    def __init__(self, progress: Progress) -> None:
        self._encoder = SentenceEncoder()
        self._progress = progress

    def vectors(self, texts: Sequence[str], what: str) -> Any:
        made: list[Any] = []
        for some in self._progress.track(list(batched(texts, 64)), description=f"embedding {what}"):
            result = asyncio.run(self._encoder.perform(TaskRequest.embed("encoder", some)))
            made.append(numpy.asarray(result.vectors(), dtype="<f4"))
        return numpy.concatenate(made)


def batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def open_store(folder: Path) -> Store:
    return MilvusStore(str(folder / "passages.db"))


def row_of(name: str, text: str, vector: Any) -> Row:
    return Row(
        id=name, document=name, digest="1", ordinal=0, path=name, title=name, text=text, terms=terms_of(text),
        vector=vector.astype("<f4").tobytes(), end=len(text),
    )  # fmt: skip


async def fill(store: Store, rows: Iterator[Row], count: int, progress: Progress, what: str) -> None:
    await store.create("bench", Shape(dimensions=DIMENSIONS, index=Index()))
    task = progress.add_task(f"writing {what}", total=count)
    while some := list(itertools.islice(rows, BATCH)):
        await store.write("bench", some)
        progress.advance(task, len(some))


# -- quality


def measure_quality(judged: Judged, progress: Progress, cache: Path, may_install: bool) -> tuple[Figures, list[str]]:
    texts = Texts(progress)
    documents = texts.vectors(list(judged.documents.values()), judged.name)
    questions = texts.vectors(judged.questions, f"{judged.name}'s questions")
    with tempfile.TemporaryDirectory() as folder:
        orders = asyncio.run(search_ours(judged, documents, questions, Path(folder), progress))
        try:
            installed = install_once(cache, RIVAL, may_install, install_rival)
            orders |= search_rival(judged, documents, questions, Path(folder), installed)
            left_out: list[str] = []
        except NotInstalled as reason:
            left_out = [f"langchain-milvus is left out: {reason}"]
    return {f"{judged.name}/{name}": mean_measures(order, judged) for name, order in orders.items()}, left_out


async def search_ours(
    judged: Judged, documents: Any, questions: Any, folder: Path, progress: Progress
) -> dict[str, list[list[str]]]:
    names = list(judged.documents)
    rows = (row_of(str(at), judged.documents[name], documents[at]) for at, name in enumerate(names))
    store = open_store(folder / "state")
    try:
        await fill(store, rows, len(names), progress, judged.name)
        found: dict[str, list[list[str]]] = {}
        for name, method in METHODS.items():
            asked = zip(judged.questions, questions, strict=True)
            queries = [method.query(text, vector.tobytes(), PLACES) for text, vector in asked]
            asking = progress.track(queries, description=f"asking: {name}")
            found[name] = [[names[int(hit.id)] for hit in await store.search("bench", each)] for each in asking]
        return found
    finally:
        await store.aclose()


def install_rival(folder: Path) -> None:
    install_python(folder, ["langchain-milvus==0.4.0", "milvus-lite>=3.2,<4", "numpy"])


def search_rival(
    judged: Judged, documents: Any, questions: Any, folder: Path, installed: Path
) -> dict[str, list[list[str]]]:
    names, texts = list(judged.documents), list(judged.documents.values())
    told = {"names": names, "documents": texts, "questions": judged.questions}
    (folder / "texts.json").write_text(json.dumps(told), "utf-8")
    numpy.savez(folder / "vectors.npz", documents=documents, questions=questions)
    program = Path(__file__).with_name("langchain_search.py")
    command = [str(installed / "venv/bin/python"), str(program), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        raise NotInstalled(f"it failed: {done.stderr.strip()[-400:]}")
    return json.loads((folder / "orders.json").read_text("utf-8"))


# -- speed


def measure_speed(sets: Sequence[Judged], sizes: Sequence[int], progress: Progress) -> Figures:
    texts = [text for judged in sets for text in judged.documents.values()]
    questions = [text for judged in sets for text in judged.questions]
    embed = Texts(progress)
    vectors, asked = embed.vectors(texts, "documents"), embed.vectors(questions, "questions")
    figures: Figures = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows = made_up_rows(texts, vectors, size)
            figures |= asyncio.run(time_searches(rows, size, questions, asked, Path(folder), progress))
    return figures


def made_up_rows(texts: Sequence[str], vectors: Any, count: int) -> Iterator[Row]:
    """Passages of five runs of twelve words from real documents, with the mean of those documents' vectors."""
    chance, noise = random.Random(1), numpy.random.default_rng(1)
    words = [text.split() for text in texts]
    for at in range(count):
        chosen = chance.choices(range(len(texts)), k=5)
        starts = [chance.randrange(max(len(words[each]) - 12, 1)) for each in chosen]
        runs = [words[each][start : start + 12] for each, start in zip(chosen, starts, strict=True)]
        mean = vectors[chosen].mean(axis=0) + noise.normal(scale=0.02, size=vectors.shape[1])
        yield row_of(str(at), " ".join(itertools.chain(*runs)), mean / numpy.linalg.norm(mean))


async def time_searches(
    rows: Iterator[Row], size: int, questions: Sequence[str], asked: Any, folder: Path, progress: Progress
) -> Figures:
    store = open_store(folder)
    figures: Figures = {}
    try:
        began = time.perf_counter()
        await fill(store, rows, size, progress, f"{size:,} passages")
        written_s = time.perf_counter() - began
        await store.search("bench", METHODS["default"].query(questions[0], asked[0].tobytes(), DECLARED.k))
        wait_until_idle()
        for name in ("default", "lexical", "dense"):
            took = await time_method(store, METHODS[name], questions, asked)
            slow = statistics.quantiles(took, n=20)[-1]
            figures[f"{size}/{name}"] = {"p50_ms": statistics.median(took), "p95_ms": slow}
        figures[f"{size}/default"] |= {"written_per_s": size / written_s, "rss_mib": rss_mib(os.getpid())}
        return figures
    finally:
        await store.aclose()


async def time_method(store: Store, method: Method, questions: Sequence[str], asked: Any) -> list[float]:
    took: list[float] = []
    for each in range(-10, SEARCHES):  # the first ten warm it
        at = each % len(questions)
        query = method.query(questions[at], asked[at].tobytes(), DECLARED.k)
        began = time.perf_counter()
        await store.search("bench", query)
        took.append((time.perf_counter() - began) * 1000)
    return took[10:]


def wait_until_idle(patience_s: float = 1800.0) -> None:
    """Milvus Lite builds its index on threads of this process after what was written is safe."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        before = time.process_time()
        time.sleep(2.0)
        if time.process_time() - before < 0.2:
            return


# -- telling


def verdicts(figures: Figures, names: Sequence[str]) -> list[dict[str, Any]]:
    """What was to be reached for each set."""
    found: list[dict[str, Any]] = []
    for name in names:
        mine = {of: each for of, each in figures.items() if of.startswith(f"{name}/")}
        ndcg = {of.partition("/")[2]: each["ndcg_10"] for of, each in mine.items()}
        best = max(ndcg[method] for method in METHODS)
        found.append(_verdict(f"{name}: the default is the best of all ways", ndcg["default"] / best, 1.0))
        found.extend(
            _verdict(f"{name}: the default is 10 % above {other}", ndcg["default"] / ndcg[other], 1.1)
            for other in ("dense", "langchain")
            if other in ndcg
        )
    return found


def _verdict(target: str, ratio: float, least: float) -> dict[str, Any]:
    return {"target": target, "ratio": round(ratio, 4), "least": least, "reached": ratio >= least}


def table_of(title: str, figures: Figures) -> Table:
    columns = list(dict.fromkeys(measure for each in figures.values() for measure in each))
    table = Table("", *columns, title=title)
    table.columns[0].no_wrap = True
    for name, each in figures.items():
        form = "{:.3f}" if set(columns) <= set(MEASURES) else "{:,.1f}"
        label = f"{name.partition('/')[2]} [dim]{TITLES[name.partition('/')[2]]}[/dim]"
        table.add_row(label, *(form.format(each[measure]) if measure in each else "–" for measure in columns))
    return table


def print_tables(figures: Figures, reached: Sequence[dict[str, Any]]) -> None:
    for name in dict.fromkeys(name.partition("/")[0] for name in figures):
        Console().print(table_of(name, {of: each for of, each in figures.items() if of.startswith(f"{name}/")}))
    for each in reached:
        word = "[green]reached[/green]" if each["reached"] else "[red]not reached[/red]"
        Console().print(f"{word}: {each['target']} ({each['ratio']:.3f} ×, at least {each['least']} ×)")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality and speed of searches in knowledge.")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets (%(default)s)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "hanok-bench", help="for the rival")
    parser.add_argument("--quick", action="store_true", help="install nothing")
    parser.add_argument("--speed", type=int, nargs="*", metavar="PASSAGES", help="time searches among so many passages")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args()


def main() -> int:
    args = read_arguments()
    sets, left_out = read_sets(args.data)
    notes = [f"{name} is left out: {reason}" for name, reason in left_out.items()]
    figures: Figures = {}
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*bars, console=talk, transient=True) as progress:
        if args.speed is None:
            for judged in sets:
                seen, more = measure_quality(judged, progress, args.cache, not args.quick)
                figures |= seen
                notes += more
        elif sets:
            figures = measure_speed(sets, args.speed or SIZES, progress)
    reached = verdicts(figures, [judged.name for judged in sets]) if args.speed is None else []
    for note in dict.fromkeys(notes):
        talk.print(f"[yellow]{note}[/yellow]", highlight=False)
    if args.json:
        print(json.dumps({"results": figures, "left_out": list(dict.fromkeys(notes)), "targets": reached}))
    else:
        print_tables(figures, reached)
    return 0 if all(each["reached"] for each in reached) and figures else 1


if __name__ == "__main__":
    sys.exit(main())
