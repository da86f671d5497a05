from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fewtune.serve.batcher import Batcher
from fewtune.serve.refusals import Refusal


class Doubler:
    """Doubles numbers; holds every batch until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.is_busy = threading.Event()
        self.may_go = threading.Event()
        if not held:
            self.may_go.set()

    def compute(self, inputs: list[int]) -> list[int]:
        self.batches.append(list(inputs))
        self.is_busy.set()
        assert self.may_go.wait(10)
        if 13 in inputs:
            raise ValueError("13 brings bad luck")
        return [2 * value for value in inputs]

    async def taken_up(self) -> None:
        assert await asyncio.to_thread(self.is_busy.wait, 10)


def run(test: Callable[[Batcher], Any], *, deadline_seconds: float = 10) -> None:
    batcher = Batcher(max_batch=4, queue=8, deadline_seconds=deadline_seconds)

    async def both() -> None:
        try:
            await test(batcher)
        finally:
            await asyncio.to_thread(batcher.close)

    asyncio.run(both())


def submit(batcher: Batcher, doubler: Doubler, inputs: list[int]) -> asyncio.Task[list[int]]:
    return asyncio.create_task(batcher.submit(doubler.compute, inputs))


def test_answers_come_in_order_and_long_lists_in_slices() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler()
        assert await submit(batcher, doubler, list(range(11))) == [2 * i for i in range(11)]
        assert max(map(len, doubler.batches)) == 4
        assert await submit(batcher, doubler, []) == []

    run(test)


def test_what_waits_is_computed_together_and_nothing_waits_when_idle() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler(held=True)
        first = submit(batcher, doubler, [0])
        await doubler.taken_up()
        rest = [submit(batcher, doubler, [i]) for i in range(1, 7)]
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        doubler.may_go.set()
        assert await first == [0]
        assert await asyncio.gather(*rest) == [[2 * i] for i in range(1, 7)]
        assert doubler.batches == [[0], [1, 2, 3, 4], [5, 6]]

    run(test)


def test_another_model_has_its_own_batches() -> None:
    async def test(batcher: Batcher) -> None:
        old, new = Doubler(held=True), Doubler()
        tasks = [submit(batcher, old, [0])]
        await old.taken_up()
        tasks += [submit(batcher, model, [i]) for i, model in enumerate([old, new, old, new], start=1)]
        await asyncio.sleep(0)
        old.may_go.set()
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8]]
        assert old.batches == [[0], [1, 3]]
        assert new.batches == [[2, 4]]

    run(test)


def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler(held=True)
        first = submit(batcher, doubler, [0])
        await doubler.taken_up()
        waiting = submit(batcher, doubler, list(range(8)))
        await asyncio.sleep(0)
        with pytest.raises(Refusal):
            batcher.check_room()
        started = time.perf_counter()
        with pytest.raises(Refusal) as refused:
            await submit(batcher, doubler, [1])
        assert time.perf_counter() - started < 1
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) >= 1
        doubler.may_go.set()
        await asyncio.gather(first, waiting)
        batcher.check_room()
        assert await submit(batcher, doubler, [1]) == [2]

    run(test)


def test_a_request_longer_than_the_queue_is_taken_when_idle() -> None:
    async def test(batcher: Batcher) -> None:
        assert len(await submit(batcher, Doubler(), [1] * 100)) == 100

    run(test)


def test_what_could_not_be_done_in_time_is_refused_at_once() -> None:
    async def test(batcher: Batcher) -> None:
        slow = Doubler()
        await submit(batcher, slow, [0])
        batcher._seconds_per_input = 100.0
        held = Doubler(held=True)
        first = submit(batcher, held, [0])
        await held.taken_up()
        waiting = submit(batcher, held, [1])
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await submit(batcher, held, [2])
        assert refused.value.headers["Retry-After"] == "100"
        held.may_go.set()
        await asyncio.gather(first, waiting)

    run(test)


def test_the_deadline_is_kept_and_what_nobody_awaits_is_not_computed() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler(held=True)
        first = submit(batcher, doubler, [0])
        await doubler.taken_up()
        for task in (first, submit(batcher, doubler, [1])):
            with pytest.raises(Refusal) as late:
                await task
            assert late.value.status == 504
        doubler.may_go.set()
        assert await submit(batcher, doubler, [2]) == [4]
        assert doubler.batches == [[0], [2]]

    run(test, deadline_seconds=0.5)


def test_a_failure_is_only_its_own() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler(held=True)
        first = submit(batcher, doubler, [0])
        await doubler.taken_up()
        tasks = [submit(batcher, doubler, [i]) for i in (1, 13, 2)]
        await asyncio.sleep(0)
        doubler.may_go.set()
        assert await first == [0]
        good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
        assert (good, fine) == ([2], [4])
        assert isinstance(bad, ValueError)

    run(test)


def test_closing_finishes_what_was_accepted_and_takes_no_more() -> None:
    async def test(batcher: Batcher) -> None:
        doubler = Doubler(held=True)
        tasks = [submit(batcher, doubler, [i]) for i in range(5)]
        await doubler.taken_up()
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        while not batcher._is_closing:
            await asyncio.sleep(0.001)
        with pytest.raises(Refusal) as refused:
            await submit(batcher, doubler, [9])
        assert refused.value.status == 503
        doubler.may_go.set()
        await closing
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8]]

    run(test)
