"""A bounded load on a service at this machine: an HTTP client that costs as little as can be."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Connections that an open load may have at once: a service that only piles up requests is not measured to the end.
MOST_CONNECTIONS = 1024


@dataclass
class Load:
    """What a load met.

    Attributes:
        seconds: how long it lasted.
        milliseconds: status to the time of each answer.
        broken: requests that got no answer.
        unsent: requests that found no connection free, of the most that there may be.
    """

    seconds: float = 0.0
    milliseconds: dict[int, list[float]] = field(default_factory=dict)
    broken: int = 0
    unsent: int = 0

    def count(self, status: int) -> int:
        """How many answers had this status."""
        return len(self.milliseconds.get(status, ()))

    def percentile(self, status: int, percent: float) -> float | None:
        """Time to the answers of this status; None where there were none."""
        times = self.milliseconds.get(status)
        return round(float(np.percentile(times, percent)), 1) if times else None

    @property
    def answers_per_second(self) -> float:
        """Good ones."""
        return self.count(200) / self.seconds

    def statuses(self) -> dict[str, int]:
        """How many answers had each status."""
        return {str(status): len(times) for status, times in sorted(self.milliseconds.items())}


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> int:
        """Send one request; the status of its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        await self._reader.readexactly(length)
        return int(lines[0].split()[1])

    @property
    def is_ended(self) -> bool:
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()


def requests_of(texts: Sequence[str]) -> list[bytes]:
    """A request to /predict for each text."""
    bodies = [json.dumps({"inputs": [text]}, ensure_ascii=False).encode() for text in texts]
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return [head.format(len(body)).encode() + body for body in bodies]


async def _timed(load: Load, connection: _Connection, request: bytes) -> bool:
    """Ask and note what came; whether the connection can be used again."""
    started = time.perf_counter()
    try:
        status = await asyncio.wait_for(connection.ask(request), 60)
    except (OSError, EOFError, TimeoutError):
        load.broken += 1
        return False
    load.milliseconds.setdefault(status, []).append(1000 * (time.perf_counter() - started))
    return True


def closed(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Every connection asks again as soon as it is answered."""

    async def one(load: Load, number: int, end: float) -> None:
        connection = await _Connection.open(port)
        position = number
        while time.perf_counter() < end and await _timed(load, connection, requests[position % len(requests)]):
            position += connections
        connection.close()

    async def all_of_them() -> Load:
        load, started = Load(), time.perf_counter()
        await asyncio.gather(*(one(load, number, started + seconds) for number in range(connections)))
        load.seconds = time.perf_counter() - started
        return load

    return asyncio.run(all_of_them())


def open_rate(port: int, requests: Sequence[bytes], *, per_second: float, seconds: float) -> Load:
    """Requests come at a rate of their own, whether or not the service keeps up."""

    async def all_of_them() -> Load:
        load, idle, tasks = Load(), list[_Connection](), set[asyncio.Task[Any]]()

        async def one(request: bytes) -> None:
            while idle and idle[-1].is_ended:
                idle.pop()  # the service ends connections that nothing came over for a while
            connection = idle.pop() if idle else await _Connection.open(port)
            if await _timed(load, connection, request):
                idle.append(connection)

        started, sent = time.perf_counter(), 0
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * per_second:
                if len(tasks) < MOST_CONNECTIONS:
                    task = asyncio.create_task(one(requests[sent % len(requests)]))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    load.unsent += 1
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        load.seconds = time.perf_counter() - started
        for connection in idle:
            connection.close()
        return load

    return asyncio.run(all_of_them())
