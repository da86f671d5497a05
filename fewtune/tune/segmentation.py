"""Tune a segmenter: its decoder alone, the top of the network too, or all of it.

The seconds given decide how many steps there are, and, where these would be too few, at what size pictures are seen.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fewtune.augment.picture_policy import PICTURE_AUGMENT_HELP, PicturePolicies
from fewtune.backbones.vision import VisionBackbone
from fewtune.data.mask import IndexMask, mask_facts
from fewtune.errors import MissingExtraError
from fewtune.interfaces import (
    Fitted,
    Plan,
    RunContext,
    StructuredCandidate,
    StructuredTrial,
    StructuredTuner,
    TuningError,
)
from fewtune.progress import Step
from fewtune.recipe import Recipe
from fewtune.runtime.scaled import Scaled
from fewtune.runtime.segmentation import segment
from fewtune.tune.batches import Shuffled
from fewtune.tune.mask_store import Masked, MaskStore
from fewtune.tune.orientation import free_orientation
from fewtune.tune.pace import PACE_HELP, Course, Deadline, turns_of, with_part
from fewtune.tune.picture_rung import usable_networks
from fewtune.tune.tuned import attempts
from fewtune.types import Dataset, FloatArray, Graph, IntArray, LeftOut, Resampling

if TYPE_CHECKING:
    from fewtune.backbones.segmenter import Segmenter
    from fewtune.backbones.whole_network import WholeSegmenter

STRIDE = 32
_LARGEST_PX = 512
_SMALLEST_PX = 64
# Shares of the size that are tried in turn, until there is time for enough steps.
_SIZES = (1.0, 0.75, 0.5)
_ENOUGH_STEPS = 200
_FEWEST_STEPS = 20
# Beyond this many views of each picture, or this many steps, more bring next to nothing.
_MOST_VIEWS = 120
_MOST_STEPS = 6000
_PROBE_STEPS = 3
# What the loop and the optimiser add to the steps.
_LOOP_OVERHEAD = 1.08
# Of the seconds given, what is not counted on; and what export and start take.
_RESERVE = 0.06
_FIXED_SECONDS = 6.0
# Pictures that are answered after the training, twice: the bundle is compared with what was tuned.
_ANSWERED = 64
# A restart after the loss diverged goes at this share of the learning rate.
_SLOWER = 0.3

SETTINGS = {
    "size_px": "pixels of the longer side that pictures are scaled to",
    "crop_px": "side of the square that is cut out of them for each step",
    "augment": PICTURE_AUGMENT_HELP,
    "batch_size": "such squares a step",
    "steps": "how many there are",
    "learning_rate": "the highest, after warming up",
    "stages_rate": "the network's share of the learning rate",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "alone": "share of the steps in which that learns alone which is not pretrained: the decoder, or its classifier",
    "dice": "what Dice counts beside cross-entropy",
    "stages": "how many of the network's stages learn, from the top; a stage ends where the pictures' scale changes",
    "pace": PACE_HELP,
}


@dataclass(frozen=True, slots=True)
class SegmentationPlan:
    """The hyper-parameters of a training, as SETTINGS says."""

    size_px: int
    crop_px: int
    augment: str
    batch_size: int
    steps: int
    learning_rate: float
    stages_rate: float
    warmup: float
    weight_decay: float
    alone: float
    dice: float
    stages: int
    pace: str

    @property
    def decoder_steps(self) -> int:
        """Steps in which the decoder learns alone."""
        return math.ceil(self.alone * self.steps)


@dataclass(frozen=True, slots=True)
class _Timed:
    """A plan without its steps, the seconds that are spent before and after them, and for each."""

    plan: SegmentationPlan
    before: float
    after: float
    step: float

    def seconds(self, steps: int) -> float:
        return self.before + steps * self.step + self.after

    def affordable(self, seconds: float) -> int:
        """How many steps go into the time given."""
        return int((seconds * (1 - _RESERVE) - self.before - self.after) / self.step)


class SegmentationCandidate(StructuredCandidate):
    """One network with a decoder.

    Attributes:
        tuned_stages: how many of its stages learn, where nothing else is asked for; None: all.
        usual: settings that are so where nothing else is asked for.
    """

    tuned_stages: ClassVar[int | None] = None
    usual: ClassVar[Mapping[str, float]] = {"learning_rate": 1e-3, "stages_rate": 0.3, "alone": 0.1}

    def __init__(
        self, network: VisionBackbone, settings: Mapping[str, Any], policies: PicturePolicies, augment: str | None
    ) -> None:
        """Tune a segmenter.

        Args:
            network: what it stands on.
            settings: those of the hyper-parameters that are fixed.
            policies: what augmentations there are.
            augment: those that were asked for; None: the preset, with what makes no difference to these pictures.
        """
        self._network = network
        self._settings = settings
        self._policies = policies
        self._augment = augment
        self.model = network.info.name
        self.name = f"{self.method}:{self.model}"

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """As many steps as the time allows, at a smaller size where they would be too few.

        Raises:
            TuningError: there is no time for even a few steps, or the network has no maps that a decoder can read.
        """
        # Importing Lightning takes seconds; they are not to be counted to the first fold.
        from fewtune.tune import loop

        del loop
        augment = self._augment or self._preset(dataset, run)
        smaller = iter((1.0,) if {"size_px", "steps"} & set(self._settings) else _SIZES)
        timed = self._timed(self._sized(dataset, next(smaller), augment), dataset, run)
        for share in smaller:
            if timed.affordable(seconds) >= _ENOUGH_STEPS:
                break
            timed = self._timed(self._sized(dataset, share, augment), dataset, run)
        affordable = timed.affordable(seconds)
        if affordable < _FEWEST_STEPS and "steps" not in self._settings:
            raise TuningError(f"{seconds:.0f} s are too short: it needs {timed.seconds(_FEWEST_STEPS):.0f} s")
        steps = int(self._settings.get("steps", min(affordable, _most_steps(timed.plan, len(dataset)))))
        return Plan(asdict(replace(timed.plan, steps=steps)), timed.seconds(steps), after=timed.after)

    def _preset(self, dataset: Dataset, run: RunContext) -> str:
        """What is right nearly everywhere, and top and bottom or the axes exchanged where pictures have no up."""
        paths = [example.input for example in dataset]
        free = [name for name in free_orientation(self._network, paths, threads=run.threads).names if name != "flip"]
        return self._policies.preset(dataset.task, *free).full_name

    def _sized(self, dataset: Dataset, share: float, augment: str) -> SegmentationPlan:
        """The hyper-parameters, at a share of the pictures' usual size; steps are not known yet."""
        given = {**self.usual, **self._settings}
        size_px = int(given.get("size_px", _up(min(self._largest_px, _usual_side(dataset)) * share)))
        stages = len(self._fresh(2).stages)
        tuned = stages if self.tuned_stages is None else self.tuned_stages
        return SegmentationPlan(
            size_px=size_px,
            crop_px=_up(float(given.get("crop_px", 0.6 * size_px))),
            augment=augment,
            batch_size=max(1, int(given.get("batch_size", 6))),
            steps=0,
            learning_rate=float(given["learning_rate"]),
            stages_rate=float(given["stages_rate"]),
            warmup=float(given.get("warmup", 0.1)),
            weight_decay=float(given.get("weight_decay", 0.02)),
            alone=float(given["alone"]),
            dice=float(given.get("dice", 1.0)),
            stages=min(stages, int(given.get("stages", tuned))),
            pace=str(given.get("pace", "")),
        )

    def _timed(self, plan: SegmentationPlan, dataset: Dataset, run: RunContext) -> _Timed:
        """What the plan takes, from a few real steps."""
        import torch

        torch.set_num_threads(run.threads)
        torch.manual_seed(0)
        store = MaskStore(self._scaled(plan), replace(run, work=run.work / "probe"))
        examples = dataset.examples[: plan.batch_size]
        decoding = store.seconds(dataset.examples)
        pictures = [store.decoded(example) for example in examples]
        segmenter = self._fresh(len(dataset.labels))
        started = time.perf_counter()
        segment([examples[0].input], _forward(segmenter.eval()), self._scaled(plan))
        answer = time.perf_counter() - started
        every = np.arange(len(pictures))
        batch = np.resize(every, plan.batch_size)
        objective = self._objective(
            replace(plan, steps=2, alone=0.0), segmenter, pictures, every, [batch] * (_PROBE_STEPS + 1)
        )
        objective.train()
        taken = []
        for number in range(_PROBE_STEPS + 1):
            started = time.perf_counter()
            objective.loss(number).backward()
            taken.append(time.perf_counter() - started)
        # While the decoder learns alone, a step takes about half as long.
        step = _LOOP_OVERHEAD * statistics.median(taken[1:]) * (1 - 0.5 * plan.alone)
        return _Timed(plan, decoding, _FIXED_SECONDS + answer * max(_ANSWERED, 0.3 * len(dataset)), step)

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Train on every fold as planned.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too.
        """
        plan = SegmentationPlan(**settings)
        answers: list[IndexMask | None] = [None] * len(dataset)
        pictures = MaskStore(self._scaled(plan), run).pictures(dataset.examples)
        with run.progress.step(f"Folds of {self.name}", total=len(resampling.splits)) as step:
            for number, split in enumerate(resampling.splits):
                unit = f"{self._key(plan)}/fold {number}"

                waiting = len(resampling.splits) - number

                def answer(
                    split_valid: IntArray = split.valid,
                    train: IntArray = split.train,
                    unit: str = unit,
                    waiting: int = waiting,
                ) -> np.ndarray:
                    part = with_part(run, unit, waiting)
                    segmenter, _ = self._train(plan, pictures, train, len(dataset.labels), unit, part, step)
                    inputs = [dataset.examples[i].input for i in split_valid]
                    return _packed(segment(inputs, _forward(segmenter), self._scaled(plan)))

                known = run.journal.has_array(unit)
                masks = _unpacked(run.journal.array(unit, answer))
                if known:
                    step.advance()
                for i, mask in zip(split.valid.tolist(), masks, strict=True):
                    answers[i] = mask
        return (StructuredTrial(dict(settings), tuple(answers)),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Train on everything, and write network and decoder as one graph.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too.
        """
        from fewtune.backbones.segmenter import export_segmenter

        started = time.perf_counter()
        plan, info = SegmentationPlan(**settings), self._network.info
        preprocess = self._scaled(plan)
        with run.progress.step(f"Tune {self.name} on everything", total=1) as step:
            pictures = MaskStore(preprocess, run).pictures(dataset.examples)
            everything = np.arange(len(pictures))
            unit = f"{self._key(plan)}/final"
            segmenter, course = self._train(plan, pictures, everything, len(dataset.labels), unit, run, step)
        graph = export_segmenter(segmenter, plan.crop_px)
        forward = _forward(segmenter)
        below = plan.crop_px // forward(np.zeros((1, 3, plan.crop_px, plan.crop_px), np.float32)).shape[2]

        def reference(inputs: Sequence[Any]) -> list[IndexMask]:
            return segment(inputs, forward, preprocess)

        contract = Graph(
            role="segmenter",
            file="model.onnx",
            inputs={
                "pixels": f"float32 [batch, 3, height, width]: a picture as preprocess.json says; multiples of {STRIDE}"
            },
            outputs={
                "logits": f"float32 [batch, {len(dataset.labels)}, height / {below}, width / {below}]: "
                "scaled to the picture's size, the largest is a pixel's class"
            },
            tokenizer="",
            preprocess="preprocess.json",
        )
        return Fitted(
            graphs={"model.onnx": graph},
            contracts=(contract,),
            assets={"preprocess.json": preprocess.to_json()},
            backbone={
                "name": info.name,
                "licence": info.licence,
                "package": info.package,
                "size_px": plan.size_px,
                **self._made_by,
            },
            reference=reference,
            seconds=time.perf_counter() - started,
            settings={"pace": str(course)},
        )

    def _train(
        self,
        plan: SegmentationPlan,
        pictures: Sequence[Masked],
        chosen: IntArray,
        classes: int,
        unit: str,
        run: RunContext,
        step: Step,
    ) -> tuple[Segmenter | WholeSegmenter, Course]:
        """Train; once more at a lower learning rate where the loss diverges."""
        from fewtune.tune.loop import DivergedError

        error: DivergedError | None = None
        for attempt, share in zip(attempts(unit), (1.0, _SLOWER), strict=True):
            slower = replace(plan, learning_rate=share * plan.learning_rate)
            try:
                return self._attempt(slower, pictures, chosen, classes, attempt, run, step)
            except DivergedError as diverged:
                error = diverged
                run.progress.say(f"{self.name}: {diverged}, at a learning rate of {slower.learning_rate:.2g}")
        raise TuningError(f"{error}, at a lower learning rate too")

    def _attempt(
        self,
        plan: SegmentationPlan,
        pictures: Sequence[Masked],
        chosen: IntArray,
        classes: int,
        unit: str,
        run: RunContext,
        step: Step,
    ) -> tuple[Segmenter | WholeSegmenter, Course]:
        import torch

        from fewtune.tune.loop import Schedule, train

        torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed_of(unit, "start"))
        segmenter = self._fresh(classes)
        batches = Shuffled(np.zeros_like(chosen), plan.batch_size, lambda epoch: run.generator(unit, "epoch", epoch))
        objective = self._objective(plan, segmenter, pictures, chosen, _Filled(batches, plan.batch_size))
        # Steps that were asked for are all taken; of those that the time given decided, the clock may leave fewer.
        deadline = None if "steps" in self._settings else Deadline(run, unit, plan.decoder_steps % plan.steps)
        course = Course(plan.steps, turns_of(plan.pace, plan.steps), deadline)
        train(
            objective,
            Schedule(plan.steps, plan.learning_rate, plan.warmup, plan.weight_decay),
            seed_of=lambda number: run.seed_of(unit, "step", number),
            course=course,
            checkpoint=run.journal.checkpoint(unit),
            step=_Share(step, plan.steps),
        )
        return objective.mean.module.eval(), course

    def _objective(
        self,
        plan: SegmentationPlan,
        segmenter: Segmenter | WholeSegmenter,
        pictures: Sequence[Masked],
        chosen: IntArray,
        batches: Any,
    ) -> Any:
        from fewtune.tune.mask_objective import MaskObjective, Views

        return MaskObjective(
            segmenter,
            pictures,
            chosen,
            batches,
            Views(plan.crop_px, self._scaled(plan), self._policies.named(plan.augment, SegmentationTuner.tasks[0])),
            cut=len(segmenter.stages) - plan.stages,
            alone=plan.decoder_steps,
            stages_rate=plan.stages_rate,
            dice=plan.dice,
        )

    @property
    def _made_by(self) -> Mapping[str, Any]:
        """By what Transformers makes all of it again: nothing, since the decoder is not Transformers'."""
        return {}

    @property
    def _largest_px(self) -> int:
        """Of the longer side of pictures, where nothing else is asked for."""
        return _LARGEST_PX

    def _fresh(self, classes: int) -> Segmenter | WholeSegmenter:
        from fewtune.backbones.segmenter import NoPyramidError, Segmenter

        try:
            return Segmenter(self._network.network, classes)
        except NoPyramidError as error:
            raise TuningError(f"{self.model} cannot be used for segmentation: {error}") from None

    def _scaled(self, plan: SegmentationPlan) -> Scaled:
        preprocess = self._network.preprocess
        return Scaled(plan.size_px, STRIDE, preprocess.mean, preprocess.std)

    def _key(self, plan: SegmentationPlan) -> str:
        """What the journal knows this training by, whatever the clock does to it: its randomness comes from that."""
        return f"{self.name} {json.dumps(asdict(replace(plan, pace='')), sort_keys=True)}"


