"""What the guard reads of a request, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.types import Message, Receive, Scope, Send

from fewtune.serve.guard import Guard
from fewtune.serve.refusals import overloaded


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def call(
    chunks: list[bytes] | None,
    *,
    headers: dict[str, str] | None = None,
    token: str = "",
    check_room: Callable[[], None] = lambda: None,
) -> tuple[int, int, bytes]:
    """Status, chunks that were read, and the answer; `None`: the body never comes."""
    guard = Guard(
        _echo,
        token=token,
        open_paths=frozenset(),
        loopback_only=False,
        body_bytes=10,
        all_bodies_bytes=20,
        body_seconds=0.05,
        check_room=check_room,
    )
    sent: list[Any] = []
    read = 0

    async def receive() -> Message:
        nonlocal read
        if chunks is None:
            await asyncio.sleep(60)
        assert chunks is not None
        read += 1
        return {"type": "http.request", "body": chunks[read - 1], "more_body": read < len(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": encoded}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], read, sent[-1]["body"]


def test_a_body_that_fits_arrives_whole() -> None:
    assert call([b"01234", b"56789"]) == (200, 2, b"0123456789")


def test_a_body_that_is_too_long_is_not_read_to_its_end() -> None:
    assert call([b"0123456", b"789abc", *[b"x"] * 1000])[:2] == (413, 2)
    assert call([b"x"], headers={"content-length": "11"})[:2] == (413, 0)


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    assert call(None)[0] == 408


def test_without_the_token_nothing_is_read() -> None:
    assert call([b"x"], token="secret")[:2] == (401, 0)
    assert call([b"x"], token="secret", headers={"authorization": "bearer secret"}) == (200, 1, b"x")


def test_where_there_is_no_room_nothing_is_read() -> None:
    def no_room() -> None:
        raise overloaded(3)

    assert call([b"x"], check_room=no_room)[:2] == (503, 0)
