"""One thread that computes what requests ask, together where they ask at the same time.

Nothing waits for a batch to fill: an idle thread takes what is there, and while it computes the next
batch gathers. So a lone request is answered as fast as can be, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fewtune.serve.priority import give_way
from fewtune.serve.refusals import overloaded, stopping, too_late

Compute = Callable[[list[Any]], Sequence[Any]]

# How much the newest batch counts in the estimate of what an input takes.
_NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class _Job:
    """Inputs that are computed in one go, and where their answers are awaited."""

    compute: Compute
    inputs: list[Any]
    answers: asyncio.Future[list[Any]]


class Batcher:
    """A bounded queue in front of a computing thread.

    A request brings the function that computes it. Requests that bring the same one share batches; a new version of
    a model is a new function, and what was asked of the old one is still computed by the old one.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        queue: int,
        deadline_seconds: float,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Start the thread.

        Args:
            max_batch: inputs that are computed together at most.
            queue: inputs that may wait at most.
            deadline_seconds: how long a request waits at most.
            on_batch: is told the size of every batch.
        """
        self._max_batch = max_batch
        self._queue = queue
        self._deadline_seconds = deadline_seconds
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._seconds_per_input = 0.0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="fewtune-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Inputs that wait to be computed."""
        return self._waiting

    def check_room(self, count: int = 1) -> None:
        """Refuse what could not be taken now; cheap, so that it can be asked before a body is read.

        Args:
            count: inputs of the request. One that alone is longer than the queue is taken when nothing waits.

        Raises:
            Refusal: 503 where the queue is full or could not be worked off in time, or the service is stopping.
        """
        if self._is_closing:
            raise stopping()
        ahead_seconds = self._waiting * self._seconds_per_input
        is_full = self._waiting > 0 and self._waiting + count > self._queue
        if is_full or ahead_seconds > self._deadline_seconds:
            raise overloaded(max(1, math.ceil(ahead_seconds)))

    async def submit(self, compute: Compute, inputs: list[Any]) -> list[Any]:
        """Have inputs computed.

        Args:
            compute: gives one answer for every input, in their order; called in the thread.
            inputs: any number; long lists are computed in slices, so that others come in between.

        Returns:
            The answers, in the order of `inputs`.

        Raises:
            Refusal: 503 at once where there is no room; 504 where the deadline has passed.
        """
        loop = asyncio.get_running_loop()
        jobs = [
            _Job(compute, inputs[start : start + self._max_batch], loop.create_future())
            for start in range(0, len(inputs), self._max_batch)
        ]
        with self._changed:
            self.check_room(len(inputs))
            self._jobs.extend(jobs)
            self._waiting += len(inputs)
            self._changed.notify()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                slices = await asyncio.gather(*(job.answers for job in jobs))
        except TimeoutError:
            raise too_late(self._deadline_seconds) from None
        return [answer for answers in slices for answer in answers]

    def close(self) -> None:
        """Accept nothing more, finish what was accepted, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        give_way()
        while jobs := self._take():
            wanted = [job for job in jobs if not job.answers.done()]
            if wanted:
                self._answer(wanted)

    def _take(self) -> list[_Job]:
        """Wait for jobs; the first in the queue and those that can be computed with it; none once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closing)
            taken: list[_Job] = []
            left: deque[_Job] = deque()
            size = 0
            for job in self._jobs:
                fits = size + len(job.inputs) <= self._max_batch
                if not taken or (job.compute == taken[0].compute and fits):
                    taken.append(job)
                    size += len(job.inputs)
                else:
                    left.append(job)
            self._jobs = left
            self._waiting -= size
            return taken

    def _answer(self, jobs: list[_Job]) -> None:
        inputs = [value for job in jobs for value in job.inputs]
        started = time.perf_counter()
        try:
            answers = list(self._compute(jobs[0].compute, inputs))
        except Exception as error:
            self._answer_apart(jobs, error)
            return
        taken_seconds = (time.perf_counter() - started) / len(inputs)
        self._seconds_per_input += _NEWEST * (taken_seconds - self._seconds_per_input)
        self._on_batch(len(inputs))
        position = 0
        for job in jobs:
            _deliver(job, answers[position : position + len(job.inputs)])
            position += len(job.inputs)

    def _answer_apart(self, jobs: list[_Job], error: Exception) -> None:
        """One request's failure is its own: the others of its batch are computed without it."""
        if len(jobs) == 1:
            _deliver(jobs[0], error)
        else:
            for job in jobs:
                self._answer([job])

    @staticmethod
    def _compute(compute: Compute, inputs: list[Any]) -> Sequence[Any]:
        answers = compute(inputs)
        if len(answers) != len(inputs):
            raise RuntimeError(f"{len(inputs)} inputs got {len(answers)} answers")
        return answers


def _deliver(job: _Job, outcome: list[Any] | Exception) -> None:
    job.answers.get_loop().call_soon_threadsafe(_settle, job.answers, outcome)


def _settle(answers: asyncio.Future[list[Any]], outcome: list[Any] | Exception) -> None:
    if answers.done():
        return  # whoever asked has gone
    if isinstance(outcome, Exception):
        answers.set_exception(outcome)
    else:
        answers.set_result(outcome)
