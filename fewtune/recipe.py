"""Every setting once: its type, its default, its help. TOML in and out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fewtune.errors import RecipeError, nearest

_BUDGET = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*$")
_SECONDS_PER_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Recipe(BaseModel):
    """What `fit` is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    data: str = Field(default="", description="the labelled data")
    task: str = Field(default="auto", description="what is learnt; auto finds it from the data")
    text: str = Field(default="", description="column of the text; empty: found by name, else by content")
    label: str = Field(default="", description="column of the label; empty: found by name, else by content")
    group: str = Field(
        default="", description="column whose equal values must not be split; empty: a column named group, if any"
    )
    test: str = Field(default="", description="labelled data to score the finished model on; it never chooses anything")
    labels: str = Field(
        default="", description="names of classes in the place of labelled data, with commas, or a file of them"
    )
    unlabeled: str = Field(default="", description="inputs without a label that may be learnt from too")
    glossary: str = Field(default="", description="table of terms with the translations that they are to have")
    model: str = Field(default="auto", description="pretrained model, by name or folder; auto tries all that fit")
    method: str = Field(default="auto", description="how to tune; auto climbs the ladder")
    augment: str = Field(
        default="auto", description="views that are learnt from: auto keeps what helps, none, or names with commas"
    )
    compress: str = Field(
        default="auto",
        description="what makes the tuned model smaller: auto tries int8 where it is not in integers already, none, or "
        "names with commas; kept only where it keeps its promise",
    )
    budget: str = Field(default="5m", description="time to spend, e.g. 90s, 5m, 2h")
    seed: int = Field(default=0, ge=0, description="where all randomness comes from")
    threads: int = Field(default=0, ge=0, description="threads to use; 0: all cores that this process may use")
    settings: dict[str, Any] = Field(default_factory=dict, description="hyper-parameters of the method")

    @field_validator("budget")
    @classmethod
    def _budget_is_a_time(cls, value: str) -> str:
        if not _BUDGET.match(value) or _seconds(value) <= 0:
            raise ValueError("write a time above zero such as 90s, 5m or 2h")
        return value

    @property
    def budget_seconds(self) -> float:
        """The budget in seconds."""
        return _seconds(self.budget)


def _seconds(text: str) -> float:
    found = _BUDGET.match(text)
    assert found is not None, text
    return float(found[1]) * _SECONDS_PER_UNIT[found[2]]


def make_recipe(values: Mapping[str, Any], *, where: str = "") -> Recipe:
    """Build a recipe from plain values.

    Raises:
        RecipeError: a setting is unknown (the nearest names are given) or its value does not fit.
    """
    for name in values:
        if name not in Recipe.model_fields:
            raise RecipeError(f"There is no setting {name!r}.", where=where, how=nearest(name, Recipe.model_fields))
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise RecipeError(
            f"The setting {name!r} cannot be {first['input']!r}: {message}.",
            where=where,
            how=f"{name}: {Recipe.model_fields[str(first['loc'][0])].description}.",
        ) from None


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings that a recipe file holds, unchecked; `make_recipe` checks them.

    Raises:
        RecipeError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError("There is no such recipe.", where=str(path), how="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe cannot be read ({error}).", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"This is not TOML: {error}.", where=str(path), how='Write lines such as: method = "head"'
        ) from None


def parse_setting(text: str) -> tuple[str, Any]:
    """Split one `key=value` of `--set`; numbers, booleans and lists are TOML, anything else is a string.

    Raises:
        RecipeError: there is no `=` in it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"{text!r} is not key=value.", where="--set", how="For example: --set l2=1.0")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return key.strip(), parsed


def write_recipe(recipe: Recipe) -> str:
    """The recipe as TOML, each setting with its help above it; reads back to an equal recipe."""
    lines = ["# A fewtune recipe. Run it again with: fewtune fit --config recipe.toml"]
    for name, description in Recipe.model_fields.items():
        if name == "settings":
            continue
        lines += ["", f"# {description.description}", f"{name} = {_toml(getattr(recipe, name))}"]
    lines += ["", f"# {Recipe.model_fields['settings'].description}", "[settings]"]
    lines += [f"{_toml_key(name)} = {_toml(value)}" for name, value in recipe.settings.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_key(name)} = {_toml(inner)}" for name, inner in value.items()) + " }"
    raise TypeError(f"a recipe cannot hold a {type(value).__name__}")


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
