"""What computes gives way to what answers."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

pytest.importorskip("fastapi")

from fewtune.serve.batcher import Batcher
from fewtune.serve.priority import giving_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_threads_that_compute_go_second() -> None:
    ours = priority()
    assert ours == 19 or giving_way(priority) > ours
    assert priority() == ours


def test_what_the_batcher_computes_goes_second() -> None:
    batcher = Batcher(max_batch=1, queue=1, deadline_seconds=10)
    try:
        found = asyncio.run(batcher.submit(lambda inputs: [priority() for _ in inputs], ["a"]))
    finally:
        batcher.close()
    assert priority() == 19 or found[0] > priority()


def test_an_error_while_opening_is_the_callers() -> None:
    def broken() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        giving_way(broken)
