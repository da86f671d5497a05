"""How bundles of each task are asked, and how they answer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from fewtune.catalog import find_task
from fewtune.data.coco_masks import pixels_to_runs
from fewtune.data.mask import IndexMask
from fewtune.data.picture import PictureFile
from fewtune.errors import DataError
from fewtune.interfaces import StructuredTask
from fewtune.serve import limits, pictures, schemas
from fewtune.serve.batcher import Batcher, Compute
from fewtune.serve.explain import occlusions, segments, weight
from fewtune.serve.refusals import Refusal

if TYPE_CHECKING:
    from fewtune.serve.bundles import Version


class Kind(ABC):
    """Bundles of one task.

    Attributes:
        task: its name.
        asks, tells: what a request to predict holds, and what its answer does.
        explains, explained: the same of a request to explain; None where there is nothing to explain.
        reads_pictures: whether inputs are pictures, which may come as a form, too.
    """

    task: ClassVar[str]
    asks: ClassVar[type[BaseModel]]
    tells: ClassVar[type[BaseModel]]
    explains: ClassVar[type[BaseModel] | None] = None
    explained: ClassVar[type[BaseModel] | None] = None
    reads_pictures: ClassVar[bool] = False

    def inputs(self, given: Sequence[Any], name: str = "inputs[{}]") -> list[Any]:
        """What the runtime takes for what a request gave; bytes are files that a form brought.

        Raises:
            Refusal: one of them cannot be read.
        """
        del name
        return list(given)

    def sample(self) -> Any:
        """An input that any bundle can answer."""
        return "a"

    @abstractmethod
    def warm_up(self, version: Version) -> None:
        """Compute once: the first time is slow, and nobody should wait for it."""

    @abstractmethod
    async def predictions(self, version: Version, batcher: Batcher, asked: Any) -> list[dict[str, Any]]:
        """An answer to each input of a request of the form `asks`."""

    async def explanation(self, version: Version, batcher: Batcher, asked: Any) -> dict[str, Any]:
        """The answer to a request of the form `explains`."""
        raise NotImplementedError

    async def computed(self, batcher: Batcher, compute: Compute, inputs: list[Any]) -> list[Any]:
        """As `Batcher.submit`; what cannot be read is the request's fault."""
        try:
            return await batcher.submit(compute, inputs)
        except DataError as error:
            # Of what was sent nothing is repeated; pictures are called by their place.
            where = error.where if self.reads_pictures else "inputs"
            raise Refusal(422, error.what, where=where, how=error.how) from None


class _OfPictures(Kind):
    """What all bundles have in common that read pictures."""

    reads_pictures = True

    def inputs(self, given: Sequence[Any], name: str = "inputs[{}]") -> list[Any]:
        """Files in memory, their headers read."""
        if len(given) > limits.PICTURES:
            raise Refusal(422, f"There are more than {limits.PICTURES} pictures.", where="inputs", how="Send fewer.")
        return [pictures.checked(_file(some, name.format(place))) for place, some in enumerate(given)]

    def sample(self) -> PictureFile:
        """A picture of one pixel."""
        return pictures.from_base64(schemas.PIXEL, "sample")


def _file(given: str | bytes, name: str) -> PictureFile:
    return PictureFile(given, name) if isinstance(given, bytes) else pictures.from_base64(given, name)


class _OfClasses(Kind):
    """What all bundles have in common that sort into classes."""

    tells = schemas.Classes

    def warm_up(self, version: Version) -> None:
        """One row."""
        version.probabilities([self.sample()])

    async def predictions(self, version: Version, batcher: Batcher, asked: Any) -> list[dict[str, Any]]:
        """The likeliest label of every input, and how sure the model is."""
        goals = {"max_error": asked.max_error, "coverage": asked.coverage}
        if asked.max_error is not None or asked.coverage is not None:
            version.answers([], **goals)  # a goal that cannot be promised is refused before anything is computed
        inputs = self.inputs(asked.inputs)
        if asked.max_error is None and asked.coverage is None:
            rows = await self.computed(batcher, version.probabilities, inputs)
            return [_prediction(version, row, in_full=asked.probabilities) for row in rows]
        computed = await self.computed(batcher, version.probabilities_and_features, inputs)
        told = []
        for (row, _), answer in zip(computed, version.answers(computed, **goals), strict=True):
            prediction = _prediction(version, row, in_full=asked.probabilities)
            if asked.max_error is not None:
                prediction |= {"unsure": answer.unsure, "outside": answer.outside}
            if asked.coverage is not None:
                prediction["labels"] = answer.labels
            told.append(prediction)
        return told


