"""The catalogue: what ships holds together, and what is brought is checked line by line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.gpu import Catalog, changes, load_catalog, read_catalog
from tests.catalog import OUT


def written(folder: Path, *changed: tuple[str, str]) -> Path:
    """The catalogue that ships, with some of its text changed."""
    text = OUT.read_text("utf-8")
    for old, new in changed:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "catalog.yaml").write_text(text, "utf-8")
    return folder / "catalog.yaml"


def refused(file: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(SpecError) as error:
        read_catalog(file)
    return [(each.line, each.path, each.message) for each in error.value.problems]


def line_of(file: Path, beginning: str) -> int:
    lines = file.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(beginning))


def test_every_gpu_that_is_planned_on_has_all_figures(catalog: Catalog) -> None:
    for name, each in catalog.accelerators.items():
        if each.refused is None:
            assert each.memory_mib and each.bandwidth_gb_s and each.capability and each.tflops["bf16"], name


def test_slices_are_no_larger_than_their_gpu(catalog: Catalog) -> None:
    for name, profiles in catalog.mig.items():
        whole = catalog.accelerators[name].memory_mib
        assert whole is not None
        for profile, piece in profiles.items():
            assert piece.count * piece.memory_mib <= whole, (name, profile)
            assert piece.count * piece.compute <= 1.01, (name, profile)


def test_prices_are_those_of_the_table(catalog: Catalog) -> None:
    assert len(catalog.instances) == 78
    prices = {"p5.48xlarge": 55.04, "p5.4xlarge": 6.88, "g6e.12xlarge": 10.49264, "g5.xlarge": 1.006}
    assert {name: catalog.instances[name].usd_hour for name in prices} == prices


def test_a_good_file_is_read_as_the_one_that_ships(tmp_path: Path, catalog: Catalog) -> None:
    assert read_catalog(written(tmp_path)) == catalog


def test_mistakes_are_told_by_line(tmp_path: Path) -> None:
    file = written(tmp_path, ('"usd_hour": 1.006', '"usd_hour": -1'), ("  high: 0.7", "  hihg: 0.7"))
    assert refused(file) == [
        (line_of(file, "  hihg"), "spot.hihg", "unknown key 'hihg'"),
        (line_of(file, "  g5.xlarge"), "instances['g5.xlarge'].usd_hour", "must be more than 0"),
    ]


def test_an_instance_of_an_unknown_gpu_is_told_by_line(tmp_path: Path) -> None:
    file = written(tmp_path, ('g5.xlarge: {"accelerator": "a10g"', 'g5.xlarge: {"accelerator": "a10"'))
    found = (line_of(file, "  g5.xlarge"), "instances['g5.xlarge'].accelerator", "no accelerator is called 'a10'")
    assert refused(file) == [found]


@pytest.mark.parametrize("text", ["", "- 1", "{", "date: [\n", "\x00"])
def test_what_is_no_catalogue_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert refused(tmp_path / "c.yaml")


def test_changes_are_told_in_words(catalog: Catalog) -> None:
    dearer = catalog.instances["g5.xlarge"].model_copy(update={"usd_hour": 2.0})
    instances = {**catalog.instances, "g5.xlarge": dearer, "g9.large": dearer}
    del instances["g4dn.metal"]
    new = catalog.model_copy(update={"instances": instances, "date": datetime.date(2027, 1, 1)})
    assert changes(catalog, new) == [
        "date 2026-07-31 → 2027-01-01",
        "instance g4dn.metal removed",
        "instance g9.large added",
        "instance g5.xlarge: usd_hour 1.006 → 2.0",
    ]
    assert changes(catalog, catalog) == []


def test_a_users_catalogue_is_used_unless_the_one_that_ships_is_newer(tmp_path: Path) -> None:
    file = written(tmp_path, ('date: "2026-07-31"', 'date: "2027-01-01"'))
    assert load_catalog(file)[1] == str(file)
    file = written(tmp_path, ('date: "2026-07-31"', 'date: "2020-01-01"'))
    assert "is older" in load_catalog(file)[1]
    assert load_catalog(tmp_path / "none.yaml")[1] == "built in"
