"""Tune a detector of Transformers' that is kept whole (DETR's family): what names the classes first, then its decoder.

There is nothing of ours in it: matching and loss are the model's own. Where there is time for all of the steps, what is
below the decoder is tuned too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fewtune.backbones.whole_model import WholeModel
from fewtune.data.canvas import canvas_of
from fewtune.errors import first_line
from fewtune.interfaces import Plan, RunContext, TuningError
from fewtune.runtime.detector_graph import DetectorGraph, Selection
from fewtune.tune.detection import (
    DetectionCandidate,
    DetectionFullCandidate,
    DetectionFullTuner,
    DetectionPartialCandidate,
    DetectionPartialTuner,
    DetectionPlan,
)
from fewtune.types import Dataset, Example, FloatArray

if TYPE_CHECKING:
    from fewtune.backbones.whole_network import WholeDetector
    from fewtune.tune.set_prediction import SetPredictionObjective

# Shares of the checkpoint's own size that pictures are seen at, until there is time for enough steps.
_SIZES = (1.0, 0.75, 0.5)
_ENOUGH_STEPS = 200
# Boxes that are less sure may come and go with the last digit of a computation: the highest places are chosen.
_SURE = 0.1
# Share of the boxes that a graph must give again, where they are those of a head that has learnt nothing.
_LEAST_ALIKE = 0.9
_ALIKE_PX, _ALIKE = 0.5, 1e-3


class WholeDetectionCandidate(DetectionCandidate):
    """A pretrained detector with other classes, at the rates of Zhao et al. 2023, arXiv:2304.08069."""

    usual: ClassVar[Mapping[str, float]] = {
        "frozen": 0.25,
        "stages": 1,
        "learning_rate": 1e-3,
        "network_rate": 0.1,
        "weight_decay": 1e-4,
    }
    # Each thing is found by one query, which learns to keep the others away.
    selection: ClassVar[Selection] = Selection(overlap=1.0)

    @property
    def _model(self) -> WholeModel:
        assert isinstance(self._network, WholeModel)
        return self._network

    @property
    def _made_by(self) -> Mapping[str, Any]:
        return self._model.made_by

    @property
    def _stages(self) -> int:
        from fewtune.backbones.whole_network import DETECTOR_STAGES

        return DETECTOR_STAGES

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """As many steps as fit; where all of them do, with as much below the decoder as leaves them.

        Raises:
            RecipeError: ONNX cannot express the model.
            TuningError: there is too little time, or the model does not take pictures of that size.
        """
        started = time.perf_counter()

        def left() -> float:
            return seconds - (time.perf_counter() - started)

        if self._augment is None:
            return self._with({}, self._preset(dataset, run)).plan(dataset, left(), run)
        self._check(dataset, run)
        plan = super().plan(dataset, left(), run)
        if self.everything or {"stages", "steps"} & set(self._settings):
            return plan
        while self._has_all_steps(plan, dataset) and plan.settings["stages"] < self._stages:
            fixed = {name: plan.settings[name] for name in ("width_px", "height_px")}
            deeper = self._with({**fixed, "stages": plan.settings["stages"] + 1}, self._augment)
            try:
                more = super(WholeDetectionCandidate, deeper).plan(dataset, left(), run)
            except TuningError:
                break
            if not self._has_all_steps(more, dataset):
                break
            plan = more
        return plan

    def _with(self, settings: Mapping[str, Any], augment: str) -> Self:
        return type(self)(self._model, {**self._settings, **settings}, self._policies, augment)

    def _has_all_steps(self, plan: Plan, dataset: Dataset) -> bool:
        steps = int(plan.settings["steps"])
        return steps >= self._steps(len(dataset), int(plan.settings["batch_size"]), float("inf"))

    def _share(self, dataset: Dataset, seconds: float, run: RunContext) -> float:
        """The largest at which there is time for enough steps, by what they take at the smallest."""
        if {"width_px", "height_px", "steps"} & set(self._settings):
            return 1.0
        least = min(_SIZES)
        plan = self._untimed(dataset, run, least)
        frozen, tuned = self._probe(dataset, plan, run)
        taken = _ENOUGH_STEPS * (plan.frozen * frozen + (1 - plan.frozen) * tuned) / least**2
        return next((share for share in _SIZES if taken * share**2 <= seconds), least)

    def _canvas(self, dataset: Dataset, share: float) -> tuple[int, int]:
        """Of the pictures' shape, and as large as what the checkpoint was trained to see."""
        return canvas_of(dataset, (share * self._model.seen.size_px) ** 2)

    def _objective(
        self,
        plan: DetectionPlan,
        examples: Sequence[Example],
        dataset: Dataset,
        unit: str,
        steps: int,
        run: RunContext,
    ) -> SetPredictionObjective:
        from fewtune.tune.detection_objective import Phases
        from fewtune.tune.set_prediction import SetPredictionObjective

        return SetPredictionObjective(
            self._fresh(len(dataset.labels)),
            self._views(plan, examples, dataset, unit, run),
            phases=Phases(round(plan.frozen * steps), plan.network_rate),
            cut=self._stages - plan.stages,
        )

    def _fresh(self, classes: int) -> WholeDetector:
        from fewtune.backbones.whole_network import WholeDetector

        return WholeDetector(self._model.parts, classes, mirrored=self._model.is_mirrored)

    def _whole(self, objective: Any) -> Any:
        return objective.mean.module.eval()

    def _check(self, dataset: Dataset, run: RunContext) -> None:
        """Whether it can be learnt, and its graph gives what it gives itself: said before time is spent."""
        import torch

        from fewtune.backbones.detector import export_onnx

        plan = self._untimed(dataset, run, min(_SIZES))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            detector = self._fresh(len(dataset.labels))
        pixels = np.random.default_rng(0).normal(size=(1, 3, plan.height_px, plan.width_px)).astype(np.float32)
        box = torch.tensor([[0.25, 0.25, 0.75, 0.75]]) * min(plan.width_px, plan.height_px)
        with self._said(f"cannot be tuned on pictures of {plan.width_px} x {plan.height_px} pixels"):
            detector.train().loss(torch.from_numpy(pixels), [(box, torch.tensor([0]))])
            with torch.no_grad():
                boxes, scores = (tensor.numpy() for tensor in detector.eval()(torch.from_numpy(pixels)))
        content = export_onnx(detector, plan.width_px, plan.height_px, ["boxes", "scores"])
        with self._said("cannot be run by ONNX Runtime"):
            graph = DetectorGraph(content, self._letterbox(plan), self.selection, threads=run.threads)
            alike = _alike(boxes[0], scores[0], *(some[0] for some in graph.raw(pixels)))
        share = float((alike <= 1).mean())
        if share < _LEAST_ALIKE:
            raise TuningError(f"{self.model} as ONNX finds other boxes: {1 - share:.0%} of them")

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # architectures, torch and ONNX Runtime raise many kinds
            raise TuningError(f"{self.model} {what} ({first_line(error)})") from None

    def _apart(
        self, boxes: FloatArray, scores: FloatArray, other_boxes: FloatArray, other_scores: FloatArray
    ) -> tuple[float, float]:
        """By the most like of the other boxes, of those that are sure; queries have no order."""
        rows = zip(boxes, scores, other_boxes, other_scores, strict=True)
        alike = [_alike(*row)[row[1].max(axis=-1) >= _SURE] for row in rows]
        worst = float(np.concatenate(alike).max(initial=0.0))
        return _ALIKE_PX * worst, _ALIKE * worst


def _alike(boxes: FloatArray, scores: FloatArray, other_boxes: FloatArray, other_scores: FloatArray) -> FloatArray:
    """(queries,) how far each is from the most like of the others, in half pixels or thousandths."""
    box = np.abs(boxes[:, None] - other_boxes[None]).max(axis=-1) / _ALIKE_PX
    score = np.abs(scores[:, None] - other_scores[None]).max(axis=-1) / _ALIKE
    return np.maximum(box, score).min(axis=1)


class WholeDetectionPartialCandidate(WholeDetectionCandidate, DetectionPartialCandidate):
    """What names the classes, then the decoder too, and what is below it as far as there is time."""


class WholeDetectionFullCandidate(WholeDetectionCandidate, DetectionFullCandidate):
    """What names the classes, then everything."""

    usual: ClassVar[Mapping[str, float]] = WholeDetectionCandidate.usual


class WholeDetectionPartialTuner(DetectionPartialTuner):
    """Offers a pretrained detector whose decoder is tuned, and more where there is time."""

    candidate = WholeDetectionPartialCandidate


class WholeDetectionFullTuner(DetectionFullTuner):
    """Offers a pretrained detector that is tuned as a whole."""

    candidate = WholeDetectionFullCandidate
