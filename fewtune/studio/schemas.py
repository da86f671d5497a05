"""What the page sends."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fewtune.studio import limits

Label = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARACTERS)]
Text = Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARACTERS)]


class Body(BaseModel):
    """Base of all: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class NewProject(Body):
    """A project to be made."""

    title: Annotated[str, Field(max_length=1_000)]
    task: Annotated[str, Field(max_length=100)]


class NewText(Body):
    """An example that was typed."""

    text: Text
    label: Label | None = None

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the text is empty")
        return text


class Shape(Body):
    """A box in pixels of the upright picture: left, top, right, bottom."""

    label: Label
    box: Annotated[list[Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]], Field(min_length=4, max_length=4)]

    @field_validator("box")
    @classmethod
    def _has_area(cls, box: list[float]) -> list[float]:
        left, top, right, bottom = box
        if left >= right or top >= bottom:
            raise ValueError("the box has no area")
        return box


class Painted(Body):
    """A mask: run lengths along the rows, each a number and how many pixels have it.

    A number is that of a label, counted from 1; 0 is not painted, 255 passed over.
    """

    width: Annotated[int, Field(ge=1, le=limits.MASK_PX)]
    height: Annotated[int, Field(ge=1, le=limits.MASK_PX)]
    runs: Annotated[
        list[Annotated[int, Field(ge=0, le=limits.MASK_PX**2)]], Field(min_length=2, max_length=limits.MASK_NUMBERS)
    ]
    labels: Annotated[list[Label], Field(max_length=limits.MASK_LABELS)]

    @field_validator("runs")
    @classmethod
    def _are_pairs(cls, runs: list[int]) -> list[int]:
        if len(runs) % 2:
            raise ValueError("a run has no length")
        return runs


class Change(Body):
    """A change of one example, as it was seen at a version; what is not named stays."""

    version: Annotated[int, Field(ge=1, le=2**53)]
    label: Label | None = None
    shapes: Annotated[list[Shape], Field(max_length=limits.SHAPES)] | None = None
    mask: Painted | None = None
    skipped: bool = False
    deleted: bool = False

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.model_fields_set <= {"version"}:
            raise ValueError("nothing is to be changed")
        return self


class NewLabel(Body):
    """A label to be added."""

    name: Label


class Renaming(Body):
    """A label's new name; where it is another label's already, the two become one."""

    name: Label
    new: Label


class Wish(Body):
    """A training that is wanted."""

    minutes: Annotated[float, Field(gt=0, le=24 * 60, allow_inf_nan=False)]
    method: Annotated[str, Field(pattern=r"^[a-z]{1,30}$")] = "auto"


class Shrinking(Body):
    """A model that is to become smaller, and the share of its score that may be lost."""

    way: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,30}$")] = "auto"
    max_drop: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.01


class Tried(Body):
    """A text to be tried."""

    text: Annotated[str, Field(max_length=20_000)]
