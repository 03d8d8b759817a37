"""What this machine can do: cores, memory, devices. Containers' limits are respected."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_MB = 1024 * 1024
_UNLIMITED_MB = 1 << 40
_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Device:
    """Something that networks can run on.

    Args:
        kind: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        name: As the maker calls it.
        memory_mb: Free memory in MB; that of the machine for ``"cpu"`` and ``"mps"``.
        bf16: Whether bfloat16 is fast on it.
    """

    kind: str
    name: str
    memory_mb: float
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan may count on.

    Args:
        cores: Processor cores that this process may use.
        memory_mb: Memory that may still be taken, in MB.
        disk_mb: Free space where runs are written, in MB.
        devices: The processor first, then accelerators.
        system: Operating system and architecture.
        torch: Version of torch, None if it is not installed.
        note: A sentence when something is missing, else empty.
    """

    cores: int
    memory_mb: float
    disk_mb: float
    devices: tuple[Device, ...]
    system: str
    torch: str | None = None
    note: str = ""

    @property
    def processor(self) -> Device:
        """The processor."""
        return self.devices[0]

    @property
    def accelerators(self) -> tuple[Device, ...]:
        """Devices other than the processor."""
        return self.devices[1:]

    def describe(self) -> dict[str, str]:
        """The facts in words.

        Returns:
            Short names to sentences, in the order that a person reads them.
        """
        facts = {
            "system": self.system,
            "processor": f"{self.processor.name}, {self.cores} core{'s' * (self.cores != 1)}"
            + (", fast bfloat16" if self.processor.bf16 else ""),
            "memory": f"{self.memory_mb / 1024:.1f} GB may be used",
            "disk": f"{self.disk_mb / 1024:.1f} GB free",
        }
        for number, device in enumerate(self.accelerators):
            facts[f"accelerator {number}"] = f"{device.name} ({device.kind}), {device.memory_mb / 1024:.1f} GB free"
        facts["torch"] = self.torch or "not installed"
        if self.note:
            facts["note"] = self.note
        return facts


def machine(folder: Path | None = None) -> Machine:
    """Look at this machine. torch is imported if it is installed, which takes some seconds.

    Args:
        folder: Where runs will be written, for the free space; the working directory if None.

    Returns:
        Cores, memory, disk and devices that this process may use. Without torch the only
        device is the processor, and ``note`` says so.
    """
    memory = memory_mb()
    cpu = Device("cpu", _processor_name(), memory, _cpu_bf16())
    found, torch_version, note = _accelerators(memory)
    return Machine(
        cores=cores(),
        memory_mb=memory,
        disk_mb=shutil.disk_usage(_existing(folder or Path.cwd())).free / _MB,
        devices=(cpu, *found),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        torch=torch_version,
        note=note,
    )


def cores() -> int:
    """Processor cores that this process may use: affinity and the container's quota."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota, period = None, 100_000.0
    text = _text(_CGROUP / "cpu.max").split()
    if len(text) == 2 and text[0] != "max":
        quota, period = _number(text[0]), _number(text[1]) or period
    elif not text:
        quota = _number(_text(_CGROUP / "cpu/cpu.cfs_quota_us"))
        period = _number(_text(_CGROUP / "cpu/cpu.cfs_period_us")) or period
    if quota and quota > 0:
        n = min(n, max(1, round(quota / period)))
    return max(1, n)


def memory_mb() -> float:
    """Memory that may still be taken, in MB: the machine's, or the container's if that is less."""
    free: float = _UNLIMITED_MB
    for line in _text(_PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = float(line.split()[1]) / 1024
    if free == _UNLIMITED_MB and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _MB / 2  # free is unknown: half of all
    for limit_file, used_file in (
        (_CGROUP / "memory.max", _CGROUP / "memory.current"),
        (_CGROUP / "memory/memory.limit_in_bytes", _CGROUP / "memory/memory.usage_in_bytes"),
    ):
        limit, used = _number(_text(limit_file)), _number(_text(used_file))
        if limit and limit / _MB < _UNLIMITED_MB:
            free = min(free, max(limit - _reclaimable(used or 0.0), 0.0) / _MB)
    return free


def _reclaimable(used: float) -> float:
    """Used memory less the file cache, which the kernel gives back when asked."""
    for line in _text(_CGROUP / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return max(used - float(value), 0.0)
    return used


def _accelerators(memory: float) -> tuple[tuple[Device, ...], str | None, str]:
    if find_spec("torch") is None:
        return (
            (),
            None,
            "torch is not installed: this machine can predict and serve; pip install 'scanwright[train]' to train.",
        )
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken installation must not stop `doctor`
        return (
            (),
            _version("torch"),
            f"torch is installed but does not import ({type(error).__name__}): install it anew.",
        )
    found = []
    note = ""
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            try:
                free = torch.cuda.mem_get_info(number)[0] / _MB
                bf16 = torch.cuda.get_device_capability(number)[0] >= 8
                found.append(Device("cuda", torch.cuda.get_device_name(number), free, bf16))
            except RuntimeError:
                note = f"CUDA device {number} does not answer and is left out."
    elif torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", memory))
    return tuple(found), str(torch.__version__), note


def _cpu_bf16() -> bool:
    flags = _text(_PROC / "cpuinfo")
    return any(f" {flag}" in flags for flag in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"))


def _processor_name() -> str:
    for line in _text(_PROC / "cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(p for p in (path, *path.parents) if p.exists())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
