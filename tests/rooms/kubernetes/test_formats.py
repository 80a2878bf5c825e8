"""Formats: the same objects, laid out for who applies them; the lock; and what `--diff` tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hanok.cli import app
from hanok.errors import SpecError
from hanok.kubernetes.differences import differences
from hanok.kubernetes.load import load_lock, shipped
from hanok.kubernetes.lock import Lock
from tests.rooms.kubernetes.rendering import CHAT, faults, made

SCALED = CHAT + "    scale: {min: 1, max: 3}\nteams: [{name: search}]\n"
REPOSITORY = "cluster: {repository: {url: 'https://git.example.com/acme.git', path: deploy}}\n"


def test_every_format_has_the_same_objects() -> None:
    def bodies(form: str) -> set[str]:
        tree = made(SCALED + REPOSITORY, form=form)  # type: ignore[arg-type]
        ours = ("Kustomization", "Application", "HelmRelease", "HelmRepository", "OCIRepository")
        kept = [body for _, body in tree.objects() if body.get("kind") not in (*ours, None)]
        return {json.dumps(each, sort_keys=True) for each in kept}

    assert bodies("flux") == bodies("argocd") == bodies("flat")


def test_flux_tries_an_install_until_it_works_and_takes_charts_as_they_were_published() -> None:
    tree = made(SCALED + REPOSITORY)
    for each in tree.all("HelmRelease"):
        assert each["spec"]["install"]["strategy"]["name"] == "RetryOnFailure"
        assert each["spec"]["upgrade"]["remediation"] == {"retries": 3}
    layers = {each["spec"]["layerSelector"]["operation"] for each in tree.all("OCIRepository")}
    assert layers == {"copy"}


def test_argo_cd_applies_charts_before_what_needs_them() -> None:
    tree = made(SCALED + REPOSITORY, form="argocd")
    waves = {
        each["metadata"]["name"]: int(each["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for each in tree.all("Application")
    }
    assert waves["namespaces"] < waves["keda"] < waves["apps-team-search"]
    source = tree.one("Application", "apps-team-search")["spec"]["source"]
    assert source["path"] == "deploy/apps/team-search"
    root = yaml.safe_load(tree.files["clusters/production.yaml"])
    assert root["spec"]["source"]["path"] == "deploy/clusters/production", "waves are of one Application's parts"
    assert root["spec"]["syncPolicy"]["retry"]["limit"] == -1
    assert '-f "$TREE"/clusters/production.yaml' in tree.files["APPLY.md"]


def test_argo_cd_compares_on_the_server_what_it_applies_there() -> None:
    for each in made(SCALED + REPOSITORY, form="argocd").all("Application"):
        assert "ServerSideApply=true" in each["spec"]["syncPolicy"]["syncOptions"]
        compared = each["metadata"]["annotations"]["argocd.argoproj.io/compare-options"]
        assert compared == "ServerSideDiff=true", "else StatefulSets with disks differ for ever"


def test_argo_cd_needs_to_know_the_repository() -> None:
    with pytest.raises(SpecError) as refused:
        made(CHAT, form="argocd")
    assert "repository" in refused.value.problems[0].message


def test_a_flat_tree_has_its_charts_in_a_helmfile() -> None:
    helmfile = yaml.safe_load(made(SCALED, form="flat").files["helmfile.yaml"])
    [keda] = [each for each in helmfile["releases"] if each["name"] == "keda"]
    assert keda["version"] == shipped().pin("keda").version
    assert {"name": keda["chart"].partition("/")[0], "url": shipped().pin("keda").repository} in helmfile[
        "repositories"
    ]


def test_a_flat_tree_says_in_which_order_it_is_applied() -> None:
    tree = made(SCALED, form="flat")
    told = [line.replace('"$TREE"', ".") for line in tree.files["APPLY.md"].splitlines() if '"$TREE"/' in line]
    told = [line for line in told if line.startswith(("kubectl apply", "helmfile"))]
    folders = sorted({path.partition("/")[0] for path in tree.files if path[0].isdigit()})
    assert [line.rpartition("./")[2] for line in told if line.startswith("kubectl")] == folders
    assert told.index("kubectl apply --server-side -k ./3-nodes") > told.index(
        "helmfile --file ./helmfile.yaml --selector stage=provisioners apply"
    ), "machines come by Karpenter, and all other charts stand on them"
    releases = {each["name"]: each for each in yaml.safe_load(tree.files["helmfile.yaml"])["releases"]}
    assert (releases["karpenter"]["labels"], releases["prometheus"]["wait"]) == ({"stage": "provisioners"}, False)


@pytest.mark.parametrize("form", ["argocd", "flat"])
def test_preflight_finds_nothing_in_other_formats(form: str, tmp_path: Path) -> None:
    assert faults(made(SCALED + REPOSITORY, form=form), tmp_path) == []  # type: ignore[arg-type]


# --- The lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_decides_the_version(tmp_path: Path) -> None:
    file = tmp_path / "platform.lock"
    file.write_text("keda: {version: 2.19.0}\n")
    release = made(SCALED, lock=load_lock(file)).one("HelmRelease", "keda")
    assert release["spec"]["chart"]["spec"]["version"] == "2.19.0"


def test_a_lock_with_an_api_that_nobody_renders_is_refused() -> None:
    pins = dict(shipped().pins)
    lock = Lock(pins={**pins, "keda": pins["keda"].model_copy(update={"api": "v9"})}, source="platform.lock")
    with pytest.raises(SpecError) as refused:
        made(SCALED, lock=lock)
    assert refused.value.problems[0].hint == "it is known as v1alpha1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kedda: {version: '1'}\n", "no component is called 'kedda'"),
        ("keda: {version: [1]}\n", "string"),
        ("keda: 3\n", "block"),
        ("- keda\n", "not a mapping"),
    ],
)
def test_a_mistake_in_the_lock_is_told_by_its_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "platform.lock").write_text(text)
    with pytest.raises(SpecError) as refused:
        load_lock(tmp_path / "platform.lock")
    assert (refused.value.problems[0].line, words in refused.value.problems[0].message) == (1, True)


def test_a_lock_with_an_unknown_name_is_told_the_nearest_and_one_of_nothing_is_none(tmp_path: Path) -> None:
    file = tmp_path / "platform.lock"
    file.write_text("kedda: {version: '1'}\n")
    with pytest.raises(SpecError) as refused:
        load_lock(file)
    assert refused.value.problems[0].hint == "did you mean 'keda'?"
    file.write_text("# nothing is pinned\n\n")
    assert load_lock(file).pins == shipped().pins


# --- Differences ------------------------------------------------------------------------------------------------------


def test_a_change_is_told_by_object_and_key() -> None:
    other = SCALED.replace(
        "teams: [{name: search}]", "teams: [{name: search}]\ncluster: {teams: [{team: search, pods: 7}]}"
    )
    [change] = differences(made(SCALED).files, made(other).files)
    assert (change.what, change.title) == ("changed", "ResourceQuota team-search/share")
    [edit] = change.edits
    assert (edit.place, edit.old, edit.new) == ("spec.hard.pods", "50", "7")


def test_items_of_lists_are_told_by_their_names() -> None:
    def pod(*containers: str) -> dict[str, str]:
        listed = "".join(f"  - {{name: {each}, image: {each}:1}}\n" for each in containers)
        return {"a.yaml": f"kind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n{listed}"}

    [change] = differences(pod("web", "log"), pod("log", "web", "new"))
    assert [each.place for each in change.edits] == ["spec.containers[new]"]


def test_diff_writes_nothing_and_tells_the_month(tmp_path: Path) -> None:
    file, out = tmp_path / "platform.yaml", tmp_path / "deploy"
    file.write_text(SCALED)
    runner = CliRunner()
    assert runner.invoke(app, ["render", str(file), "--out", str(out)]).exit_code == 0
    before = {path: path.read_text() for path in out.rglob("*.yaml")}
    file.write_text(SCALED.replace("{name: search}", "{name: search}, {name: shop}"))
    told = runner.invoke(app, ["render", str(file), "--out", str(out), "--diff", "--exit-code", "--json"])
    assert told.exit_code == 1, told.output
    answer = json.loads(told.stdout)
    added = {each["title"] for each in answer["changes"] if each["what"] == "added"}
    assert {"Namespace team-shop", "ResourceQuota team-shop/share"} <= added
    assert answer["usd_month"]["before"]["fewest"] == answer["usd_month"]["after"]["fewest"]
    assert {path: path.read_text() for path in out.rglob("*.yaml")} == before
    same = runner.invoke(app, ["render", str(file), "--out", str(tmp_path / "other"), "--json"])
    assert same.exit_code == 0
    assert "platform.lock" in {path.name for path in tmp_path.iterdir()}
