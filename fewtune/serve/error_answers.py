"""What becomes of errors in an application: JSON with a reason, whatever happened."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fewtune.serve.refusals import Refusal


def add_error_handlers(app: FastAPI, what_there_is: str, what_is_expected: str) -> None:
    """Answer every error as `{"error": {"what", "where", "how"}}`.

    Args:
        app: the application.
        what_there_is: how somebody who asked for what is not there finds what is.
        what_is_expected: how somebody who sent what does not fit finds what does.
    """

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return answer(refusal)

    @app.exception_handler(RequestValidationError)
    async def does_not_fit(request: Request, error: RequestValidationError) -> Response:
        return answer(_misfit(error, what_is_expected))

    @app.exception_handler(HTTPException)
    async def not_there(request: Request, error: HTTPException) -> Response:
        return answer(Refusal(error.status_code, f"{error.detail}.", how=what_there_is, headers=error.headers))

    @app.exception_handler(Exception)
    async def our_fault(request: Request, error: Exception) -> Response:
        how = "This is the service's fault; its log says more."
        return answer(Refusal(500, "Something went wrong that should not have.", how=how))


def answer(refusal: Refusal) -> Response:
    """A refusal as a response."""
    return Response(refusal.body(), refusal.status, refusal.headers, media_type="application/json")


def _misfit(error: RequestValidationError, what_is_expected: str) -> Refusal:
    """The first thing that does not fit; of what was sent nothing is repeated."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Refusal(400, "The body is not JSON.", where="body", how=what_is_expected)
    _, *steps = first["loc"]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    return Refusal(422, f"{first['msg']}.", where=where[:200] or "body", how=what_is_expected)
