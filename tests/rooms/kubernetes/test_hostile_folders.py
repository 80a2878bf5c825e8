"""A folder that somebody else has been in: nothing is written out of it, and nothing in it stops a comparison."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hanok.errors import SpecError, StartError
from hanok.kubernetes.load import load_lock
from hanok.kubernetes.store import read_tree, write_tree
from hanok.kubernetes.writing import HEADER
from tests.rooms.kubernetes.rendering import made

OURS = HEADER + "a: 1\n"


def test_nothing_is_written_through_a_link_even_by_force(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "apps").symlink_to(tmp_path / "other")
    with pytest.raises(StartError, match="is a link to somewhere else"):
        write_tree({"apps/x.yaml": OURS}, tmp_path / "out", force=True)
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_of_ours_is_not_written_over(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "x.yaml")
    with pytest.raises(StartError, match="not rendered by Hanok"):
        write_tree({"x.yaml": OURS}, tmp_path)


def test_what_a_killed_run_left_behind_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".hanok-abc").write_text("# Ren")
    write_tree({"x.yaml": OURS}, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    "body",
    [b": : [", b"metadata: null", b"kind: A\nmetadata: {name: [1]}", b"&a [*a]", b"&a {metadata: *a}", b"d: 2020-99-99",
     b"[" * 3000, b"\xff\xfe"],
)  # fmt: skip
def test_a_file_that_was_changed_by_hand_into_anything_is_compared(tmp_path: Path, body: bytes) -> None:
    from hanok.kubernetes.differences import differences

    (tmp_path / "x.yaml").write_bytes(HEADER.encode() + body)
    assert differences(read_tree(tmp_path), {"x.yaml": OURS})


LOCKS = [
    "vllm: {image: null}",
    "keda: {repository: null}",
    "keda: {chart: 'a b'}",
    'vllm: {version: "1\\n2"}',
    "keda: {repository: 'file:///etc'}",
    "'../x': {version: 1}",
]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_names_nothing_that_can_be_fetched_is_refused_by_line(tmp_path: Path, lock: str) -> None:
    (tmp_path / "platform.lock").write_text(lock)
    with pytest.raises(SpecError) as refused:
        load_lock(tmp_path / "platform.lock")
    assert all(each.line == 1 for each in refused.value.problems)


@pytest.mark.parametrize("path", ["../..", "/etc", "a/../..", "$(x)", "a b"])
def test_the_trees_place_lies_in_its_repository(path: str) -> None:
    with pytest.raises(SpecError, match=r"cluster\.repository\.path"):
        made(f"name: a\nmodels: [{{name: c, serve: {{engine: echo}}}}]\ncluster: {{repository: {{path: '{path}'}}}}\n")


def test_a_hidden_folder_keeps_its_dot() -> None:
    platform = "name: a\nmodels: [{name: c, serve: {engine: echo}}]\ncluster: {repository: {path: ./.gitops/x/}}\n"
    assert "--path=.gitops/x/clusters/production" in made(platform).files["APPLY.md"]
