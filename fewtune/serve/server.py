"""Listen, serve, and stop without breaking off what was accepted."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fewtune.errors import FewtuneError, MissingExtraError, UserError
from fewtune.progress import Progress
from fewtune.serve.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# What a request may take beyond its deadline before a stop breaks it off.
_GRACE_SECONDS = 5
# How long the computing thread may hold the interpreter while the one that answers waits for it: Python's usual 5 ms,
# several times for each request, would make even a refusal slow.
_SWITCH_SECONDS = 0.0005


def serve(
    folders: Sequence[Path],
    settings: ServeSettings,
    *,
    progress: Progress,
    on_listening: Callable[[str, list[str]], None],
) -> bool:
    """Serve bundles until SIGTERM or Ctrl-C; what was accepted until then is answered.

    Args:
        folders: the bundles.
        settings: how to serve them.
        progress: is told when a bundle is taken up anew.
        on_listening: is told the address and the names of the bundles once requests are answered.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        UserError: an option does not fit, a bundle cannot be opened, or the port is taken.
        MissingExtraError: FastAPI or Uvicorn is not installed.
    """
    settings.check()
    try:
        import uvicorn  # noqa: F401

        from fewtune.serve.api import make_app
    except ModuleNotFoundError as error:
        raise MissingExtraError("serve", needed_for="fewtune serve") from error
    from fewtune.serve.bundles import Shelf

    def on_change(name: str, error: FewtuneError | None) -> None:
        progress.say(f"{name}: the new version is served." if error is None else f"{name}: not taken up: {error.what}")

    shelf = Shelf(folders, threads=settings.threads)
    return run_app(
        make_app(shelf, settings, on_change=on_change),
        settings,
        on_listening=lambda url: on_listening(url, list(shelf)),
    )


def run_app(app: ASGIApp, settings: ServeSettings, *, on_listening: Callable[[str], None]) -> bool:
    """Answer requests with an application until SIGTERM or Ctrl-C; what was accepted until then is answered.

    Args:
        app: what answers.
        settings: checked; where to listen, and how long a request may take.
        on_listening: is told the address once requests are answered.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        UserError: the port is taken.
    """
    import uvicorn

    from fewtune.serve.protocol import BoundedProtocol

    listener = _listen(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=round(settings.deadline_seconds) + _GRACE_SECONDS,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_listening(_address(listener))

    with listener, _sigterm_is_a_normal_end():
        try:
            Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            # Uvicorn raises it once everything is finished; to stop a service like this is no error.
            return True
    return False


def _listen(settings: ServeSettings) -> socket.socket:
    family, _, _, _, address = settings.addresses()[0]
    try:
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise UserError(
            f"The service cannot listen here: {error.strerror or error}.",
            where=f"--host {settings.host} --port {settings.port}",
            how="Give another --port; 0 takes a free one.",
        ) from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _sigterm_is_a_normal_end() -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more at its end, which would end this process by it."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
