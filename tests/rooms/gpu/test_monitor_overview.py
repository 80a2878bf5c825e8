"""What is made of readings: marks, prices, idle dollars, who runs where, totals."""

from __future__ import annotations

from typing import Any

import pytest

from hanok.gpu import Catalog
from hanok.gpu.monitor import (
    BOARDS,
    LEVELS,
    Load,
    Mark,
    Overview,
    Pod,
    Pricing,
    Process,
    Reading,
    Row,
    Seen,
    Slice,
    Thresholds,
    Told,
    accelerator_of,
    overview,
)

A100 = "NVIDIA A100-SXM4-40GB"
WELL: dict[str, Any] = {
    "gpu_utilization": 0.95, "copy_utilization": 0.4, "memory_used_mib": 30000.0, "memory_free_mib": 10000.0,
    "temperature_c": 60.0, "power_w": 300.0, "power_default_w": 400.0, "clock_mhz": 1400.0, "clock_most_mhz": 1410.0,
    "xid": 0, "model": A100,
}  # fmt: skip


def gpu(index: int = 0, **figures: Any) -> Reading:
    return Reading(**{"source": "s", "node": "n", "index": str(index), "uuid": f"GPU-{index}"} | WELL | figures)


@pytest.fixture
def show(catalog: Catalog) -> Any:
    """The overview of what one source told."""

    def show(
        *readings: Reading, types: tuple[str, ...] = (), limits: Thresholds | None = None, **told: Any
    ) -> Overview:
        seen = Seen(source="s", told=Told(readings=readings, **told))
        return overview([seen], limits=limits or Thresholds(), pricing=Pricing(catalog=catalog, types=types))

    return show


def only(seen: Overview) -> Row:
    [row] = seen.rows
    return row


@pytest.mark.parametrize(
    ("figures", "marks"),
    [
        ({}, ()),
        ({"gpu_utilization": 0.80}, ("under-used",)),
        ({"gpu_utilization": 0.81}, ()),
        ({"gpu_utilization": 0.05}, ("under-used",)),
        ({"gpu_utilization": 0.04}, ("idle",)),
        ({"copy_utilization": 0.70}, ()),
        ({"copy_utilization": 0.71}, ("bandwidth",)),
        ({"memory_used_mib": 9499.0, "memory_free_mib": 501.0}, ()),
        ({"memory_used_mib": 9500.0, "memory_free_mib": 500.0}, ("full",)),
        ({"memory_used_mib": 9500.0, "memory_free_mib": 500.0, "memory_reserved_mib": 600.0}, ()),
        ({"temperature_c": 84.0}, ()),
        ({"temperature_c": 85.0}, ("hot",)),
        ({"power_w": 360.0}, ()),
        ({"power_w": 361.0}, ("power",)),
        ({"clock_mhz": 987.0}, ()),
        ({"clock_mhz": 986.0}, ("throttled",)),
        ({"clock_mhz": 210.0, "gpu_utilization": 0.0}, ("idle",)),
        ({"slowdowns": ("power brake",)}, ("throttled",)),
        ({"xid": 79}, ("xid",)),
        ({"trouble": "GPU is lost"}, ("lost",)),
    ],
)
def test_a_gpu_is_marked_where_it_passes_a_threshold_and_not_before(
    show: Any, figures: dict[str, Any], marks: tuple[Mark, ...]
) -> None:
    assert only(show(gpu(**figures))).marks == marks


def test_what_is_unknown_is_never_marked(show: Any) -> None:
    row = only(show(Reading(source="s", node="n", index="0")))
    assert (row.marks, row.idle_usd_hour, row.price) == ((), None, None)


def test_the_worst_mark_comes_first(show: Any) -> None:
    row = only(show(gpu(temperature_c=90.0, gpu_utilization=0.1, power_w=399.0, copy_utilization=0.9)))
    assert row.marks == ("hot", "power", "bandwidth", "under-used")
    assert list(LEVELS) == list(Mark.__args__)  # type: ignore[attr-defined]


def test_thresholds_can_be_changed(show: Any) -> None:
    limits = Thresholds(busy=0.5, hot_c=59, clock=1.0)
    assert only(show(gpu(gpu_utilization=0.6), limits=limits)).marks == ("hot", "throttled")


