"""A detector on one network: pyramid and head first on the frozen network, then its top stages with them.

`partial` does so: what begins from nothing is learnt before it can disturb what was pretrained, and with few boxes most
of a detector is better left as it is (Wang et al. 2020, TFA, arXiv:2003.06957). `full` tunes everything from the start.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from fewtune.augment.picture_policy import PICTURE_AUGMENT_HELP, PicturePolicies
from fewtune.backbones.vision import VisionBackbone
from fewtune.data.boxes import Detections
from fewtune.data.canvas import MULTIPLE_PX, canvas_size, sides_by_class
from fewtune.errors import InternalError, RecipeError, first_line
from fewtune.interfaces import (
    Fitted,
    Plan,
    RunContext,
    StructuredCandidate,
    StructuredTrial,
    StructuredTuner,
    TuningError,
)
from fewtune.recipe import Recipe
from fewtune.runtime.detector_graph import DetectorGraph, Selection
from fewtune.runtime.letterbox import Letterbox
from fewtune.runtime.session import open_session
from fewtune.tune.batches import Shuffled
from fewtune.tune.detection_store import kept_pictures
from fewtune.tune.orientation import free_orientation
from fewtune.tune.pace import PACE_HELP, Course, Deadline, turns_of, with_part
from fewtune.tune.picture_rung import usable_networks
from fewtune.types import Dataset, Example, FloatArray, Graph, LeftOut, Resampling

if TYPE_CHECKING:
    from fewtune.backbones.detector import Detector
    from fewtune.tune.detection_objective import BoxViews, DetectionObjective
    from fewtune.tune.set_prediction import SetPredictionObjective

    BoxObjective = DetectionObjective | SetPredictionObjective

STRIDES = (8, 16, 32)
_WIDTH = 96
_DEPTH = 2
_PROBE_PICTURES = 8
_PROBE_STEPS = 2
# Of the training whose steps are timed.
_PROBED = 10**6
# What the loop and its checkpoints add to the steps; what comes before and after them; what is kept in hand.
_LOOP_OVERHEAD = 1.05
_FIXED_SECONDS = 12.0
_IN_HAND = 0.92
_FEWEST_STEPS = 20
# How often each picture is seen at most, and how many steps there may be however few there are.
_MOST_EPOCHS = 60.0
_MOST_STEPS_OF_FEW = 600
# A restart after the loss diverged goes at this share of the learning rate.
_SLOWER = 0.3
# A typical box's side in strides of a map, where learning begins.
_LEAST_START, _MOST_START = 2.0, 10.0
_COMPARED_PICTURES = 4

SETTINGS = {
    "steps": "optimiser steps",
    "frozen": "share of the steps in which that learns alone which is not pretrained: pyramid and head, or the classes",
    "stages": "how many of the network's stages are tuned after that, from the top; of a detector the decoder first",
    "batch_size": "pictures a step",
    "learning_rate": "the highest, after warming up",
    "network_rate": "share of the learning rate that the network's own stages get",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "width_px": "of the canvas that pictures are scaled to fit",
    "height_px": "of that canvas",
    "augment": PICTURE_AUGMENT_HELP,
    "pace": PACE_HELP,
}


@dataclass(frozen=True, slots=True)
class DetectionPlan:
    """The hyper-parameters of a training; see `SETTINGS`."""

    steps: int
    frozen: float
    stages: int
    batch_size: int
    learning_rate: float
    network_rate: float
    warmup: float
    weight_decay: float
    width_px: int
    height_px: int
    augment: str
    pace: str


def _plan_of(settings: Mapping[str, Any]) -> DetectionPlan:
    kinds = {"int": int, "float": float, "str": str}
    return DetectionPlan(
        **{field.name: kinds[str(field.type)](settings[field.name]) for field in fields(DetectionPlan)}
    )


class DetectionCandidate(StructuredCandidate):
    """A detector on one network.

    Attributes:
        everything: whether all stages are tuned, from the pixels on.
        usual: settings that are so where nothing else is asked for.
        selection: which of the boxes are answers.
    """

    everything: ClassVar[bool] = False
    usual: ClassVar[Mapping[str, float]] = {
        "frozen": 0.25,
        "stages": 2,
        "learning_rate": 1.5e-3,
        "network_rate": 0.2,
        "weight_decay": 0.05,
    }
    selection: ClassVar[Selection] = Selection()

    def __init__(
        self, network: VisionBackbone, settings: Mapping[str, Any], policies: PicturePolicies, augment: str | None
    ) -> None:
        """Tune a detector.

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
        """As many steps as fit: a few of each kind are timed."""
        # Importing Lightning takes seconds; they are not to be counted to the steps.
        from fewtune.tune import loop

        del loop
        started = time.perf_counter()
        plan = self._untimed(dataset, run, self._share(dataset, seconds, run))
        frozen, tuned = self._probe(dataset, plan, run)
        probing = time.perf_counter() - started
        step = _LOOP_OVERHEAD * (plan.frozen * frozen + (1 - plan.frozen) * tuned)
        around = _FIXED_SECONDS + probing
        steps = plan.steps or self._steps(len(dataset), plan.batch_size, (_IN_HAND * seconds - around) / step)
        if steps < _FEWEST_STEPS and not plan.steps:
            needed = (around + _FEWEST_STEPS * step) / _IN_HAND
            raise TuningError(
                f"there is too little time: it needs {needed:.0f} seconds at least, and has {seconds:.0f}"
            )
        return Plan({**asdict(plan), "steps": steps}, _FIXED_SECONDS + steps * step, after=_FIXED_SECONDS)

    def _steps(self, pictures: int, batch_size: int, possible: float) -> int:
        most = max(_MOST_STEPS_OF_FEW, round(_MOST_EPOCHS * pictures / batch_size))
        return int(min(most, possible))

    def _share(self, dataset: Dataset, seconds: float, run: RunContext) -> float:
        """At what share of their usual sides pictures are seen."""
        del dataset, seconds, run
        return 1.0

    def _canvas(self, dataset: Dataset, share: float) -> tuple[int, int]:
        """Its width and height, where nothing else is asked for."""
        del share
        return canvas_size(dataset)

    @property
    def _stages(self) -> int:
        """How many can be tuned."""
        return len(self._network.network.stages)

    @property
    def _made_by(self) -> Mapping[str, Any]:
        """By what Transformers makes all of it again: nothing, since pyramid and head are fewtune's own."""
        return {}

    def _untimed(self, dataset: Dataset, run: RunContext, share: float) -> DetectionPlan:
        """The plan without steps, where the settings give none."""
        given = {**self.usual, **self._settings}
        width, height = self._canvas(dataset, share)
        augment = self._augment or self._preset(dataset, run)
        stages = self._stages
        trained = stages if self.everything else int(given["stages"])
        plan = _plan_of(
            {
                "steps": 0,
                "batch_size": 4,
                "warmup": 0.1,
                "width_px": width,
                "height_px": height,
                "augment": augment,
                "pace": "",
                **given,
                "stages": min(stages, max(1, trained)),
            }
        )
        for name, side in (("width_px", plan.width_px), ("height_px", plan.height_px)):
            if side % MULTIPLE_PX:
                raise RecipeError(f"{name} cannot be {side}: it is a multiple of {MULTIPLE_PX}.", where="--set")
        return plan

    def _preset(self, dataset: Dataset, run: RunContext) -> str:
        """What is right nearly everywhere, and what makes no difference to these pictures."""
        paths = [example.input for example in dataset]
        free = free_orientation(self._network, paths, threads=run.threads).names
        return self._policies.preset(dataset.task, *free).full_name

    def _probe(self, dataset: Dataset, plan: DetectionPlan, run: RunContext) -> tuple[float, float]:
        """Seconds of a step with the network frozen, and of one with its stages tuned."""
        some = [example for example in dataset.examples if len(example.target)][:_PROBE_PICTURES]
        # A training so long that its frozen steps come first, and others after it.
        objective = self._objective(plan, some, dataset, "probe", _PROBED, run)
        objective.train()
        frozen = _step_seconds(objective, 0) if plan.frozen else 0.0
        return frozen, _step_seconds(objective, _PROBED)

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Train on each fold, and find what is in the pictures that were held out."""
        plan = _plan_of(settings)
        answers: list[Detections | None] = [None] * len(dataset)
        total = plan.steps * len(resampling.splits)
        with run.progress.step(f"Tune {self.name}", total=total) as step:
            for number, split in enumerate(resampling.splits):
                unit = f"{self._key(plan)}/fold {number}"
                held_out = [dataset.examples[i] for i in split.valid]

                waiting = len(resampling.splits) - number

                def compute(
                    split: Any = split, unit: str = unit, held_out: Any = held_out, waiting: int = waiting
                ) -> FloatArray:
                    train = [dataset.examples[i] for i in split.train]
                    part = with_part(run, unit, waiting)
                    objective, _ = self._trained(plan, train, dataset, unit, part, step)
                    return _packed(self._graph(objective, plan, run).find([example.input for example in held_out]))

                known = run.journal.has_array(unit)
                rows = run.journal.array(unit, compute)
                if known:
                    step.advance(plan.steps)
                for i, answer in zip(split.valid, _unpacked(rows, len(held_out)), strict=True):
                    answers[i] = answer
        return (StructuredTrial(asdict(plan), tuple(answers)),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Train on everything, and write trunk, pyramid and head as one graph."""
        started = time.perf_counter()
        plan = _plan_of(settings)
        with run.progress.step(f"Tune {self.name} on everything", total=plan.steps) as step:
            objective, course = self._trained(plan, dataset.examples, dataset, f"{self._key(plan)}/final", run, step)
        graph = self._graph(objective, plan, run)
        self._check_same(graph, objective, [example.input for example in dataset.examples[:_COMPARED_PICTURES]])
        info, letterbox = self._network.info, self._letterbox(plan)
        width, height, classes = plan.width_px, plan.height_px, len(dataset.labels)
        contract = Graph(
            role="detector",
            file="model.onnx",
            inputs={"pixels": f"float32 [batch, 3, {height}, {width}]: a picture as preprocess.json says"},
            outputs={
                "boxes": "float32 [batch, places, 4]: left, top, right, bottom in pixels of the canvas",
                "scores": f"float32 [batch, places, {classes}]: of each label, 0 to 1; see postprocess.json",
            },
            tokenizer="",
            preprocess="preprocess.json",
        )
        return Fitted(
            graphs={"model.onnx": graph.content},
            contracts=(contract,),
            assets={"preprocess.json": letterbox.to_json(), "postprocess.json": graph.selection.to_json()},
            backbone={
                "name": info.name,
                "licence": info.licence,
                "package": info.package,
                "size_px": f"{width} x {height}",
                **self._made_by,
            },
            reference=graph.find,  # type: ignore[arg-type]
            seconds=time.perf_counter() - started,
            settings={"pace": str(course)},
        )

    def _trained(
        self,
        plan: DetectionPlan,
        examples: Sequence[Example],
        dataset: Dataset,
        unit: str,
        run: RunContext,
        step: Any,
    ) -> tuple[BoxObjective, Course]:
        """Train; once more at a lower learning rate where the loss diverges."""
        import torch

        from fewtune.tune.loop import DivergedError, Schedule, train

        error: DivergedError | None = None
        for attempt, share in enumerate((1.0, _SLOWER)):
            name = f"{unit}/attempt {attempt}"
            torch.set_num_threads(run.threads)
            torch.manual_seed(run.seed_of(name, "start"))
            objective = self._objective(plan, examples, dataset, name, plan.steps, run)
            schedule = Schedule(plan.steps, share * plan.learning_rate, plan.warmup, plan.weight_decay)
            course = self._course(plan, name, run)
            try:
                train(
                    objective,
                    schedule,
                    seed_of=lambda number, name=name: run.seed_of(name, "step", number),
                    course=course,
                    checkpoint=run.journal.checkpoint(name),
                    step=step,
                )
                return objective, course
            except DivergedError as diverged:
                error = diverged
                run.progress.say(f"{self.name}: {diverged}, at a learning rate of {share * plan.learning_rate:.2g}")
        raise TuningError(f"{error}, at a lower learning rate too")

    def _course(self, plan: DetectionPlan, unit: str, run: RunContext) -> Course:
        """All the steps that were asked for; those that the clock leaves, where the time given decided."""
        first = round(plan.frozen * plan.steps) % plan.steps
        deadline = None if "steps" in self._settings else Deadline(run, unit, first)
        return Course(plan.steps, turns_of(plan.pace, plan.steps), deadline)

    def _objective(
        self,
        plan: DetectionPlan,
        examples: Sequence[Example],
        dataset: Dataset,
        unit: str,
        steps: int,
        run: RunContext,
    ) -> BoxObjective:
        from fewtune.tune.detection_objective import DetectionObjective, Phases

        detector = self._detector(plan, dataset)
        whole, trunk = self._trunks(plan, detector, run.threads)
        return DetectionObjective(
            detector,
            self._views(plan, examples, dataset, unit, run),
            phases=Phases(round(plan.frozen * steps), plan.network_rate),
            whole_trunk=whole,
            trunk=trunk,
        )

    def _views(
        self, plan: DetectionPlan, examples: Sequence[Example], dataset: Dataset, unit: str, run: RunContext
    ) -> BoxViews:
        """What is learnt from."""
        from fewtune.tune.detection_objective import BoxViews

        letterbox = self._letterbox(plan)
        return BoxViews(
            kept_pictures(examples, letterbox, run),
            Shuffled(np.zeros(len(examples), np.int64), plan.batch_size, lambda e: run.generator(unit, "epoch", e)),
            letterbox,
            self._policies.named(plan.augment, dataset.task),
        )

    def _letterbox(self, plan: DetectionPlan) -> Letterbox:
        seen = self._network.preprocess
        return Letterbox(plan.width_px, plan.height_px, seen.interpolation, seen.mean, seen.std)

    def _detector(self, plan: DetectionPlan, dataset: Dataset) -> Detector:
        from fewtune.backbones.detector import Detector
        from fewtune.backbones.folded_norm import stages_to_tune

        network = self._network.network
        read, channels = self._read()
        cut = len(network.stages) - plan.stages
        sides = np.concatenate([*sides_by_class(dataset, plan.width_px, plan.height_px), np.zeros(0)])
        typical = float(np.median(sides)) if len(sides) else 4.0 * STRIDES[0]
        return Detector(
            stages_to_tune(network, cut),
            cut,
            read,
            STRIDES,
            channels,
            len(dataset.labels),
            width=_WIDTH,
            depth=_DEPTH,
            sizes=[float(np.clip(typical / stride, _LEAST_START, _MOST_START)) for stride in STRIDES],
        )

    def _read(self) -> tuple[list[int], list[int]]:
        """Numbers and channels of the stages whose maps have the strides of the pyramid: the last one of each."""
        from fewtune.backbones.detector import stage_shapes

        try:
            shapes = stage_shapes(self._network.network)
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = first_line(error)
            raise TuningError(f"{self.model} takes pictures of one size only ({reason})") from None
        last = {stride: (number, channels) for number, (channels, stride) in enumerate(shapes)}
        if not set(STRIDES) <= last.keys():
            raise TuningError(f"{self.model} gives no maps at an eighth, a sixteenth and a thirty-second of the size")
        return [last[stride][0] for stride in STRIDES], [last[stride][1] for stride in STRIDES]

    def _trunks(
        self, plan: DetectionPlan, detector: Detector, threads: int
    ) -> tuple[Callable[[FloatArray], list[FloatArray]], Callable[[FloatArray], list[FloatArray]]]:
        """What runs the whole network, and what runs that which is below the detector's own stages."""
        from fewtune.backbones.detector import Trunk

        network, size = self._network.network, (plan.width_px, plan.height_px)

        def below(pixels: FloatArray) -> list[FloatArray]:
            return [pixels]

        whole = trunk = below
        if plan.frozen:
            whole = _session(Trunk(network, len(network.stages), detector.read), *size, threads)
        if detector.cut:
            trunk = _session(Trunk(network, detector.cut, detector.read), *size, threads)
        return whole, trunk

    def _graph(self, objective: BoxObjective, plan: DetectionPlan, run: RunContext) -> DetectorGraph:
        """Trunk and the mean of the detector's weights, as they are delivered."""
        from fewtune.backbones.detector import export_onnx

        content = export_onnx(self._whole(objective), plan.width_px, plan.height_px, ["boxes", "scores"])
        return DetectorGraph(content, self._letterbox(plan), self.selection, threads=run.threads)

    def _whole(self, objective: BoxObjective) -> Any:
        from fewtune.backbones.detector import Trunk, Whole

        detector = cast("Detector", objective.mean.module)
        trunk = Trunk(self._network.network, detector.cut, detector.read) if detector.cut else None
        return Whole(trunk, detector).eval()

    def _check_same(self, graph: DetectorGraph, objective: BoxObjective, pictures: Sequence[Any]) -> None:
        """The written graph must compute what was tuned."""
        import torch

        pixels = graph.letterbox.pixels([graph.letterbox.canvas(picture)[0] for picture in pictures])
        with torch.no_grad():
            boxes, scores = (tensor.numpy() for tensor in self._whole(objective)(torch.from_numpy(pixels)))
        written_boxes, written_scores = graph.raw(pixels)
        off_px, off = self._apart(boxes, scores, written_boxes, written_scores)
        if not (off_px <= 0.5 and off <= 1e-3):
            raise InternalError(f"The written graph's boxes are off by {off_px:.2g} pixels, its scores by {off:.2g}.")

    def _apart(
        self, boxes: FloatArray, scores: FloatArray, other_boxes: FloatArray, other_scores: FloatArray
    ) -> tuple[float, float]:
        """How far apart are (n, places, 4) boxes that count, in pixels, and (n, places, classes) scores."""
        seen = (scores >= self.selection.least_score).any(axis=-1)
        return (
            float(np.abs(boxes - other_boxes)[seen].max(initial=0.0)),
            float(np.abs(scores - other_scores).max(initial=0.0)),
        )

    def _key(self, plan: DetectionPlan) -> str:
        """What the journal knows this training by, whatever the clock does to it: its randomness comes from that."""
        return f"{self.name} {json.dumps(asdict(replace(plan, pace='')), sort_keys=True)}"


