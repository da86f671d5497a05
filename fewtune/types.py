"""The data that the parts hand to each other. All of it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they were read, every value a string.

    Attributes:
        columns: names as the header has them.
        rows: one tuple of `len(columns)` strings a row.
        places: where each row stands, e.g. "tickets.csv:12" (line numbers start at 1, the header counts).
        source: name of the file or object, for messages.
        sha256: of the content, in hexadecimal.
        notes: what the reader decided on its own, in words ("read as GB18030"), always shown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: Sequence[str]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[str]:
        """All values of one column. Raises KeyError where there is none of that name."""
        try:
            index = self.columns.index(name)
        except ValueError:
            raise KeyError(name) from None
        return [row[index] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn from.

    Attributes:
        input: what the model reads: a text, a path of a picture.
        target: what it should answer; None where unknown.
        place: where it stands, e.g. "tickets.csv:12".
        group: examples of one group never straddle training and validation; None: a group of its own.
    """

    input: Any
    target: Any = None
    place: str = ""
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Inputs without a label that may be learnt from too.

    Attributes:
        inputs: at least one; none is, or nearly is, a labelled example.
        source: name of the file or object, for messages.
        sha256: of the inputs, in hexadecimal.
    """

    inputs: tuple[Any, ...]
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples of one task.

    Attributes:
        task: name of the task, e.g. "text-classification".
        examples: in the order of the file.
        labels: class names in sorted order; empty where the task has none.
        source: name of the file or object, for messages.
        sha256: of the content, in hexadecimal.
        notes: what was decided while reading, in words, always shown.
        languages: BCP 47 codes of inputs and targets, "" where not known; empty where targets are no texts.
        unlabelled: inputs to learn from beside the examples; None where there are none.
        glossary: terms with the translations that they are to have.
    """

    task: str
    examples: tuple[Example, ...]
    labels: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    unlabelled: Unlabelled | None = None
    glossary: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something `check` saw in the data.

    Attributes:
        level: "error" stops a fit; "warning" should be looked at; "info" is good to know.
        code: short and stable, e.g. "duplicate-text".
        what: what is wrong, one sentence.
        how: how to mend it.
        places: where, at most a handful.
        count: how many examples are concerned.
    """

    level: Literal["error", "warning", "info"]
    code: str
    what: str
    how: str
    places: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the examples that train and of those that are scored."""

    train: IntArray
    valid: IntArray


