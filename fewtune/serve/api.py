"""The service as an ASGI application: routes, pages, and what becomes of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from fewtune.errors import FewtuneError
from fewtune.serve import limits, schemas
from fewtune.serve.batcher import Batcher
from fewtune.serve.bundles import Shelf
from fewtune.serve.documentation import add_schemas
from fewtune.serve.error_answers import add_error_handlers
from fewtune.serve.guard import Guard
from fewtune.serve.metrics import CONTENT_TYPE, Metrics
from fewtune.serve.page_files import PageFile, page_files
from fewtune.serve.routes import describe, errors, model_routes
from fewtune.serve.settings import ServeSettings

OnChange = Callable[[str, FewtuneError | None], None]

_NEED_NO_TOKEN = {"/health", "/ready", "/openapi.json"}
_WHAT_THERE_IS = "GET /openapi.json tells what there is; /docs shows it."
_WHAT_IS_EXPECTED = '/docs shows what is expected, for example {"inputs": ["a text"]}.'


def make_app(shelf: Shelf, settings: ServeSettings, *, on_change: OnChange = lambda name, error: None) -> ASGIApp:
    """Put a service together.

    Args:
        shelf: the bundles.
        settings: checked.
        on_change: is told when a bundle is taken up anew, or cannot be and why.
    """
    metrics = Metrics()
    batcher = Batcher(
        max_batch=settings.max_batch,
        queue=settings.queue,
        deadline_seconds=settings.deadline_seconds,
        on_batch=metrics.count_batch,
    )
    metrics.watch_queue(lambda: batcher.waiting)

    def changed(name: str, error: FewtuneError | None) -> None:
        metrics.count_reload(name, error)
        on_change(name, error)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(shelf.watch(changed))
        try:
            yield
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        finally:
            # Whatever became of the watch, what was accepted is still answered.
            await asyncio.to_thread(batcher.close)

    app = FastAPI(
        title="fewtune",
        description='Predictions over HTTP. An error is `{"error": {"what", "where", "how"}}`.',
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # The bearer scheme is here for the schema's sake: the guard is what demands the token.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else [],
    )
    pages = page_files()
    reads_pictures = any(kind.reads_pictures for kind in shelf.kinds)
    add_error_handlers(app, _WHAT_THERE_IS, _WHAT_IS_EXPECTED)
    _add_pages(app, pages)
    _add_state(app, batcher, metrics)
    _add_models(app, shelf, batcher, settings.cors)
    guarded = Guard(
        app,
        token=settings.token,
        open_paths=frozenset(_NEED_NO_TOKEN | set(pages)),
        loopback_only=settings.is_loopback,
        body_bytes=limits.PICTURE_BODY_BYTES if reads_pictures else limits.BODY_BYTES,
        all_bodies_bytes=limits.ALL_BODIES_BYTES,
        body_seconds=settings.deadline_seconds,
        check_room=batcher.check_room,
    )
    return _with_cors(metrics.measured(guarded), settings.cors)


def _with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    if not origins:
        return app
    headers = ["Authorization", "Content-Type"]
    return CORSMiddleware(app, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)


def _add_pages(app: FastAPI, pages: Mapping[str, PageFile]) -> None:
    async def page(request: Request) -> Response:
        file = pages[request.url.path]
        return Response(file.content, media_type=file.media_type)

    for path in pages:
        app.add_api_route(path, page, include_in_schema=False)


def _add_state(app: FastAPI, batcher: Batcher, metrics: Metrics) -> None:
    @app.get("/health", response_model=schemas.Status, responses=errors(403))
    async def health() -> Any:
        """Whether the service runs."""
        return {"status": "ok"}

    @app.get("/ready", response_model=schemas.Status, responses=errors(403, 503))
    async def ready() -> Any:
        """Whether a request would be taken now."""
        batcher.check_room()
        return {"status": "ready"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **errors(401, 403)},
    )
    async def counts() -> Response:
        """Counts and times for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _add_models(app: FastAPI, shelf: Shelf, batcher: Batcher, origins: Sequence[str]) -> None:
    @app.get("/models", response_model=schemas.ModelList, responses=errors(401, 403))
    async def models() -> Any:
        """Everything that is served."""
        return {"models": [describe(bundle.version) for bundle in shelf.values()]}

    for prefix in ("", "/models/{name}"):
        app.include_router(model_routes(shelf, batcher, prefix=prefix, origins=origins))
    add_schemas(app, [model for kind in shelf.kinds for model in (kind.asks, kind.explains) if model is not None])