class HeadCandidate(SegmentationCandidate):
    """A decoder on a frozen network."""

    method = "head"
    tuned_stages = 0


class PartialCandidate(SegmentationCandidate):
    """The decoder first, then the upper stages too: those that see a picture at an eighth of its size and less."""

    method = "partial"
    tuned_stages = 3


class FullCandidate(SegmentationCandidate):
    """The decoder first, then everything."""

    method = "full"


class SegmentationTuner(StructuredTuner):
    """Offers one way of tuning, for each network that is installed."""

    tasks = ("segmentation",)
    settings = SETTINGS
    candidate: ClassVar[type[SegmentationCandidate]]

    def __init__(self, networks: Sequence[VisionBackbone], policies: PicturePolicies) -> None:
        """Choose among these networks and augmentations."""
        self._networks = networks
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """One rung an installed network; the others with the reason why not.

        Raises:
            MissingExtraError: what learning from pictures needs is not installed.
        """
        asked = self._policies.asked(recipe, dataset.task)
        augment = None if asked is None else asked.full_name
        usable, left_out = usable_networks(self.name, self._networks, recipe)
        if find_spec("segmentation_models_pytorch") is None:
            raise MissingExtraError("train", needed_for="Segmentation", where="--task")
        return [self.candidate(network, recipe.settings, self._policies, augment) for network in usable], left_out


