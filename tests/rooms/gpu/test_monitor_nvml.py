"""GPUs of this machine, as a driver tells: a made-up one, since no machine that tests run on has GPUs."""

from __future__ import annotations

import pynvml
import pytest

from hanok.errors import SourceError
from hanok.gpu.monitor import Process, Reading, Slice, merged
from hanok.gpu.monitor.watch_nvml import NvmlSource
from tests.nvml import MIB, Device, FakeNvml


def look(*devices: Device, **more: object) -> tuple[Reading, ...]:
    return NvmlSource(nvml=FakeNvml(devices=list(devices), **more), node="here").look().readings  # type: ignore[arg-type]


def test_the_made_up_driver_has_the_functions_of_the_real_library() -> None:
    names = [name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML"))]
    assert [name for name in names if not hasattr(pynvml, name)] == []
    assert pynvml.nvmlMemory_v2 == FakeNvml.nvmlMemory_v2
    assert pynvml.NVML_CLOCK_SM == FakeNvml.NVML_CLOCK_SM
    assert pynvml.NVML_DEVICE_MIG_ENABLE == FakeNvml.NVML_DEVICE_MIG_ENABLE
    assert pynvml.NVML_TEMPERATURE_GPU == FakeNvml.NVML_TEMPERATURE_GPU


def test_the_real_library_says_that_there_is_no_driver_where_there_is_none() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        with pytest.raises(SourceError, match="no NVIDIA driver here") as told:
            NvmlSource().look()
        assert "--dcgm or --prometheus" in (told.value.hint or "")
    else:
        assert NvmlSource().look().readings


def test_a_gpu_is_told_with_every_figure_and_its_processes() -> None:
    processes = [(7, 2048 * MIB), (8, None)]
    [told] = look(Device(reasons=0x28, processes=processes), names={7: b"/usr/bin/python3", 8: "VLLM::EngineCore"})
    assert (told.node, told.index, told.uuid, told.model) == ("here", "0", "GPU-0", "NVIDIA H100 80GB HBM3")
    assert (told.utilization, told.copying) == (0.9, 0.3)
    assert (told.memory_used_mib, told.memory_free_mib, told.memory_reserved_mib) == (70000, 10000, 1559)
    assert (told.power_w, told.power_default_w, told.power_limit_w) == (500, 700, 650)
    assert (told.temperature_c, told.clock_mhz, told.clock_most_mhz) == (60, 1980, 1980)
    assert told.slowdowns == ("hardware slowdown", "software thermal slowdown")
    assert told.processes == (
        Process(pid=7, name="python3", memory_mib=2048),
        Process(pid=8, name="VLLM::EngineCore", memory_mib=None),
    )


def test_what_a_gpu_does_not_support_is_unknown_and_the_rest_is_told() -> None:
    none = dict.fromkeys(("rates", "memory_mib", "milliwatts", "clock", "reasons", "most_clock"))
    [told] = look(Device(name="NVIDIA A10G", **none, processes=[(1, None)]))  # type: ignore[arg-type]
    assert (told.utilization, told.memory_full, told.power_w, told.clock_mhz) == (None, None, None, None)
    assert told.temperature_c == 60
    assert told.processes == (Process(pid=1, name=""),)


def test_an_old_driver_counts_what_it_keeps_as_used_and_lists_processes_in_an_older_form() -> None:
    [told] = look(Device(processes=[(7, MIB)]), old=True)
    assert [each.pid for each in told.processes] == [7]
    assert (told.memory_used_mib, told.memory_reserved_mib, told.memory_total_mib) == (71559, 0, 81559)


def test_a_lost_gpu_is_told_and_the_others_are_read() -> None:
    first, lost = look(Device(), Device(lost="GPU is lost"))
    assert (first.trouble, lost.trouble, lost.index) == (None, "GPU is lost", "1")


def test_slices_are_told_with_their_memory_and_take_heat_and_power_from_their_gpu() -> None:
    parts = [
        Device(name="NVIDIA H100 80GB HBM3 MIG 3g.40gb", instance=2, memory_mib=(1000, 39000, 0), rates=None),
        Device(name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", instance=9, memory_mib=(5, 9000, 0), rates=None),
    ]
    told = merged(look(Device(slices=parts, rates=None)))
    assert [each.slice for each in told] == [Slice(profile="3g.40gb", id="2"), Slice(profile="1g.10gb", id="9")]
    assert [each.memory_total_mib for each in told] == [40000, 9005]
    assert [(each.temperature_c, each.power_w, each.clock_mhz, each.utilization) for each in told] == [
        (60, 500, 1980, None)
    ] * 2


def test_a_driver_that_was_restarted_is_begun_anew() -> None:
    nvml = FakeNvml(devices=[Device()])
    source = NvmlSource(nvml=nvml)
    assert source.look().readings
    nvml.broken = "Driver Not Loaded"
    with pytest.raises(SourceError, match="Driver Not Loaded"):
        source.look()
    nvml.broken = None
    assert source.look().readings
    assert nvml.begun == 2


def test_no_driver_and_no_gpu_are_told() -> None:
    with pytest.raises(SourceError, match="no NVIDIA driver here: Driver Not Loaded"):
        look(no_driver="Driver Not Loaded")
    with pytest.raises(SourceError, match="the driver knows of no GPU"):
        look()


def test_a_machine_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)  # as if it were not installed
    with pytest.raises(SourceError, match="nvidia-ml-py is not installed") as told:
        NvmlSource().look()
    assert 'pip install "hanok[gpu]"' in (told.value.hint or "")