@dataclass(frozen=True, slots=True)
class Resampling:
    """The folds that every rung is scored on.

    Attributes:
        name: in words, e.g. "5-fold cross-validation, stratified, grouped, repeated 4 times".
        splits: repeats one after the other; within a repeat every example is validated at most once.
        repeats: how many repeats `splits` holds.
        groups: (n,) group index of each example: near-duplicates and the user's groups share one.
    """

    name: str
    splits: tuple[Split, ...]
    repeats: int
    groups: IntArray

    @property
    def folds(self) -> int:
        """How many each repeat has."""
        return len(self.splits) // self.repeats

    def first(self, count: int) -> Resampling:
        """The same folds, but only the first `count` of them: all repeats, one, or a hold-out."""
        if count == len(self.splits):
            return self
        kept = "one repeat" if count == self.folds else f"{count} of {self.folds} folds"
        return Resampling(f"{self.name}: {kept}", self.splits[:count], -(-count // self.folds), self.groups)


@dataclass(frozen=True, slots=True)
class Score:
    """An estimate with its interval.

    Attributes:
        value: the estimate.
        low, high: the interval; None where it cannot be known.
        n: number of distinct groups that the estimate stands on.
        level: nominal coverage.
        interval_method: name of the method, with its source.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    level: float = 0.95
    interval_method: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """What one evaluation says.

    Attributes:
        metrics: metric name to score.
        per_class: label to metric name to score ("precision", "recall", "f1").
        support: label to number of examples.
        confusion: (k, k) counts, rows the truth, columns the prediction, in the order of the labels.
        gain_over_baseline: the primary metric minus that of always answering the commonest class.
        how: in words, what was scored on what.
    """

    metrics: Mapping[str, Score]
    per_class: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    gain_over_baseline: Score | None = None
    how: str = ""

    def __getitem__(self, metric: str) -> Score:
        return self.metrics[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)


@dataclass(frozen=True, slots=True)
class Threshold:
    """When to say "unsure".

    Attributes:
        target_error: the goal: highest share of errors among the answered.
        below: answers of less confidence are unsure; None where no threshold is expected to reach the goal.
        answered: share of new inputs that are answered.
        error: share of errors among them.
    """

    target_error: float
    below: float | None
    answered: Score | None
    error: Score | None


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What a bundle knows of its own answers, from those that it gave out of fold.

    Attributes:
        thresholds: for each of several goals, below which confidence an answer is unsure.
        true_label_probabilities: what true labels were given, in rising order: sets of labels are made by them.
        scope_threshold: least similarity to the classes of an input that the model was made for; None where the
            model has no features.
    """

    thresholds: tuple[Threshold, ...] = ()
    true_label_probabilities: tuple[float, ...] = ()
    scope_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction with what is known of it.

    Attributes:
        prediction: the likeliest label.
        confidence: its probability.
        unsure: whether it is left to a person, at the share of errors that was allowed.
        outside: whether the input is of another kind than what the model learnt from; then it is unsure as well.
        labels: those that hold the true one as often as was asked for, likeliest first; empty where nothing was.
    """

    prediction: str
    confidence: float
    unsure: bool = False
    outside: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model makes of unlabelled inputs, as far as it tells which of them to label next.

    Attributes:
        uncertainty: (n,) how unsure it is of each, from 0.
        predicted: (n,) index of the class that it predicts; None where its answers are no classes.
        features: (n, width) vectors; None where the model has none.
        predictions: of an index, the answer in a few words.
        confidences: (n,) probability of the answers, or what stands for it; 0 to 1.
        doubts: of an index, why the model is unsure of it, in words.
    """

    uncertainty: FloatArray
    predicted: IntArray | None
    features: FloatArray | None
    predictions: Callable[[int], str]
    confidences: FloatArray
    doubts: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An input whose label would teach much.

    Attributes:
        row: its index among what was given, from 0.
        place: where it stands, e.g. "tickets.csv:12".
        input: what the model reads: a text, a path of a picture.
        prediction: what the model takes it for; empty where there is no model yet.
        confidence: the probability of that; None where there is no model yet.
        why: why it was chosen, in words.
    """

    row: int
    place: str
    input: Any
    prediction: str
    confidence: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What to label next, the most instructive first.

    Attributes:
        task: whose inputs they are.
        suggestions: at most as many as were asked for.
        findings: what was seen in the pool, worst first.
        notes: what was decided on the way, in words.
        given: how many inputs there were.
        pool: how many of them could be suggested.
        encode_seconds, choose_seconds: what looking at the inputs took, and what choosing among them did.
    """

    task: str
    suggestions: tuple[Suggestion, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    given: int
    pool: int
    encode_seconds: float
    choose_seconds: float

    def __len__(self) -> int:
        return len(self.suggestions)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.suggestions)

    def __getitem__(self, index: int) -> Suggestion:
        return self.suggestions[index]


@dataclass(frozen=True, slots=True)
class Rung:
    """One candidate of the ladder, as it is reported.

    Attributes:
        name: e.g. "head:multilingual-e5-small".
        method: the tuner's name.
        model: the backbone's name; empty where there is none.
        settings: the hyper-parameters that were chosen.
        scores: out-of-fold, not corrected for the choice among rungs.
        expected_log_loss: what the ladder ranks by.
        seconds: wall-clock time that its folds took.
        predicted_seconds: what was foreseen of that before it was started; None where nothing was.
        resampling: the folds it was scored on, in words.
        tune_seconds: what tuning it on all of the data took; None where it was not.
    """

    name: str
    method: str
    model: str
    settings: Mapping[str, Any]
    scores: Scores
    expected_log_loss: float
    seconds: float
    predicted_seconds: float | None = None
    resampling: str = ""
    tune_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rung that was taken beside another one, on the same examples.

    Attributes:
        rung, against: their names.
        metric: what is compared.
        difference: the first one's minus the second one's.
        declared: whether the interval leaves 0 out: only then is one called better.
        words: the same as a sentence.
    """

    rung: str
    against: str
    metric: str
    difference: Score
    declared: bool
    words: str


@dataclass(frozen=True, slots=True)
class UnlabelledGain:
    """What learning from unlabelled inputs too brought.

    Attributes:
        source: name of the file or object that they came from.
        sha256: of the inputs, in hexadecimal.
        inputs: how many there were to learn from.
        rung: the best that learns from them; empty where none was tried.
        against: the same rung without them; empty where that was not tried.
        log_loss, without: what is expected of the two; None where one was not tried.
        kept: whether the model that was taken learnt from them.
        words: the same as a sentence.
    """

    source: str
    sha256: str
    inputs: int
    rung: str
    against: str
    log_loss: float | None
    without: float | None
    kept: bool
    words: str


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What training on so many examples gave, out of fold."""

    examples: int
    score: Score


@dataclass(frozen=True, slots=True)
class Forecast:
    """What training on so many examples is likely to give.

    Attributes:
        examples: in all.
        more_per_class: how many each class gets beyond today's.
        value, low, high: of the metric, with its band.
        gain_low, gain_high: what that is more than today.
        level: nominal coverage of the bands.
    """

    examples: int
    more_per_class: int
    value: float
    low: float
    high: float
    gain_low: float
    gain_high: float
    level: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Scores at growing numbers of examples.

    Attributes:
        rung: what was trained.
        metric: what is scored.
        points: measured, fewest examples first.
        forecast: expected, nearest first.
        words: the nearest forecast as a sentence.
        method: how it was made, with its source.
    """

    rung: str
    metric: str
    points: tuple[CurvePoint, ...]
    forecast: tuple[Forecast, ...]
    words: str
    method: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a bundle was worth that was fitted to fewer examples, and then replaced.

    Attributes:
        examples: how many it was fitted to.
        score: of the primary metric.
        tested: whether that is of test data; else it is out of fold.
        foreseen: its forecast for about as many examples as the next fit had; None where it made none.
    """

    examples: int
    score: Score
    tested: bool
    foreseen: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example whose label looks wrong.

    Attributes:
        place: where it stands.
        text: its input.
        label: the label that it has.
        suggested: the one that it may belong to.
        score: probability of the label that it has; the lower, the more suspicious.
        reason: why, in words.
    """

    place: str
    text: str
    label: str
    suggested: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a bundle takes on this machine.

    Attributes:
        size_mb: its graphs and what prepares their inputs.
        p50_ms, p95_ms: answering one input by itself, the median and what 95 of 100 stay below.
        per_second: inputs answered together.
        load_ms: from opening the bundle to the first answer, in a fresh process.
        peak_memory_mb: the most memory that that process held; 0 where the system does not tell.
    """

    size_mb: float
    p50_ms: float
    p95_ms: float
    per_second: float
    load_ms: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much worse a smaller model can be than the original.

    Attributes:
        by: what it stands on: "labels", a bound on the drop of accuracy; "answers", a bound on the share of inputs
            that are answered otherwise; "probabilities", a cap on how far those move; "metric", a bound on the drop of
            a metric of answers that are not classes.
        inputs: how many independent ones were answered by both.
        changed: share of them that are answered otherwise.
        shift: in 95 of 100 inputs, no probability moves further than this; 0 where answers have none.
        drop: the metric of the original minus that of the smaller one, as a share of its full scale; None where there
            are no labels.
        bound: what the drop stays below with 95 % confidence; None where nothing can be bounded.
        held: whether that is allowed.
        proven: whether it holds for new inputs too.
    """

    by: Literal["labels", "answers", "probabilities", "metric"]
    inputs: int
    changed: float
    shift: float
    drop: float | None
    bound: float | None
    held: bool
    proven: bool


@dataclass(frozen=True, slots=True)
class Trade:
    """A smaller model beside the original.

    Attributes:
        name: how it was made, e.g. "vocabulary + int8"; "original".
        footprint: what it takes.
        score: the metric on what both were measured on; None where that has no labels.
        evidence: how much worse it can be; None for the original.
        failed: which promises it broke, of "score", "size", "speed", "alone" (answers depend on their neighbours).
        notes: what was decided while it was made, in words.
    """

    name: str
    footprint: Footprint
    score: float | None
    evidence: Evidence | None = None
    failed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compression:
    """What `compress` did. The bundle keeps it.

    Attributes:
        name: the trade that was taken; empty: the original was kept.
        max_drop: the share of the metric's full scale that was allowed to be lost.
        measured_on: what both models answered, in words.
        threads: of one computation.
        trades: the original, and every smaller model that was tried.
        words: the result as a sentence.
        metric: what the trades' scores are of.
    """

    name: str
    max_drop: float
    measured_on: str
    threads: int
    trades: tuple[Trade, ...]
    words: str
    metric: str = "accuracy"

    @property
    def kept(self) -> bool:
        """Whether a smaller model was taken."""
        return bool(self.name)


@dataclass(frozen=True, slots=True)
class AttackedText:
    """What became of one text that was attacked.

    Attributes:
        place: where it stands, e.g. "tickets.csv:12".
        text, label: as they are in the data.
        prediction, confidence: what the model answered before.
        outcome: "wrong": the answer was, so that nothing was attacked; "broken": the attack changed it; "held";
            "reduced": fewer words are left, and the answer is the same; "failed": TextAttack cannot take the text.
        attacked: the text that the attack ended with; empty where it was not attacked.
        attacked_prediction, attacked_confidence: what the model answered to that.
        words: of the text, as the attack counts them.
        changed: how many of them were changed, or taken away.
        queries: how often the model was asked.
        seconds: what the attack took.
    """

    place: str
    text: str
    label: str
    prediction: str
    confidence: float
    outcome: str
    attacked: str = ""
    attacked_prediction: str = ""
    attacked_confidence: float | None = None
    words: int = 0
    changed: int = 0
    queries: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AttackSummary:
    """What one attack on a model showed. The bundle keeps it.

    Attributes:
        recipe: TextAttack's name of it.
        how: what it does, in a few words.
        source: who proposed it.
        reduces: words were taken away while the answer stayed; the accuracy under attack is not known then.
        data: name of the data.
        wanted: how many texts were to be looked at.
        examples: how many were: drawn from the data at random, in random order.
        attacked: how many of these the model had right, so that they were attacked.
        accuracy_before, accuracy_after: share of the examples that the model has right.
        success_rate: share of the attacked texts whose answer was changed.
        words_changed: mean share of words that were changed where the answer was, or that could be taken away.
        queries, seconds: mean of an attack.
        replaced: what stood in for what TextAttack would have downloaded, in words.
        left_out: why texts of the data were not among those drawn from, to how many.
        max_queries: most questions to the model for one text; 0: any number.
        seed: where all randomness came from.
        stopped: why not all that were wanted were looked at: "budget", "interrupted", or empty.
    """

    recipe: str
    how: str
    source: str
    reduces: bool
    data: str
    wanted: int
    examples: int
    attacked: int
    accuracy_before: Score
    accuracy_after: Score | None
    success_rate: Score | None
    words_changed: Score | None
    queries: float
    seconds: float
    replaced: tuple[str, ...]
    left_out: Mapping[str, int]
    max_queries: int
    seed: int
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What an attack on a model showed.

    Attributes:
        summary: all in all.
        texts: each that was looked at, in the order in which it was.
        notes: what was decided while reading the data, in words.
    """

    summary: AttackSummary
    texts: tuple[AttackedText, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rung that was not tried, or not taken in the end, and why.

    Attributes:
        name: of the rung.
        why: as a part of a sentence.
        tried: whether it was tried, and only could not be tuned on all of the data.
    """

    name: str
    why: str
    tried: bool = False

    @property
    def fate(self) -> str:
        """What became of it."""
        return "tried, but not taken" if self.tried else "not tried"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a rung is likely worth, before it is tuned.

    Attributes:
        name, method, model: of the rung.
        seconds: what its folds are foreseen to take; None where that was not foreseen.
        likely, low, high: of the primary metric; NaN where that cannot be told before it is tried.
        measured: whether it was really tried; else it is what its prior says.
        taken: whether the fit is expected to take it.
    """

    name: str
    method: str
    model: str
    seconds: float | None
    likely: float
    low: float
    high: float
    measured: bool
    taken: bool


@dataclass(frozen=True, slots=True)
class Advice:
    """What to fit on some data on this machine. `advise --json` prints it.

    Attributes:
        examples, classes: how many there are.
        languages: share of the texts in each.
        machine: processor, cores, threads.
        method, model: what is likely to be taken.
        seconds: what `fit` is foreseen to take, all in all.
        peak_memory_mb: the most memory that it is foreseen to hold.
        outlooks: what each rung that fits the budget is likely worth.
        left_out: rungs that would not be tried, and why.
        more_labels: what more labels are likely to bring.
        why: the reasons, a sentence each.
    """

    examples: int
    classes: int
    languages: Mapping[str, float]
    machine: Mapping[str, str | int]
    method: str
    model: str
    seconds: float
    peak_memory_mb: float
    outlooks: tuple[Outlook, ...]
    left_out: tuple[LeftOut, ...]
    more_labels: tuple[Forecast, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What `fit` did. `fit --json` prints it."""

    bundle: Path
    task: str
    method: str
    model: str
    labels: tuple[str, ...]
    scores: Scores
    primary_metric: str
    rungs: tuple[Rung, ...]
    left_out: tuple[LeftOut, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float
    peak_memory_mb: float
    answer_rules: AnswerRules = AnswerRules()
    comparisons: tuple[Comparison, ...] = ()
    learning_curve: LearningCurve | None = None
    suspects: tuple[Suspect, ...] = ()
    unlabelled: UnlabelledGain | None = None
    compression: Compression | None = None
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """One ONNX file of a bundle and its contract.

    Attributes:
        role: what it is for, e.g. "classifier".
        file: name inside the bundle.
        inputs, outputs: name to a description of type, shape and meaning.
        tokenizer: name of the file that makes tokens for it.
        preprocess: name of the file that says how pictures are prepared for it; empty where it reads none.
        weight: what its log probabilities count where several graphs are blended.
    """

    role: str
    file: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    tokenizer: str = "tokenizer.json"
    preprocess: str = ""
    weight: float = 1.0
