"""The sets of questions whose answers are known, and how well an order of documents does on them.

Read from `../shared/data/retrieval`, beside the repository; what is not there is left out with the reason.

- *cranfield*: 1,400 abstracts on aerodynamics, 225 questions of researchers, relevance in four grades (Cleverdon 1967).
- *korean*: 65 pages of reports, judgments and statistics, 15 questions, each answered by one page (AutoRAG's example).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "retrieval"
MEASURES = ("ndcg_10", "recall_1", "recall_5", "recall_10", "mrr_10")


@dataclass(frozen=True)
class Judged:
    """Documents, questions, and for each question the gains of the documents that answer it."""

    name: str
    documents: dict[str, str]
    questions: list[str]
    gains: list[dict[str, int]]


def read_sets(data: Path) -> tuple[list[Judged], dict[str, str]]:
    """The sets that are there, and why others are not."""
    found: list[Judged] = []
    left_out: dict[str, str] = {}
    for name, read in (("cranfield", read_cranfield), ("korean", read_korean)):
        try:
            found.append(read(data))
        except FileNotFoundError as error:
            left_out[name] = f"no {error.filename}"
        except ImportError as error:
            left_out[name] = f"it cannot be read: {error}"
    return found, left_out


def read_cranfield(data: Path) -> Judged:
    documents = {str(each["id"]): each["body"].strip() for each in _json(data / "cranfield_docs.json")}
    questions = [each["query"] for each in _json(data / "cranfield_queries.json")]
    gains: list[dict[str, int]] = [{} for _ in questions]
    for each in _json(data / "cranfield_qrels.json"):  # questions by their place; 1 is the best grade, 4 the least
        of = gains[int(each["query_num"]) - 1]
        of[str(each["id"])] = max(of.get(str(each["id"]), 0), 5 - int(each["position"]))
    return Judged("cranfield", {name: text for name, text in documents.items() if text}, questions, gains)


def read_korean(data: Path) -> Judged:
    import pyarrow.parquet  # comes with Milvus Lite

    documents = pyarrow.parquet.read_table(_there(data / "korean_corpus.parquet")).to_pylist()
    asked = pyarrow.parquet.read_table(_there(data / "korean_qa.parquet")).to_pylist()
    gains = [{name: 1 for group in each["retrieval_gt"] for name in group} for each in asked]
    texts = {each["doc_id"]: each["contents"] for each in documents}
    return Judged("korean", texts, [each["query"] for each in asked], gains)


def mean_measures(orders: Sequence[Sequence[str]], judged: Judged) -> dict[str, float]:
    """Means over all questions of what `order_measures` gives."""
    each = [order_measures(order, gains) for order, gains in zip(orders, judged.gains, strict=True)]
    return {name: sum(one[name] for one in each) / len(each) for name in MEASURES}


def order_measures(order: Sequence[str], gains: Mapping[str, int]) -> dict[str, float]:
    """nDCG with linear gains (Järvelin and Kekäläinen 2002), recall, and one by the place of the first that answers."""
    hits = [name in gains for name in order[:10]]
    first = next((place for place, hit in enumerate(hits, 1) if hit), None)
    ideal = discounted(sorted(gains.values(), reverse=True)[:10])
    return {
        "ndcg_10": discounted([gains.get(name, 0) for name in order[:10]]) / ideal,
        **{f"recall_{count}": sum(hits[:count]) / len(gains) for count in (1, 5, 10)},
        "mrr_10": 1 / first if first else 0.0,
    }


def discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))


def _json(file: Path) -> list[dict[str, str]]:
    return json.loads(file.read_text("utf-8"))


def _there(file: Path) -> Path:
    if not file.exists():
        raise FileNotFoundError(2, "no such file", str(file))
    return file
