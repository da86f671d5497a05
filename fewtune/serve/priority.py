"""Threads that compute give way to the one that answers: a refusal is prompt however much there is to compute."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

# Enough to go second on busy cores, and little enough to keep a fair share beside other programs.
_NICER_BY = 3
T = TypeVar("T")


def give_way() -> None:
    """Lower the priority of this thread and of those that it will start; only Linux has one for each thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER_BY)


def giving_way(make: Callable[[], T]) -> T:
    """What `make` makes; the threads that it starts, such as those of ONNX Runtime, give way."""
    with ThreadPoolExecutor(1, initializer=give_way) as thread:
        return thread.submit(make).result()
