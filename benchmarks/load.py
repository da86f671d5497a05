"""A bounded load on a service at this machine.

By wrk where every connection asks again as soon as it is answered; by a client of our own where requests come at a rate
of their own, which wrk cannot do.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
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

    def percentile(self, status: int, percent: float) -> float | None:
        """Time to the answers of this status; None where there were none."""
        times = self.milliseconds.get(status)
        return round(float(np.percentile(times, percent)), 1) if times else None

    @property
    def answers_per_second(self) -> float:
        """Good ones."""
        return len(self.milliseconds.get(200, ())) / self.seconds

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


def bodies_of(texts: Sequence[str]) -> list[str]:
    """What is posted to /predict, a text a request."""
    return [json.dumps({"inputs": [text]}) for text in texts]


def _request(body: str) -> bytes:
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return (head.format(len(body)) + body).encode()


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


@dataclass(frozen=True)
class Answered:
    """What wrk met.

    Attributes:
        per_second: answers with status 200.
        p50_ms, p99_ms: time to an answer of any status.
        errors: other statuses, and requests that got no answer.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


_WRK = """
local bodies = {{ {bodies} }}
local place = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def closed(port: int, bodies: Sequence[str], *, connections: int, seconds: int) -> Answered:
    """Every connection asks again as soon as it is answered.

    Raises:
        FileNotFoundError: wrk is not installed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        # What JSON escapes, Lua would read otherwise: long brackets take it as it is.
        script.write(_WRK.format(bodies=", ".join(f"[==[{body}]==]" for body in bodies)))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", script.name]
        command.append(f"http://127.0.0.1:{port}/predict")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    requests, micros, p50, p99, errors = map(float, done.stdout.rpartition("RESULT ")[2].split())
    return Answered((requests - errors) / micros * 1e6, round(p50 / 1e3, 1), round(p99 / 1e3, 1), int(errors))


def open_rate(port: int, bodies: Sequence[str], *, per_second: float, seconds: float) -> Load:
    """Requests come at a rate of their own, whether or not the service keeps up."""
    requests = list(map(_request, bodies))

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
