"""How many threads a computation may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may run on, which containers and schedulers can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
