"""The tree: the same bytes each time, one object a file, no secret, and nothing of others' touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hanok.errors import SpecError, StartError
from hanok.kubernetes.store import read_tree, write_tree
from tests.rooms.kubernetes.rendering import CHAT, faults, made

TEAMS = CHAT + "teams: [{name: search}, {name: Shop Floor/3}]\n".replace("Shop Floor/3", "Shop/3")


def test_the_same_file_gives_the_same_bytes() -> None:
    assert made(TEAMS).files == made(TEAMS).files


def test_each_file_holds_one_object_and_says_where_it_comes_from() -> None:
    for path, text in made(TEAMS).files.items():
        assert "Rendered by Hanok" in text.splitlines()[0], path
        if path.endswith(".yaml"):
            assert len(list(yaml.safe_load_all(text))) == 1, path


def test_steps_wait_for_those_before_them() -> None:
    step = made(TEAMS).one("Kustomization", "apps-team-search")
    assert {"name": "configs-external-secrets"} in step["spec"]["dependsOn"]


def test_a_teams_namespace_has_a_share_walls_and_people() -> None:
    tree = made(TEAMS + "cluster: {teams: [{team: search, gpus: 2, group: sso-search}]}\n")
    space = tree.one("Namespace", "team-search")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    [quota] = [each for each in tree.all("ResourceQuota") if each["metadata"]["namespace"] == "team-search"]
    assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "2"
    [binding] = [each for each in tree.all("RoleBinding") if each["metadata"]["namespace"] == "team-search"]
    assert binding["subjects"][0]["name"] == "sso-search"
    assert tree.one("Namespace", "team-shop-3")


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(made(TEAMS), tmp_path) == []


def test_a_secret_in_plain_text_is_refused_by_its_line() -> None:
    text = CHAT + "  - {name: gpt, serve: {engine: openai, url: 'https://api.openai.com/v1', key: sk-123}}\n"
    with pytest.raises(SpecError) as refused:
        made(text)
    [problem] = refused.value.problems
    assert (problem.line, problem.path) == (6, "models[1].serve.key")


def test_a_secrets_variable_with_its_value_beside_it_is_refused_by_its_line() -> None:
    text = (
        CHAT
        + "gateway: {admin_key: '${env:ADMIN_KEY}'}\ncluster: {hanok: {variables: {ADMIN_KEY: hunter2-hunter2-1}}}\n"
    )
    with pytest.raises(SpecError) as refused:
        made(text)
    [problem] = refused.value.problems
    assert (problem.line, problem.path) == (7, "cluster.hanok.variables.ADMIN_KEY")
    assert "hunter2" not in str(refused.value)


def test_a_model_that_fits_nowhere_is_refused_by_its_line() -> None:
    with pytest.raises(SpecError) as refused:
        made(CHAT.replace('gpu: ["g6e.*"]', "gpu: [g6.xlarge]"))
    [problem] = refused.value.problems
    assert problem.path == "models[0].deploy"


def test_what_we_wrote_and_is_no_more_goes_and_what_others_wrote_stays(tmp_path: Path) -> None:
    write_tree(made(TEAMS).files, tmp_path)
    (tmp_path / "README.md").write_text("ours to keep")
    fewer = made(CHAT + "teams: [{name: search}]\n").files
    write_tree(fewer, tmp_path)
    assert read_tree(tmp_path) == dict(fewer)
    assert (tmp_path / "README.md").exists()
    assert not (tmp_path / "apps" / "team-shop-3").exists()


def test_a_file_of_others_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "apps" / "team-search" / "kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("kind: Theirs\n")
    with pytest.raises(StartError, match="was not rendered by Hanok"):
        write_tree(made(TEAMS).files, tmp_path)
    write_tree(made(TEAMS).files, tmp_path, force=True)


def test_another_tree_in_a_folder_below_is_left_alone(tmp_path: Path) -> None:
    write_tree(made(TEAMS).files, tmp_path / "deploy")
    there = read_tree(tmp_path / "deploy")
    write_tree(made(CHAT).files, tmp_path)
    assert read_tree(tmp_path / "deploy") == there
    assert read_tree(tmp_path) == dict(made(CHAT).files)