def test_without_a_limit_of_its_own_a_gpu_is_compared_with_its_data_sheet(show: Any, catalog: Catalog) -> None:
    row = only(
        show(gpu(power_default_w=None, clock_most_mhz=None, power_w=361.0, clock_mhz=900.0, power_limit_w=300.0))
    )
    assert (row.power_ceiling_w, row.clock_ceiling_mhz) == (400, 1410)
    assert row.marks == ("throttled", "power")
    unknown = only(show(gpu(model="Other", power_default_w=None, power_w=290.0, power_limit_w=300.0)))
    assert (unknown.power_ceiling_w, unknown.marks) == (300, ("power",))
    assert set(BOARDS) <= set(catalog.accelerators)


# prices


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
        ("NVIDIA T4G", "t4g"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "a100-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("Tesla V100-SXM2-16GB", None),
        ("NVIDIA A100-PCIE-40GB", None),
        ("NVIDIA A10", None),
        ("NVIDIA L40", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", None),
        ("NVIDIA GeForce RTX 4090", None),
        ("", None),
    ],
)
def test_the_catalogue_knows_gpus_by_the_names_of_the_driver(catalog: Catalog, told: str, name: str | None) -> None:
    assert accelerator_of(told, catalog) == name


def test_a_price_is_that_of_the_cheapest_instance_type_and_told_as_a_guess(show: Any, catalog: Catalog) -> None:
    seen = show(gpu(model="NVIDIA A10G", gpu_utilization=0.25))
    price = only(seen).price
    assert price is not None
    assert (price.instance, price.exact, price.usd_hour) == (
        "g5.xlarge",
        False,
        catalog.instances["g5.xlarge"].usd_hour,
    )
    assert only(seen).idle_usd_hour == pytest.approx(price.usd_hour * 0.75)
    assert (seen.totals.priced, seen.totals.guessed) == (1, 1)


def test_a_share_of_a_gpu_is_no_stand_in_for_a_whole_one(show: Any) -> None:
    price = only(show(gpu(model="NVIDIA L4"))).price
    assert price is not None
    assert price.instance == "g6.xlarge"


def test_a_price_is_exact_where_a_label_of_the_node_or_the_user_tells_the_type(show: Any, catalog: Catalog) -> None:
    told = {"g5.48xlarge": catalog.instances["g5.48xlarge"].usd_hour / 8, "g5.2xlarge": 1.212}
    label = only(show(gpu(model="NVIDIA A10G", instance_type="g5.48xlarge"))).price
    user = only(show(gpu(model="NVIDIA A10G"), types=("p4d.24xlarge", "g5.2xlarge"))).price
    for price in (label, user):
        assert price is not None
        assert price.exact
        assert price.usd_hour == pytest.approx(told[price.instance])


def test_a_gpu_without_a_name_is_priced_by_the_type_that_the_user_tells(show: Any) -> None:
    price = only(show(gpu(model=""), types=("g5.xlarge",))).price
    assert price is not None
    assert price.exact
    assert only(show(gpu(model="NVIDIA GeForce RTX 4090"))).price is None


def test_a_type_that_prometheus_tells_of_a_node_counts(catalog: Catalog) -> None:
    told = Told(readings=(gpu(model="NVIDIA A10G"),), types=(("n", "g5.12xlarge"),))
    seen = overview([Seen(source="s", told=told)], limits=Thresholds(), pricing=Pricing(catalog=catalog))
    price = only(seen).price
    assert price is not None
    assert (price.instance, price.exact) == ("g5.12xlarge", True)


# slices


def part(id_: int, profile: str, active: float | None = 0.5, **figures: Any) -> Reading:
    return gpu(slice=Slice(profile=profile, id=str(id_)), gpu_utilization=None, engine_active=active, **figures)


def test_a_slice_costs_its_share_and_what_is_not_cut_is_idle(show: Any, catalog: Catalog) -> None:
    whole = catalog.instances["p4d.24xlarge"].usd_hour / 8
    seen = show(part(1, "3g.20gb"), part(7, "1g.5gb", 1.0))
    assert [row.usd_hour for row in seen.rows] == [pytest.approx(whole * 3 / 7), pytest.approx(whole / 7)]
    assert seen.totals.idle_usd_hour == pytest.approx(whole * (0.5 * 3 / 7 + 0 + 3 / 7))
    assert (seen.totals.gpus, seen.totals.slices) == (1, 2)
    assert seen.totals.usd_hour == pytest.approx(whole)
    assert seen.totals.utilization == pytest.approx((3 * 0.5 + 1.0) / 4)
    assert seen.totals.power_w == 300  # both tell the power of their one GPU


def test_slices_of_gpus_that_have_four_cost_a_quarter(show: Any) -> None:
    row = only(show(part(1, "1g.24gb", model="NVIDIA RTX PRO 6000 Blackwell Server Edition")))
    assert row.share == 0.25


