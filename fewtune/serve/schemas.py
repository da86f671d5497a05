"""What goes over the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fewtune.serve import limits

Text = Annotated[str, Field(max_length=limits.TEXT_CHARACTERS)]


class PredictRequest(BaseModel):
    """What to predict."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"inputs": ["Where is my parcel?", "快递到哪里了"]}]}
    )

    inputs: Annotated[list[Text], Field(max_length=limits.INPUTS, description="Texts, one answer each.")]
    probabilities: Annotated[
        bool, Field(strict=True, description="Whether to tell the probability of every label.")
    ] = False
    max_error: Annotated[
        float | None,
        Field(
            strict=True,
            ge=0,
            le=1,
            description="Highest share of errors among the answers that are not unsure; 422 where the bundle promises "
            "no such share.",
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Field(strict=True, gt=0, lt=1, description="How often the true label is to be among an answer's labels."),
    ] = None


class Prediction(BaseModel):
    """The answer to one input."""

    prediction: Annotated[str, Field(description="The likeliest label.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="Its probability.")]
    probabilities: Annotated[dict[str, float] | None, Field(description="Of every label, where asked for.")] = None


class PredictedAnswer(Prediction):
    """A prediction with what else was asked for."""

    unsure: Annotated[
        bool | None, Field(description="Whether it is to be left to a person, where max_error was given.")
    ] = None
    outside: Annotated[
        bool | None,
        Field(description="Whether the input is of another kind than what was learnt from, where max_error was given."),
    ] = None
    labels: Annotated[
        list[str] | None,
        Field(description="Those that hold the true one as often as asked, likeliest first, where coverage was given."),
    ] = None


class PredictResponse(BaseModel):
    """Predictions, in the order of the inputs."""

    predictions: list[PredictedAnswer]


class ExplainRequest(BaseModel):
    """What to explain."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"input": "Where is my parcel?"}]})

    input: Text


class Part(BaseModel):
    """A stretch of the text; all of them joined are the whole text."""

    text: str
    weight: Annotated[
        float | None,
        Field(description="Fall of the prediction's log-odds without this stretch; null for what lies between words."),
    ]
    confidence_without: Annotated[
        float | None, Field(description="Probability of the same label without this stretch; null as above.")
    ]


class ExplainResponse(Prediction):
    """A prediction, and what each part of the text said for it."""

    parts: list[Part]


class ModelInfo(BaseModel):
    """What is served under one name."""

    name: str
    version: Annotated[str, Field(description="Changes when the bundle does.")]
    task: str
    method: str
    model: str
    labels: list[str]
    primary_metric: str
    scores: Annotated[dict[str, Any], Field(description="As in the bundle, each with its interval.")]
    licences: list[dict[str, str]]
    fewtune_version: str


class ModelList(BaseModel):
    """Everything that is served."""

    models: list[ModelInfo]


class Status(BaseModel):
    """How the service is."""

    status: str


class ErrorDetail(BaseModel):
    """Why there is no answer."""

    what: Annotated[str, Field(description="What is wrong, one sentence.")]
    where: Annotated[str, Field(description="Where in the request; may be empty.")]
    how: Annotated[str, Field(description="How to mend it; may be empty.")]


class ErrorResponse(BaseModel):
    """An answer that says no."""

    error: ErrorDetail
