"""How many threads a computation may use, and how they wait for each other."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may run on, which containers and schedulers can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def spin_briefly() -> None:
    """Have OpenMP's threads spin for microseconds, not milliseconds, when they wait for each other.

    To be called before PyTorch is loaded. Cores that are wanted by others, too, would spend most of a training on it.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
