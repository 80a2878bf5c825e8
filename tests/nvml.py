"""A driver that is not there: the functions of nvidia-ml-py that the monitor asks, over GPUs made up by tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

MIB = 1024**2


@dataclass
class Device:
    """A GPU or a MIG device. A figure that is None is not supported; `lost` is what the driver says of a lost one."""

    uuid: str = "GPU-0"
    name: str | bytes = "NVIDIA H100 80GB HBM3"
    rates: tuple[int, int] | None = (90, 30)
    memory_mib: tuple[int, int, int] | None = (70000, 10000, 1559)
    """Used, free, reserved."""
    temperature: int | None = 60
    milliwatts: int | None = 500_000
    default_milliwatts: int | None = 700_000
    enforced_milliwatts: int | None = 650_000
    clock: int | None = 1980
    most_clock: int | None = 1980
    reasons: int | None = 0
    processes: Sequence[tuple[int, int | None]] = ()
    slices: Sequence[Device] | None = None
    """None: MIG is off."""
    instance: int = 0
    lost: str | None = None


class NVMLError(Exception):
    pass


@dataclass
class FakeNvml:
    """Stands where the module `pynvml` would. `broken` is what the driver says when it is asked for anything."""

    devices: list[Device] = field(default_factory=list)
    names: dict[int, str | bytes] = field(default_factory=dict)
    old: bool = False
    """A driver that knows only the first form of memory."""
    no_driver: str | None = None
    broken: str | None = None
    begun: int = 0

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 0x02000028  # noqa: N815

    def nvmlInit(self) -> None:
        if self.no_driver:
            raise NVMLError(self.no_driver)
        self.begun += 1

    def nvmlDeviceGetCount(self) -> int:
        if self.broken:
            raise NVMLError(self.broken)
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        if self.devices[index].lost:
            raise NVMLError(self.devices[index].lost)
        return self.devices[index]

    def nvmlDeviceGetUUID(self, device: Device) -> str:
        return device.uuid

    def nvmlDeviceGetName(self, device: Device) -> str | bytes:
        return device.name

    def nvmlDeviceGetUtilizationRates(self, device: Device) -> Any:
        gpu, memory = _told(device.rates)
        return SimpleNamespace(gpu=gpu, memory=memory)

    def nvmlDeviceGetMemoryInfo(self, device: Device, version: int | None = None) -> Any:
        used, free, reserved = (each * MIB for each in _told(device.memory_mib))
        if version is None:
            return SimpleNamespace(total=used + free + reserved, used=used + reserved, free=free)
        if self.old:
            raise NVMLError("Function Not Found")
        return SimpleNamespace(total=used + free + reserved, used=used, free=free, reserved=reserved)

    def nvmlDeviceGetTemperature(self, device: Device, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return _told(device.temperature)

    def nvmlDeviceGetPowerUsage(self, device: Device) -> int:
        return _told(device.milliwatts)

    def nvmlDeviceGetPowerManagementDefaultLimit(self, device: Device) -> int:
        return _told(device.default_milliwatts)

    def nvmlDeviceGetEnforcedPowerLimit(self, device: Device) -> int:
        return _told(device.enforced_milliwatts)

    def nvmlDeviceGetClockInfo(self, device: Device, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return _told(device.clock)

    def nvmlDeviceGetMaxClockInfo(self, device: Device, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return _told(device.most_clock)

    def nvmlDeviceGetCurrentClocksEventReasons(self, device: Device) -> int:
        return _told(device.reasons)

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        if "A10G" in str(device.name):
            raise NVMLError("Not Supported")
        return [0, 0] if device.slices is None else [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        if index >= len(device.slices or ()):
            raise NVMLError("Not Found")
        return _told(device.slices)[index]

    def nvmlDeviceGetGpuInstanceId(self, device: Device) -> int:
        return device.instance

    def nvmlDeviceGetComputeRunningProcesses_v3(self, device: Device) -> list[Any]:
        if self.old:
            raise NVMLError("Function Not Found")
        return self.nvmlDeviceGetComputeRunningProcesses_v2(device)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, device: Device) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in device.processes]

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, device: Device) -> list[Any]:
        raise NVMLError("Not Supported")

    nvmlDeviceGetGraphicsRunningProcesses_v2 = nvmlDeviceGetGraphicsRunningProcesses_v3  # noqa: N815

    def nvmlSystemGetProcessName(self, pid: int) -> str | bytes:
        if pid not in self.names:
            raise NVMLError("Not Found")
        return self.names[pid]


def _told(figure: Any) -> Any:
    if figure is None:
        raise NVMLError("Not Supported")
    return figure
