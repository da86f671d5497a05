"""What OpenAPI says of bodies that the routes read themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_REF = "#/components/schemas/{model}"


def one_of(models: Sequence[Any]) -> Any:
    """The type of what is one of several."""
    return reduce(or_, dict.fromkeys(models))


def body_of(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The schema of a JSON body that fits one of several models."""
    refs = [{"$ref": _REF.format(model=model.__name__)} for model in dict.fromkeys(models)]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def form_of(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The schema of a form: pictures as files, and the other fields of the models."""
    fields: dict[str, Any] = {}
    for model in dict.fromkeys(models):
        fields |= model.model_json_schema()["properties"]
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "Pictures' files."}
    return {"type": "object", "properties": {**fields, "inputs": files}, "required": ["inputs"]}


def add_schemas(app: FastAPI, models: Iterable[type[BaseModel]]) -> None:
    """Put models that only bodies mention among the schemas of an application."""
    definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)[1]["$defs"]
    generate = app.openapi

    def with_them() -> dict[str, Any]:
        found = generate()
        schemas = found["components"]["schemas"]
        schemas.update({name: schema for name, schema in definitions.items() if name not in schemas})
        return found

    app.openapi = with_them  # type: ignore[method-assign]