def test_where_slices_are_told_of_their_gpu_is_not_listed_but_lends_what_they_lack(show: Any) -> None:
    bare = dict.fromkeys(("temperature_c", "power_w", "clock_mhz", "clock_most_mhz", "power_default_w"))
    seen = show(gpu(temperature_c=88.0, gpu_utilization=None), part(7, "1g.5gb", 0.9, **bare))
    assert only(seen).reading.temperature_c == 88
    assert only(seen).marks == ("hot",)


# several sources


def test_one_gpu_that_two_sources_tell_of_is_one_row_with_what_both_know(catalog: Catalog) -> None:
    pod, process = Pod(namespace="llm", name="vllm-0"), Process(pid=7, name="python3")
    driver = gpu(source="nvml", node="short", processes=(process,), tensor_active=None, memory_reserved_mib=None)
    exporter = gpu(
        source="dcgm", node="long", pods=(pod,), tensor_active=0.5, temperature_c=99.0, memory_reserved_mib=9.0
    )
    seen = [Seen(source=each.source, told=Told(readings=(each,))) for each in (driver, exporter)]
    row = only(overview(seen, limits=Thresholds(), pricing=Pricing(catalog=catalog)))
    told = row.reading
    assert (told.source, told.node, told.temperature_c, told.tensor_active) == ("nvml", "short", 60, 0.5)
    assert (told.pods, told.processes, told.memory_reserved_mib) == ((pod,), (process,), None)


def test_a_source_that_fails_is_told_beside_the_rest(catalog: Catalog) -> None:
    seen = [Seen(source="a", told=Told(readings=(gpu(),))), Seen(source="b", fault="answers 503")]
    shown = overview(seen, limits=Thresholds(), pricing=Pricing(catalog=catalog))
    assert ([each.source for each in shown.faults], len(shown.rows)) == (["b"], 1)


def test_rows_come_in_the_order_that_people_count(show: Any) -> None:
    readings = [gpu(index, node=node, uuid=f"{node}{index}") for node in ("n-10", "n-2", "m") for index in (10, 2)]
    assert [(row.reading.node, row.reading.index) for row in show(*readings).rows] == [
        ("m", "2"), ("m", "10"), ("n-2", "2"), ("n-2", "10"), ("n-10", "2"), ("n-10", "10"),
    ]  # fmt: skip


# engines


def load(**more: Any) -> Load:
    return Load(**{"source": "e", "model": "m", "place": "p", "running": 3.0, "waiting": 1.0} | more)


VLLM = (Process(pid=1, name="VLLM::EngineCore"),)


@pytest.mark.parametrize(
    ("engine", "figures", "runs"),
    [
        (load(pod=Pod(namespace="a", name="x")), {"pods": (Pod(namespace="a", name="x", container="c"),)}, True),
        (load(pod=Pod(namespace="a", name="x")), {"pods": (Pod(namespace="b", name="x"),)}, False),
        (load(pod=Pod(namespace="a", name="x")), {"pods": (Pod(namespace="a", name="y"),)}, False),
        (load(place="x.vllm.llm.svc:8000"), {"pods": (Pod(namespace="a", name="x"),)}, True),
        (load(place="y:8000"), {"pods": (Pod(namespace="a", name="x"),)}, False),
        (load(local=True), {"processes": VLLM}, True),
        (load(local=True), {"processes": (Process(pid=1, name="Xorg"),)}, False),
        (load(), {"processes": VLLM}, False),
    ],
)
def test_an_engine_stands_by_the_gpus_that_it_runs_on(
    show: Any, engine: Load, figures: dict[str, Any], runs: bool
) -> None:
    assert only(show(gpu(**figures), loads=(engine,))).loads == ((engine,) if runs else ())


def test_of_two_engines_on_this_machine_nobody_knows_which_gpu_is_whose(show: Any) -> None:
    engines = (load(local=True), load(local=True, place="q"))
    assert only(show(gpu(processes=VLLM), loads=engines)).loads == ()


def test_an_engine_on_two_gpus_is_counted_once(show: Any) -> None:
    pod = Pod(namespace="a", name="x")
    seen = show(gpu(0, pods=(pod,)), gpu(1, pods=(pod,)), loads=(load(pod=pod, output_rate=50.0),))
    assert [len(row.loads) for row in seen.rows] == [1, 1]
    assert (seen.totals.running, seen.totals.waiting, seen.totals.output_rate) == (3, 1, 50)
