"""What every request passes before the application sees it: the right host, a token, a body of bearable size.

Written on ASGI itself, so that what is refused is refused before its body is read.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fewtune.serve.refusals import Refusal, overloaded

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
_BODILESS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses what should not come in, and puts the security headers on what goes out."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        open_paths: frozenset[str],
        loopback_only: bool,
        body_bytes: int,
        all_bodies_bytes: int,
        body_seconds: float,
        check_room: Callable[[], None],
        is_streamed: Callable[[str], bool] = lambda path: False,
    ) -> None:
        """Stand before `app`.

        Args:
            app: what is guarded.
            token: what requests have to show; empty: nothing.
            open_paths: need no token: pages, and whether the service is up.
            loopback_only: whether to refuse requests that name another host than this machine. A page of a stranger
                whose name was made to mean 127.0.0.1 (DNS rebinding) sends its own name.
            body_bytes: a longer body is refused.
            all_bodies_bytes: what all bodies together may take of the memory; one that would take more is refused.
            body_seconds: a body that takes longer to arrive is refused.
            check_room: raises a refusal where there is too much to do already.
            is_streamed: whether a path's body is handed on as it comes; the application bounds it then.
        """
        self._app = app
        self._token = token.encode()
        self._open_paths = open_paths
        self._loopback_only = loopback_only
        self._body_bytes = body_bytes
        self._all_bodies_bytes = all_bodies_bytes
        self._held_bytes = 0
        self._body_seconds = body_seconds
        self._check_room = check_room
        self._is_streamed = is_streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_security_headers(send)
        body = bytearray()
        try:
            self._check(scope)
            if scope["method"] not in _BODILESS:
                self._check_room()
            if scope["method"] not in _BODILESS and not self._is_streamed(scope["path"]):
                await self._read(body, scope, receive)
                receive = _replay(body, receive)
        except Refusal as refusal:
            await _send_refusal(send, refusal)
        except _Gone:
            pass
        else:
            await self._app(scope, receive, send)
        finally:
            self._held_bytes -= len(body)

    def _check(self, scope: Scope) -> None:
        if self._loopback_only and not all(map(_is_this_machine, _headers(scope, b"host") or [b""])):
            raise Refusal(
                403,
                "The service answers only to the names of this machine.",
                where="header Host",
                how="Call it as http://127.0.0.1 or http://localhost.",
            )
        if self._token and scope["path"] not in self._open_paths:
            scheme, _, given = b"".join(_headers(scope, b"authorization")[:1]).partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Refusal(
                    401,
                    "This needs the service's token.",
                    where="header Authorization",
                    how="Send the header: Authorization: Bearer TOKEN",
                    headers={"WWW-Authenticate": "Bearer"},
                )

    async def _read(self, body: bytearray, scope: Scope, receive: Receive) -> None:
        """Read the whole body, which is counted as held from its first byte on."""
        declared = _headers(scope, b"content-length")
        if declared and int(declared[0]) > self._body_bytes:
            raise self._too_long()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in _chunks(receive):
                    body += chunk
                    self._held_bytes += len(chunk)
                    if len(body) > self._body_bytes:
                        raise self._too_long()
                    if self._held_bytes > self._all_bodies_bytes:
                        raise overloaded(1)
        except TimeoutError:
            raise Refusal(408, "The body did not arrive in time.", where="body", how="Send it again.") from None

    def _too_long(self) -> Refusal:
        return Refusal(
            413,
            f"The body is longer than {self._body_bytes} bytes.",
            where="body",
            how="Send fewer or shorter inputs in one request.",
        )


class _Gone(Exception):
    """The client has left before its request was whole."""


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replay(body: bytearray, receive: Receive) -> Receive:
    is_read = False

    async def replayed() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _is_this_machine(host: bytes) -> bool:
    name = host.decode("latin-1")
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _with_security_headers(send: Send) -> Send:
    added = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sending


async def _send_refusal(send: Send, refusal: Refusal) -> None:
    body = refusal.body()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
