"""What can be asked of a bundle: what it is, what it predicts, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from fewtune.serve import schemas
from fewtune.serve.batcher import Batcher
from fewtune.serve.bundles import Shelf, Version
from fewtune.serve.documentation import body_of, form_of, one_of
from fewtune.serve.forms import read_form
from fewtune.serve.refusals import Refusal

_FORM = "multipart/form-data"
_WHY = {
    400: "The body is not JSON, or no form",
    401: "The token is missing or another",
    403: "Called by a name that is not of this machine, or by a page of another origin",
    404: "There is no such bundle",
    408: "The body did not arrive in time",
    413: "The body is too long",
    415: "The body is not of a kind that is read here",
    422: "The request does not fit the schema, a picture cannot be read, or the bundle cannot do what it asks for",
    500: "A fault of the service",
    503: "Overloaded or stopping; Retry-After says when to try again",
    504: "The answer was not ready in time",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the schema describes the errors of a route."""
    return {status: {"model": schemas.ErrorResponse, "description": _WHY[status]} for status in statuses}


def kind_of_body(request: Request) -> str:
    """What a request calls its body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def only_json(request: Request) -> None:
    """Refuse what is not called JSON: a stranger's page can send anything else to this machine without asking."""
    if kind_of_body(request) != "application/json":
        raise _not_read("application/json")


def _not_read(*read: str) -> Refusal:
    return Refusal(
        415,
        "The body is not of a kind that is read here.",
        where="header Content-Type",
        how=f"Send the header: Content-Type: {' or '.join(read)}",
    )


def model_routes(shelf: Shelf, batcher: Batcher, *, prefix: str, origins: Sequence[str]) -> APIRouter:
    """The routes of one bundle.

    Args:
        shelf: the bundles.
        batcher: computes.
        prefix: of the paths; it may hold {name}. Without, they are those of the only bundle.
        origins: whose pages may send forms.
    """
    router = APIRouter(prefix=prefix)
    kinds = shelf.kinds
    reads_pictures = any(kind.reads_pictures for kind in kinds)

    def version_of(request: Request) -> Version:
        return shelf.version(request.path_params.get("name"))

    def asked(path: str, does: Callable[[Request], Any], forms: bool, asks: list[Any], tells: list[Any]) -> None:
        """A route whose body is read here, for what fits depends on the bundle."""
        content = {"application/json": {"schema": body_of(asks)}}
        if forms:
            content[_FORM] = {"schema": form_of([kind.asks for kind in kinds if kind.reads_pictures])}
        router.add_api_route(
            path,
            does,
            methods=["POST"],
            dependencies=[Depends(_names(prefix))],
            response_class=Response,
            responses={200: {"model": one_of(tells), "description": "The answer"}, **errors(*_WHY)},
            openapi_extra={"requestBody": {"required": True, "content": content}},
        )

    async def predict(request: Request) -> Any:
        """An answer to every input."""
        version = version_of(request)
        body = await _body(request, version.kind.asks, origins if version.kind.reads_pictures else None)
        return _as_json({"predictions": await version.kind.predictions(version, batcher, body)})

    async def explain(request: Request) -> Any:
        """A prediction, and what each part of the input said for it."""
        version = version_of(request)
        if version.kind.explains is None:
            raise Refusal(422, f"What a bundle for {version.kind.task} answers cannot be explained.", where="name")
        body = await _body(request, version.kind.explains, None)
        return _as_json(await version.kind.explanation(version, batcher, body))

    @router.get("/info", response_model=schemas.ModelInfo, responses=errors(401, 403, 404))
    async def info(request: Request, named: None = Depends(_names(prefix))) -> Any:
        """Task, labels, scores and licences."""
        del named
        return describe(version_of(request))

    asked("/predict", predict, reads_pictures, [kind.asks for kind in kinds], [kind.tells for kind in kinds])
    explained = [kind for kind in kinds if kind.explains is not None]
    if explained:
        forms = ([kind.explains for kind in explained], [kind.explained for kind in explained])
        asked("/explain", explain, False, *forms)
    return router


def _names(prefix: str) -> Callable[..., None]:
    """A dependency that puts the path's parameter into the schema."""
    if "{name}" not in prefix:
        return lambda: None

    def named(name: str) -> None:
        """The name is looked up by the route itself."""
        del name

    return named


async def _body(request: Request, model: type[BaseModel], origins: Sequence[str] | None) -> Any:
    """The body of a request as it should be; forms are read where there are `origins`, which may send them.

    Raises:
        Refusal: it is not of a kind that is read here, malformed, or comes from a page that may not send it.
        RequestValidationError: it does not fit.
    """
    kind = kind_of_body(request)
    if kind == "application/json":
        values = _parsed(await request.body())
    elif kind == _FORM and origins is not None:
        _refuse_strangers(request, origins)
        form = read_form(request.headers["content-type"], await request.body())
        values = {name: _loosely(text) for name, text in form.fields.items()}
        # Validated without them: what a form brings as files is no text.
        checked = _fitting(model, {**values, "inputs": []} if form.files else values)
        return checked.model_copy(update={"inputs": [*form.files]})
    else:
        raise _not_read("application/json", *([_FORM] if origins is not None else []))
    return _fitting(model, values)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON.", where="body", how='For example: {"inputs": ["a text"]}') from None


def _loosely(text: str) -> Any:
    """A field of a form: what is a number or a truth value in JSON is meant as one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


def _fitting(model: type[BaseModel], values: Any) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**some, "loc": ("body", *some["loc"])} for some in found]) from None


def _refuse_strangers(request: Request, origins: Sequence[str]) -> None:
    """Browsers let any page send a form anywhere without asking; they say which page it is."""
    origin = request.headers.get("origin")
    if origin is None or origin in origins or "*" in origins or urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise Refusal(403, "Pages of other origins may not send forms.", where="header Origin", how="See --cors.")


def _as_json(content: Any) -> Response:
    # As it is: what is sent was put together here, and to check it once more would cost as much as a small answer.
    return Response(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"), media_type="application/json")


def describe(version: Version) -> dict[str, Any]:
    """What is told about a bundle; nothing of what it learnt from."""
    manifest = version.manifest
    return {
        "name": version.name,
        "version": version.digest,
        "task": manifest.task,
        "method": manifest.method,
        "model": manifest.model,
        "labels": manifest.labels,
        "primary_metric": manifest.primary_metric,
        "scores": manifest.scores,
        "licences": manifest.licences,
        "fewtune_version": manifest.fewtune_version,
    }
