"""Uvicorn's fast HTTP protocol, with an end to what it keeps of a request's headers."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fewtune.serve import limits


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections whose headers or trailers never end.

    The parser underneath keeps them in memory whatever their length, and does so before a token can be asked for.
    """

    # Since the parser last handed something over.
    _kept_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse, and see whether the parser keeps too much."""
        self._kept_bytes += len(data)
        super().data_received(data)
        if self._kept_bytes > limits.HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers of the request are too long.")

    def on_headers_complete(self) -> None:
        """The headers were handed over."""
        self._kept_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body was handed over."""
        self._kept_bytes = 0
        super().on_body(body)
