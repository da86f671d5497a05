"""A file on its way in: to the disk as it comes, never whole in memory, and no longer than the limit."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Request

from fewtune.studio import limits
from fewtune.studio.refusals import StudioRefusal, too_large

_KIND = "application/octet-stream"


@asynccontextmanager
async def received(request: Request, folder: Path, name: str) -> AsyncIterator[Path]:
    """The request's body as a file in `folder`, which goes when the block is left.

    Args:
        request: its body is the file.
        folder: for files on their way.
        name: what the file is called; its ending is kept.

    Raises:
        StudioRefusal: it is too large, or does not arrive.
    """
    _check(request)
    path = folder / f"{uuid.uuid4().hex}{Path(name).suffix.lower()[:10]}"
    try:
        with path.open("wb") as file:
            written = 0
            async for part in _parts(request):
                written += len(part)
                if written > limits.UPLOAD_BYTES:
                    raise too_large(limits.UPLOAD_BYTES)
                file.write(part)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _check(request: Request) -> None:
    # A stranger's page can send what is called text or a form to this machine without asking, but not this.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise StudioRefusal(
            415, "not-a-file", "The body is not called a file.", where="Content-Type", how=f"Send it as {_KIND}."
        )
    if int(request.headers.get("content-length", "0")) > limits.UPLOAD_BYTES:
        raise too_large(limits.UPLOAD_BYTES)


async def _parts(request: Request) -> AsyncIterator[bytes]:
    parts = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(limits.UPLOAD_PART_SECONDS):
                part = await parts.__anext__()
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise StudioRefusal(408, "too-slow", "The file did not arrive.", how="Send it again.") from None
        yield part