class SegmentationHeadTuner(SegmentationTuner):
    """Offers a decoder on the frozen network."""

    name = "head"
    candidate = HeadCandidate


class SegmentationPartialTuner(SegmentationTuner):
    """Offers tuning of the decoder and the upper stages."""

    name = "partial"
    candidate = PartialCandidate


class SegmentationFullTuner(SegmentationTuner):
    """Offers tuning of everything."""

    name = "full"
    candidate = FullCandidate


class _Filled:
    """Batches of always the same size: one that is short gets some of its own once more, in another view."""

    def __init__(self, batches: Shuffled, size: int) -> None:
        self._batches, self._size = batches, size

    def __getitem__(self, number: int) -> IntArray:
        return np.resize(self._batches[number], self._size)


class _Share:
    """Steps of a training as one unit of the progress over folds."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._total = step, total

    def advance(self, amount: float = 1) -> None:
        self._step.advance(amount / self._total)


def _usual_side(dataset: Dataset) -> float:
    """The median of the pictures' longer sides."""
    seen = [mask_facts(example.target) for example in dataset]
    return statistics.median(max(some.width, some.height) for some in seen)


def _up(length: float) -> int:
    """A multiple of the stride, not below what is worth looking at."""
    return max(_SMALLEST_PX, STRIDE * math.ceil(length / STRIDE - 1e-9))


