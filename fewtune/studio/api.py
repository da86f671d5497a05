"""The studio as an ASGI application: the page, what it asks for, and what becomes of errors."""

from __future__ import annotations

import errno

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from fewtune.errors import UserError
from fewtune.serve import limits as serve_limits
from fewtune.serve.error_answers import add_error_handlers, answer
from fewtune.serve.guard import Guard
from fewtune.serve.page_files import page_files
from fewtune.serve.refusals import Refusal
from fewtune.serve.settings import ServeSettings
from fewtune.studio import limits, routes
from fewtune.studio.plain import plain
from fewtune.studio.projects import Workspace
from fewtune.studio.refusals import disk_full
from fewtune.studio.shrinking import Shrinkings
from fewtune.studio.training import Trainings
from fewtune.studio.workers import Workers

_STREAMED = ("/import", "/try-picture")


def make_app(workspace: Workspace, settings: ServeSettings) -> ASGIApp:
    """Put the studio together.

    Args:
        workspace: the projects.
        settings: checked.
    """
    workers = Workers()
    trainings, shrinkings = Trainings(workers), Shrinkings(workers)
    app = FastAPI(
        title="fewtune studio",
        lifespan=lambda app: routes.life(workspace, workers),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    add_error_handlers(app, "Go back to the start page.", "Reload the page, and try again.")
    _add_more_error_handlers(app)
    for router in (
        routes.project_routes(workspace, trainings, shrinkings),
        routes.label_routes(workspace),
        routes.example_routes(workspace),
        routes.import_routes(workspace),
        routes.finding_routes(workspace),
        routes.training_routes(workspace, trainings, workers),
        routes.smaller_routes(workspace, shrinkings, workers),
        routes.model_routes(workspace),
        routes.take_away_routes(workspace),
    ):
        app.include_router(router)
    pages = page_files("fewtune.studio")

    async def page(request: Request) -> Response:
        file = pages[request.url.path]
        return Response(file.content, media_type=file.media_type)

    for path in pages:
        app.add_api_route(path, page)
    return Guard(
        app,
        token=settings.token,
        open_paths=frozenset(pages),
        loopback_only=settings.is_loopback,
        body_bytes=limits.BODY_BYTES,
        all_bodies_bytes=serve_limits.ALL_BODIES_BYTES,
        body_seconds=settings.deadline_seconds,
        check_room=lambda: None,
        is_streamed=lambda path: path.endswith(_STREAMED),
    )


def _add_more_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(UserError)
    async def to_be_mended(request: Request, error: UserError) -> Response:
        """What the library says to somebody at a terminal, for somebody who is not."""
        what, where, how = (plain(text) for text in (error.what, error.where, error.how))
        return answer(Refusal(422, what, where=where, how=how))

    @app.exception_handler(OSError)
    async def of_the_system(request: Request, error: OSError) -> Response:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return answer(disk_full())
        return answer(Refusal(500, f"The disk gives an error: {error.strerror or type(error).__name__}."))
