"""Knowledge in platform.yaml: what is understood, and what is refused with a word that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hanok.errors import SpecError
from hanok.spec import Knowledge, Split, load

EMBED = {"name": "embed", "type": "embedding", "serve": {"engine": "sentence-encoder"}}
ECHO = {"name": "echo", "serve": {"engine": "echo"}}


def read(tmp_path: Path, *bases: dict[str, object], **more: object) -> list[Knowledge]:
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump({"models": [EMBED, ECHO], "knowledge": list(bases), **more}), "utf-8")
    return load(file, {}).platform.knowledge


def refusal(tmp_path: Path, *bases: dict[str, object], **more: object) -> str:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, *bases, **more)
    return str(caught.value)


def test_a_name_and_a_folder_are_enough(tmp_path: Path) -> None:
    [base] = read(tmp_path, {"name": "docs", "sources": {"path": "docs"}})
    assert [(source.kind, source.place) for source in base.sources] == [("path", "docs")]


def test_documents_are_split_by_type_as_the_table_says_unless_a_rule_says_otherwise(tmp_path: Path) -> None:
    [base] = read(tmp_path, {"name": "docs", "sources": {"path": "."}, "split": {"path": "*.log", "strategy": "fixed"}})
    table = {split.type: (split.strategy, split.size, split.overlap) for split in base.splits[1:]}
    assert base.splits[0] == Split(path="*.log", strategy="fixed")
    assert table == {
        "code": ("fixed", 2000, 400),
        "documentation": ("semantic", None, None),
        "chat_logs": ("fixed", 500, 100),
        None: ("token", 512, 50),
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sources": {"path": "a", "git": "b"}}, "must have exactly one of path, url, sitemap, git, uri, builtin"),
        ({"sources": {"include": ["*.md"]}}, "not none of them"),
        ({"sources": []}, "must not be empty"),
        ({"sources": {"path": "a", "ref": "main"}}, "`ref` is for git, not for path"),
        ({"sources": {"git": "a", "private": True}}, "`private` is for url and sitemap, not for git"),
        ({"schedule": "every day"}, "five fields of cron"),
        ({"schedule": "0 25 * * *"}, "'0 25 * * *' is no schedule"),
        ({"retrieve": {"k": 30}}, "`fetch_k` must be at least `k`"),
        ({"retrieve": {"lexical_weight": 0, "dense_weight": 0}}, "above 0"),
        ({"split": {"size": 100, "overlap": 80}}, "at most half"),
        ({"index": {"type": "SCANN"}}, "Milvus Lite cannot build SCANN"),
        ({"index": {"type": "GPU_IVF_FLAT"}}, "Milvus Lite cannot build GPU_IVF_FLAT"),
        ({"embed": {"model": "echo"}}, "'echo' is a model for chat"),
        ({"retrieve": {"rerank": "embed"}}, "name a model for rerank or chat"),
        ({"answer": {"model": "nobody"}}, "no model is called 'nobody'"),
        ({"sources": {"path": "a", "team": "sales"}}, "no team is called 'sales'"),
        ({"name": "a b"}, "knowledge[0].name"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, wrong: dict[str, object], said: str) -> None:
    assert said in refusal(tmp_path, {"name": "docs", "sources": {"path": "docs"}, **wrong})


def test_a_server_builds_what_the_embedded_engine_cannot(tmp_path: Path) -> None:
    base = {"name": "docs", "sources": {"path": "docs"}, "index": {"type": "SCANN"}}
    [read_base] = read(tmp_path, base, milvus={"uri": "http://milvus:19530"})
    assert read_base.index.type == "SCANN"


def test_knowledge_needs_a_model_that_makes_vectors(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"name": "docs", "sources": {"path": "docs"}}, models=[ECHO])
    assert "needs a model that makes vectors" in said


def test_a_scope_names_knowledge_that_there_is(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"name": "docs", "sources": {"path": "d"}}, teams=[{"name": "a", "knowledge": ["doks"]}])
    assert "did you mean 'docs'?" in said
