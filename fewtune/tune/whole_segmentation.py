"""Tune a segmenter of Transformers' that is kept whole: its classifier first, then its decoder and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fewtune.backbones.whole_model import WholeModel
from fewtune.errors import first_line
from fewtune.interfaces import Plan, RunContext, TuningError
from fewtune.runtime.segmentation import SegmenterGraph
from fewtune.tune.segmentation import (
    STRIDE,
    FullCandidate,
    HeadCandidate,
    PartialCandidate,
    SegmentationCandidate,
    SegmentationFullTuner,
    SegmentationHeadTuner,
    SegmentationPartialTuner,
)
from fewtune.types import Dataset

if TYPE_CHECKING:
    from fewtune.backbones.whole_network import WholeSegmenter

# Pictures of noise, (count, height, width), that tell whether the written graph holds for any size.
_TRIED = ((1, 2 * STRIDE, 3 * STRIDE), (2, 4 * STRIDE, 2 * STRIDE))
_TOLERANCE = 1e-3


class WholeSegmentationCandidate(SegmentationCandidate):
    """A pretrained segmenter with a classifier for other classes, at the rates of Xie et al. 2021, arXiv:2105.15203."""

    usual: ClassVar[Mapping[str, float]] = {"learning_rate": 6e-4, "stages_rate": 0.1, "alone": 0.1}

    @property
    def _model(self) -> WholeModel:
        assert isinstance(self._network, WholeModel)
        return self._network

    @property
    def _made_by(self) -> Mapping[str, Any]:
        return self._model.made_by

    @property
    def _largest_px(self) -> int:
        return self._model.seen.size_px

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """As without a decoder of its own.

        Raises:
            RecipeError: ONNX cannot express the model.
            TuningError: there is no time for even a few steps, or the model takes pictures of one size only.
        """
        self._check(run)
        return super().plan(dataset, seconds, run)

    def _fresh(self, classes: int) -> WholeSegmenter:
        from fewtune.backbones.whole_network import WholeSegmenter

        return WholeSegmenter(self._model.parts, classes, mirrored=self._model.is_mirrored)

    def _check(self, run: RunContext) -> None:
        """Whether its graph gives what it gives itself, whatever the pictures' size: said before anything is learnt."""
        import torch

        from fewtune.backbones.segmenter import export_segmenter

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            segmenter = self._fresh(2).eval()
        generator = np.random.default_rng(0)
        pixels = [generator.normal(size=(count, 3, *size)).astype(np.float32) for count, *size in _TRIED]
        try:
            with torch.no_grad():
                wanted = [segmenter(torch.from_numpy(some)).numpy() for some in pixels]
        except Exception as error:  # architectures raise many kinds
            raise TuningError(f"{self.model} takes pictures of one size only ({first_line(error)})") from None
        graph = SegmenterGraph(export_segmenter(segmenter, 2 * STRIDE), threads=run.threads)
        try:
            off = max(float(np.abs(graph(some) - one).max()) for some, one in zip(pixels, wanted, strict=True))
        except Exception as error:  # ONNX Runtime raises many kinds; numpy, where shapes differ
            raise TuningError(f"{self.model} as ONNX takes pictures of one size only ({first_line(error)})") from None
        if off > _TOLERANCE * max(float(np.abs(one).max()) for one in wanted):
            raise TuningError(f"{self.model} as ONNX gives other logits: {off:.2g} off")


class WholeHeadCandidate(WholeSegmentationCandidate, HeadCandidate):
    """The classifier first, then the decoder too."""

    tuned_stages = 1


class WholePartialCandidate(WholeSegmentationCandidate, PartialCandidate):
    """The classifier first, then the decoder and the upper stages too."""


class WholeFullCandidate(WholeSegmentationCandidate, FullCandidate):
    """The classifier first, then everything."""


class WholeSegmentationHeadTuner(SegmentationHeadTuner):
    """Offers tuning of classifier and decoder."""

    candidate = WholeHeadCandidate


class WholeSegmentationPartialTuner(SegmentationPartialTuner):
    """Offers tuning of classifier, decoder and the upper stages."""

    candidate = WholePartialCandidate


class WholeSegmentationFullTuner(SegmentationFullTuner):
    """Offers tuning of everything."""

    candidate = WholeFullCandidate
