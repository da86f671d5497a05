"""Counts and times for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fewtune.errors import FewtuneError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What is counted; each service has its own."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "fewtune_requests",
            "Requests answered, refused ones included.",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "fewtune_request_seconds", "Time to the answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._batches = Histogram(
            "fewtune_batch_size", "Inputs computed together.", buckets=_SIZES, registry=self._registry
        )
        self._reloads = Counter(
            "fewtune_reloads", "New versions of bundles.", ["model", "outcome"], registry=self._registry
        )
        self._waiting = Gauge("fewtune_waiting_inputs", "Inputs in the queue.", registry=self._registry)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Ask `waiting` for the inputs that wait to be computed, whenever the metrics are read."""
        self._waiting.set_function(waiting)

    def count_batch(self, size: int) -> None:
        """A batch was computed."""
        self._batches.observe(size)

    def count_reload(self, name: str, error: FewtuneError | None) -> None:
        """A new version of a bundle was taken up, or could not be."""
        self._reloads.labels(name, "refused" if error else "taken up").inc()

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)

    def measured(self, app: ASGIApp) -> ASGIApp:
        """The same application, its requests counted and timed."""

        async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started = time.perf_counter()
            status = 500

            async def sending(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, sending)
            finally:
                # The route's template, never the path itself: what strangers ask for must not grow the metrics.
                route = getattr(scope.get("route"), "path", "other")
                self._requests.labels(route, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - started)

        return measuring