class DetectionPartialCandidate(DetectionCandidate):
    """Pyramid and head, then the top stages too."""

    method = "partial"


class DetectionFullCandidate(DetectionCandidate):
    """Everything, from the start."""

    method = "full"
    everything = True
    usual: ClassVar[Mapping[str, float]] = {**DetectionCandidate.usual, "frozen": 0.0}


class DetectionPartialTuner(StructuredTuner):
    """Offers detectors on frozen networks whose top stages are tuned later."""

    name = "partial"
    tasks = ("object-detection",)
    settings = SETTINGS
    candidate: ClassVar[type[DetectionCandidate]] = DetectionPartialCandidate

    def __init__(self, networks: Sequence[VisionBackbone], policies: PicturePolicies) -> None:
        """Choose among these networks and augmentations."""
        self._networks = networks
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """One rung an installed network; the others with the reason why not."""
        asked = self._policies.asked(recipe, dataset.task)
        augment = None if asked is None else asked.full_name
        usable, left_out = usable_networks(self.name, self._networks, recipe)
        return [self.candidate(network, recipe.settings, self._policies, augment) for network in usable], left_out


class DetectionFullTuner(DetectionPartialTuner):
    """Offers detectors that are tuned as a whole."""

    name = "full"
    candidate = DetectionFullCandidate

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """As `partial`; only where it is asked for, since each candidate halves the time of the others."""
        if recipe.method == "auto":
            return [], [LeftOut(self.name, "in the same time it finds less than partial does: --method full tries it")]
        return super().candidates(dataset, recipe)


