"""What this machine is, and how much memory this process took."""

from __future__ import annotations

import math
import platform
import sys
from pathlib import Path

from fewtune.runtime.threads import usable_cores

# As Linux names them: on x86-64 VNNI in two forms and AMX, on Arm dot products and matrix products.
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}


def peak_memory_mb() -> float:
    """The most memory that this process held at once, in megabytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss, which on Linux begins with what the parent process held.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def free_memory_mb() -> float:
    """The memory that a process may still take, in megabytes, its control group's limit included.

    Infinite where the system does not tell.
    """
    free = [math.inf]
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024 / 1e6)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        free.append((int(limit.read_text()) - int(used.read_text())) / 1e6)
    return min(free)


def describe_machine(threads: int) -> dict[str, str | int]:
    """Processor, system, cores and the threads used."""
    return {"processor": _processor(), "system": platform.system(), "cores": usable_cores(), "threads": threads}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def multiplies_int8() -> bool | None:
    """Whether the processor has instructions for products of 8-bit integers; None where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return None
    lines = cpuinfo.read_text(errors="replace").splitlines()
    flags = next((set(line.split()) for line in lines if line.lower().startswith(("flags", "features"))), None)
    return None if flags is None else bool(flags & _INT8_FLAGS)