def _most_steps(plan: SegmentationPlan, examples: int) -> int:
    return min(_MOST_STEPS, max(_ENOUGH_STEPS, math.ceil(_MOST_VIEWS * examples / plan.batch_size)))


def _forward(segmenter: Segmenter | WholeSegmenter) -> Any:
    """(n, 3, height, width) to logits, in torch."""
    import torch

    def forward(pixels: FloatArray) -> FloatArray:
        with torch.no_grad():
            return segmenter(torch.from_numpy(pixels)).numpy()

    return forward


def _packed(masks: Sequence[IndexMask]) -> np.ndarray:
    """Masks as one array of bytes: the length of each (8 bytes), then all of them."""
    lengths = np.array([len(masks), *(len(mask.png) for mask in masks)], np.int64)
    return np.frombuffer(lengths.tobytes() + b"".join(mask.png for mask in masks), np.uint8)


def _unpacked(packed: np.ndarray) -> list[IndexMask]:
    content = packed.tobytes()
    count = int.from_bytes(content[:8], "little")
    ends = np.cumsum(np.frombuffer(content[8 : 8 + 8 * count], np.int64)) + 8 + 8 * count
    starts = [8 + 8 * count, *ends[:-1].tolist()]
    return [IndexMask(content[start:end]) for start, end in zip(starts, ends.tolist(), strict=True)]
