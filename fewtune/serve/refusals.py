"""Answers that say no: a status, and what, where and how in JSON; never a traceback or a path of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fewtune.errors import FewtuneError


class Refusal(FewtuneError):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        headers: that go with it.
    """

    def __init__(
        self, status: int, what: str, *, where: str = "", how: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, where=where, how=how)
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The answer's JSON."""
        # Escaped, for what a request called its fields may be no valid Unicode.
        return json.dumps({"error": self.as_dict()}).encode()


def overloaded(retry_after_seconds: int) -> Refusal:
    """There is more to do than can be done in time: told at once, so that the caller can go elsewhere."""
    return Refusal(
        503,
        "The service has more to do than it can do in time.",
        how=f"Try again in {retry_after_seconds} s.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def stopping() -> Refusal:
    """The service finishes what it has accepted, and accepts nothing more."""
    return Refusal(503, "The service is stopping.", how="Try again in 5 s.", headers={"Retry-After": "5"})


def too_late(deadline_seconds: float) -> Refusal:
    """The answer was not there in time."""
    return Refusal(
        504,
        f"The answer was not ready within {deadline_seconds:g} s.",
        how="Send fewer or shorter inputs, or start the service with a longer --deadline.",
    )
