"""GPUs of this machine, as NVIDIA's driver tells (NVML, through nvidia-ml-py, the extra `gpu`).

Each figure is asked for by itself, since each may be unknown to a GPU ("not supported"); a GPU that cannot be asked at
all (lost, fallen off the bus) is told of with what the driver says. A MIG slice tells its memory and processes; how
busy it is, NVML does not tell.

API: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Iterable
from typing import Any

from hanok.errors import SourceError
from hanok.gpu.monitor.dcgm import slowdowns
from hanok.gpu.monitor.readings import Process, Reading, Slice, Told
from hanok.gpu.monitor.samples import clean

NAME = "nvml"
_MIB = 1024**2
_INSTEAD = "GPUs elsewhere are shown with --dcgm or --prometheus, which need no driver here"


class NvmlSource:
    """The driver of this machine. `nvml` stands in for the library in tests."""

    name = NAME

    def __init__(self, *, nvml: Any = None, node: str | None = None) -> None:
        self._nvml = nvml
        self._node = node or socket.gethostname()
        self._begun = False

    def look(self) -> Told:
        """Every GPU and slice. Raises `SourceError` where there is no library, no driver, or no GPU."""
        nvml = self._begin()
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._begun = False  # the driver was restarted: begin anew at the next look
            raise SourceError(clean(str(error)), hint=_INSTEAD) from error
        readings = [each for index in range(count) for each in self._gpu(index)]
        if not readings:
            raise SourceError("the driver knows of no GPU", hint=_INSTEAD)
        return Told(readings=tuple(readings))

    def _begin(self) -> Any:
        """The library, with its driver found."""
        if self._nvml is None:
            try:
                self._nvml = importlib.import_module("pynvml")
            except ImportError as error:
                hint = f'`pip install "hanok[gpu]"` where there is a GPU; {_INSTEAD}'
                raise SourceError("nvidia-ml-py is not installed", hint=hint) from error
        if not self._begun:
            try:
                self._nvml.nvmlInit()
            except self._nvml.NVMLError as error:
                raise SourceError(f"no NVIDIA driver here: {clean(str(error))}", hint=_INSTEAD) from error
            self._begun = True
        return self._nvml

    def _gpu(self, index: int) -> list[Reading]:
        nvml = self._nvml
        place: dict[str, Any] = {"source": NAME, "node": self._node, "index": str(index)}
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            place["uuid"] = _text(nvml.nvmlDeviceGetUUID(handle))
        except nvml.NVMLError as error:
            return [Reading(**place, trouble=clean(str(error)))]
        place["model"] = _text(self._ask(nvml.nvmlDeviceGetName, handle))
        whole = Reading(**place, **self._figures(handle), **self._memory(handle), processes=self._processes(handle))
        return [whole, *self._slices(handle, place)]

    def _figures(self, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        return {
            "gpu_utilization": None if rates is None else rates.gpu / 100,
            "copy_utilization": None if rates is None else rates.memory / 100,
            "temperature_c": self._ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            "power_w": _watts(self._ask(nvml.nvmlDeviceGetPowerUsage, handle)),
            "power_default_w": _watts(self._ask(nvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)),
            "power_limit_w": _watts(self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            "clock_mhz": self._ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            "clock_most_mhz": self._ask(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM),
            "slowdowns": slowdowns(reasons or 0),
        }

    def _memory(self, handle: Any) -> dict[str, Any]:
        """Old drivers count what they keep for themselves as used, and know no second form."""
        nvml = self._nvml
        told = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
        told = told or self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        if told is None:
            return {}
        return {
            "memory_used_mib": told.used / _MIB,
            "memory_free_mib": told.free / _MIB,
            "memory_reserved_mib": getattr(told, "reserved", 0) / _MIB,
        }

    def _slices(self, handle: Any, place: dict[str, Any]) -> Iterable[Reading]:
        nvml = self._nvml
        mode = self._ask(nvml.nvmlDeviceGetMigMode, handle)
        if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return
        for index in range(self._ask(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            device = self._ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if device is not None:
                yield Reading(
                    **place, slice=self._slice(device), **self._memory(device), processes=self._processes(device)
                )

    def _slice(self, device: Any) -> Slice:
        """The profile is told only as the end of the slice's name: `NVIDIA A100-SXM4-40GB MIG 1g.5gb`."""
        name = _text(self._ask(self._nvml.nvmlDeviceGetName, device))
        number = self._ask(self._nvml.nvmlDeviceGetGpuInstanceId, device)
        return Slice(
            profile=name.rpartition("MIG ")[2] if "MIG " in name else "", id="" if number is None else str(number)
        )

    def _processes(self, handle: Any) -> tuple[Process, ...]:
        nvml = self._nvml
        found: dict[int, Process] = {}
        for newer, older in (
            (nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2),
            (nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, nvml.nvmlDeviceGetGraphicsRunningProcesses_v2),
        ):  # by version: without one, the library raises something else than NVMLError where the driver is old
            for each in self._ask(newer, handle) or self._ask(older, handle) or ():
                memory = None if each.usedGpuMemory is None else each.usedGpuMemory / _MIB
                found[each.pid] = Process(pid=each.pid, name=self._process_name(each.pid), memory_mib=memory)
        return tuple(found.values())

    def _process_name(self, pid: int) -> str:
        """The program, without its folder and arguments' clutter: `/usr/bin/python3` is `python3`."""
        name = _text(self._ask(self._nvml.nvmlSystemGetProcessName, pid))
        return name.rpartition("/")[2] if name.startswith("/") else name

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where this GPU or driver has none."""
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None


def _text(told: object) -> str:
    """Old versions of the library answer in bytes."""
    return clean(told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told or ""))


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
