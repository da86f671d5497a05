"""What goes over the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fewtune.serve import limits

Text = Annotated[str, Field(max_length=limits.TEXT_CHARACTERS)]
Texts = Annotated[list[Text], Field(max_length=limits.INPUTS, description="Texts, one answer each.")]
Picture = Annotated[
    str,
    Field(
        max_length=limits.PICTURE_BODY_BYTES,
        description="A picture's file (JPEG, PNG, WebP, GIF, TIFF, BMP) in base 64; a data: URL is taken too.",
        json_schema_extra={"contentEncoding": "base64"},
    ),
]
Pictures = Annotated[list[Picture], Field(max_length=limits.PICTURES, description="Pictures, one answer each.")]
# One pixel, black: what examples show.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="


def _body(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class _ClassesAsked(BaseModel):
    """What can be asked of a bundle that sorts into classes."""

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


class ClassifyTexts(_ClassesAsked):
    """Texts to be sorted into classes."""

    model_config = _body({"inputs": ["Where is my parcel?", "快递到哪里了"]})

    inputs: Texts


class ClassifyPictures(_ClassesAsked):
    """Pictures to be sorted into classes."""

    model_config = _body({"inputs": [PIXEL]})

    inputs: Pictures


class FindBoxes(BaseModel):
    """Pictures in which things are to be found."""

    model_config = _body({"inputs": [PIXEL], "least_score": 0.3})

    inputs: Pictures
    least_score: Annotated[float, Field(strict=True, ge=0, le=1, description="Of a box that is told.")] = 0.0


class MarkPixels(BaseModel):
    """Pictures whose pixels are each to get a class."""

    model_config = _body({"inputs": [PIXEL], "masks": "rle"})

    inputs: Pictures
    masks: Annotated[
        Literal["png", "rle"],
        Field(description="The form of the masks: an index PNG in base 64, or COCO's run lengths of each class."),
    ] = "png"


class TranslateTexts(BaseModel):
    """Texts to be translated."""

    model_config = _body({"inputs": ["Open the file."]})

    inputs: Texts


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Text


Conversation = Annotated[list[Message], Field(min_length=1, max_length=limits.MESSAGES)]


class ReplyTo(BaseModel):
    """Prompts, or conversations that end with the user's turn, to be replied to."""

    model_config = _body({"inputs": ["Where is my parcel?", [{"role": "user", "content": "Hello"}]]})

    inputs: Annotated[list[Text | Conversation], Field(max_length=limits.INPUTS)]


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


class Classes(BaseModel):
    """Classes, in the order of the inputs."""

    predictions: list[PredictedAnswer]


class Box(BaseModel):
    """Something that was found in a picture."""

    category: str
    bbox: Annotated[
        list[float],
        Field(min_length=4, max_length=4, description="Left, top, width and height in pixels of the upright picture."),
    ]
    score: Annotated[float, Field(ge=0, le=1)]


class FoundBoxes(BaseModel):
    """What was found in one picture, surest first."""

    prediction: list[Box]


class Boxes(BaseModel):
    """What was found, in the order of the inputs."""

    predictions: list[FoundBoxes]


class Mask(BaseModel):
    """A class for every pixel of the upright picture."""

    width: int
    height: int
    pixels: Annotated[dict[str, int], Field(description="How many pixels each class has that is there.")]
    png: Annotated[
        str | None, Field(description="A PNG of class ids, counted from 0 by `labels` of /info, in base 64.")
    ] = None
    runs: Annotated[
        dict[str, list[int]] | None,
        Field(description="Of each class COCO's run lengths: down the columns, zeros first."),
    ] = None


class MarkedPixels(BaseModel):
    """The mask of one picture."""

    prediction: Mask


class Masks(BaseModel):
    """Masks, in the order of the inputs."""

    predictions: list[MarkedPixels]


class WrittenText(BaseModel):
    """The text that one input got."""

    prediction: str


class WrittenTexts(BaseModel):
    """Translations or replies, in the order of the inputs."""

    predictions: list[WrittenText]


class ExplainText(BaseModel):
    """A text whose answer is to be explained."""

    model_config = _body({"input": "Where is my parcel?"})

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


class ExplainedText(Prediction):
    """A prediction, and what each part of the text said for it."""

    parts: list[Part]


class ExplainPicture(BaseModel):
    """A picture whose answer is to be explained."""

    model_config = _body({"input": PIXEL})

    input: Picture


class ExplainedPicture(Prediction):
    """A prediction, and what each patch of the picture said for it."""

    weights: Annotated[
        list[list[float]],
        Field(
            description="Rows of equal patches, from the upper left: the fall of the prediction's log-odds where the "
            "patch is grey."
        ),
    ]


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