def _session(trunk: Any, width_px: int, height_px: int, threads: int) -> Callable[[FloatArray], list[FloatArray]]:
    """A frozen trunk in ONNX Runtime, which runs it faster than torch does: pixels to maps."""
    import torch

    from fewtune.backbones.detector import export_onnx

    with torch.no_grad():
        count = len(trunk(torch.zeros(1, 3, height_px, width_px)))
    session = open_session(
        export_onnx(trunk, width_px, height_px, [f"map{number}" for number in range(count)]), threads
    )
    return lambda pixels: [np.asarray(some) for some in session.run(None, {"pixels": pixels})]


def _step_seconds(objective: BoxObjective, batch: int) -> float:
    """Of a forward and a backward pass of one batch: the median, after one that warms up."""
    seconds = []
    for number in range(_PROBE_STEPS + 1):
        started = time.perf_counter()
        objective.loss(batch + number).backward()
        objective.after_step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _packed(found: Sequence[Detections]) -> FloatArray:
    """(boxes, 7): which picture, the box, label, score."""
    rows = [
        np.column_stack([np.full(len(some), number), some.boxes_xyxy, some.labels, some.scores])
        for number, some in enumerate(found)
    ]
    return np.concatenate(rows) if rows else np.zeros((0, 7))


def _unpacked(rows: FloatArray, count: int) -> list[Detections]:
    by_picture = [rows[rows[:, 0] == number] for number in range(count)]
    return [Detections(some[:, 1:5], some[:, 5].astype(np.int64), some[:, 6]) for some in by_picture]
