"""Open a folder of projects, listen, and show the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fewtune.errors import MissingExtraError, UserError
from fewtune.serve.server import run_app
from fewtune.serve.settings import ServeSettings

# What a request without a file may take to arrive.
_BODY_SECONDS = 30.0


def studio(folder: Path, *, host: str, port: int, token: str, on_listening: Callable[[str], None]) -> bool:
    """Run the studio until Ctrl-C.

    Args:
        folder: of the projects; made where it is not there.
        host, port: where to listen; port 0 takes a free one.
        token: what requests have to show; empty: nothing, which only this machine may.
        on_listening: is told the address.

    Returns:
        Whether it was Ctrl-C that ended it.

    Raises:
        UserError: the folder or the port cannot be had, or others could use the studio without a token.
        MissingExtraError: FastAPI or Uvicorn is not installed.
    """
    settings = ServeSettings(host=host, port=port, token=token, deadline_seconds=_BODY_SECONDS)
    if not token and not settings.is_loopback:
        raise UserError(
            "Others could use the studio without a token.",
            where=f"--host {host}",
            how="Set FEWTUNE_TOKEN (or --token) to a long random word.",
        )
    settings.check()
    try:
        import uvicorn  # noqa: F401

        from fewtune.studio.api import make_app
    except ModuleNotFoundError as error:
        raise MissingExtraError("serve", needed_for="fewtune studio") from error
    from fewtune.studio.projects import Workspace

    return run_app(make_app(Workspace(folder), settings), settings, on_listening=on_listening)