class _TextClassification(_OfClasses):
    task = "text-classification"
    asks = schemas.ClassifyTexts
    explains, explained = schemas.ExplainText, schemas.ExplainedText

    async def explanation(self, version: Version, batcher: Batcher, asked: Any) -> dict[str, Any]:
        """How the prediction changes when a word is left out."""
        parts = segments(asked.input, most_parts=limits.EXPLAINED_PARTS)
        texts = [asked.input, *occlusions(parts)]
        whole, *without = await batcher.submit(version.probabilities, texts)
        best = whole.index(max(whole))
        left = iter(without)
        told = [_part(part.text, whole[best], next(left)[best] if part.is_part else None) for part in parts]
        return {**_prediction(version, whole, in_full=True), "parts": told}


class _ImageClassification(_OfPictures, _OfClasses):
    task = "image-classification"
    asks = schemas.ClassifyPictures
    explains, explained = schemas.ExplainPicture, schemas.ExplainedPicture

    async def explanation(self, version: Version, batcher: Batcher, asked: Any) -> dict[str, Any]:
        """How the prediction changes when a part of the picture is grey."""
        (file,) = self.inputs([asked.input], "input")
        side = limits.EXPLAINED_PATCHES
        batcher.check_room(side * side)
        copy = await asyncio.to_thread(pictures.small_copy, file)
        whole, *without = await batcher.submit(version.probabilities, [copy, *pictures.greyed(copy, side)])
        best = whole.index(max(whole))
        weights = [_rounded(weight(whole[best], row[best])) for row in without]
        rows = [weights[start : start + side] for start in range(0, len(weights), side)]
        return {**_prediction(version, whole, in_full=True), "weights": rows}


class _Structured(Kind):
    """Bundles whose answers are not classes: as `predict --json` has them."""

    def warm_up(self, version: Version) -> None:
        """One answer."""
        version.structured([self.sample()])

    async def predictions(self, version: Version, batcher: Batcher, asked: Any) -> list[dict[str, Any]]:
        """What the runtime answers to every input."""
        answers = await self.computed(batcher, version.structured, self.inputs(asked.inputs))
        task = find_task(self.task)
        assert isinstance(task, StructuredTask)
        labels = version.manifest.labels

        def told() -> list[dict[str, Any]]:
            as_json = [task.answer_as_json(answer, labels) for answer in answers]
            pairs = zip(as_json, answers, strict=True)
            return [{"prediction": self.told(some, answer, labels, asked)} for some, answer in pairs]

        # What is told of a large mask takes its time to be written down.
        return await asyncio.to_thread(told) if self.reads_pictures else told()

    def told(self, prediction: Any, answer: Any, labels: Sequence[str], asked: Any) -> Any:
        """A prediction in the form that was asked for."""
        del answer, labels, asked
        return prediction


class _ObjectDetection(_OfPictures, _Structured):
    task = "object-detection"
    asks, tells = schemas.FindBoxes, schemas.Boxes

    def told(self, prediction: Any, answer: Any, labels: Sequence[str], asked: Any) -> Any:
        """The boxes that are sure enough."""
        del answer, labels
        return [box for box in prediction if box["score"] >= asked.least_score]


class _Segmentation(_OfPictures, _Structured):
    task = "segmentation"
    asks, tells = schemas.MarkPixels, schemas.Masks

    def told(self, prediction: Any, answer: IndexMask, labels: Sequence[str], asked: Any) -> Any:
        """A mask as PNG or as run lengths."""
        if asked.masks == "png":
            return prediction
        ids = answer.ids
        runs = {label: pixels_to_runs(ids == labels.index(label)) for label in prediction["pixels"]}
        return {name: value for name, value in prediction.items() if name != "png"} | {"runs": runs}


class _Translation(_Structured):
    task = "translation"
    asks, tells = schemas.TranslateTexts, schemas.WrittenTexts


class _TextGeneration(_Structured):
    task = "text-generation"
    asks, tells = schemas.ReplyTo, schemas.WrittenTexts

    def inputs(self, given: Sequence[Any], name: str = "inputs[{}]") -> list[Any]:
        """Prompts as they are, messages as mappings."""
        del name
        return [some if isinstance(some, str) else [turn.model_dump() for turn in some] for some in given]


KINDS: dict[str, Kind] = {
    kind.task: kind
    for kind in (
        _TextClassification(),
        _ImageClassification(),
        _Translation(),
        _ObjectDetection(),
        _Segmentation(),
        _TextGeneration(),
    )
}


def _prediction(version: Version, row: list[float], *, in_full: bool) -> dict[str, Any]:
    labels = version.manifest.labels
    confidence = max(row)
    answer: dict[str, Any] = {"prediction": labels[row.index(confidence)], "confidence": _rounded(confidence)}
    if in_full:
        answer["probabilities"] = dict(zip(labels, map(_rounded, row), strict=True))
    return answer


def _part(text: str, confidence: float, without: float | None) -> dict[str, Any]:
    if without is None:
        return {"text": text, "weight": None, "confidence_without": None}
    return {"text": text, "weight": _rounded(weight(confidence, without)), "confidence_without": _rounded(without)}


def _rounded(number: float) -> float:
    """As `predict` writes it; more digits would hold little but the rounding of the computation."""
    return round(number, 6)
