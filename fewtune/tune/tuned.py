"""What the tuned rungs share: layers above a cut are trained, a linear head is put on their features.

Everything below the cut is frozen, and computed once for every text (`cache.py`); epochs, folds and
trials train on what it made. A rung is looked at in the middle of its training as well as at the end
(`STOPS`): with few labels the folds tell how long to train, which is early stopping without a
validation set that is given up for it.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fewtune.backbones.text_encoder import EncoderParts, TextEncoder
from fewtune.errors import InternalError, MissingExtraError
from fewtune.evaluate.scope import class_means, similarity
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner, TuningError
from fewtune.progress import Step
from fewtune.recipe import Recipe
from fewtune.runtime.machine import free_memory_mb
from fewtune.runtime.text_graph import TextGraph
from fewtune.tune.batches import Dealt, Numbered
from fewtune.tune.cache import TrunkCache
from fewtune.tune.encoder import (
    TEMPERATURE_HELP,
    delivered_mb,
    encoding_seconds,
    fitted_encoder,
    usable_models,
)
from fewtune.tune.integers import Written, in_integers, tuned_in_integers
from fewtune.tune.linear_head import LinearHead, class_indices, label_texts
from fewtune.tune.search import Range, SearchCandidate, can_search
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling, Split

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import TextObjective, Views

STOPS = (0.5, 1.0)
# A head hardly gains by more texts than these, and every one of them has to be encoded anew by each tuned model.
_MOST_READ_TEXTS = 10_000
# Steps that are timed, after one that warms up, to foresee what all will take.
_PROBE_STEPS = 3
# What the loop adds to the steps, and to every training once (benchmarks/run.py foresight).
_LOOP_OVERHEAD = 1.1
_FIXED_SECONDS = 0.25
# A restart after the loss diverged goes at this share of the learning rate.
_SLOWER = 0.3
# Weights, their gradients and AdamW's two moments, in float32.
_BYTES_PER_TUNED_WEIGHT = 16
_BYTES_PER_ACTIVATION = 4
_PROBE_TEXTS = 256
# Cosine, on average, between texts' vectors in torch and in the written graph, which computes in 8-bit integers. Of a
# single text it can be a little less: the head learns from the graph's own vectors, and knows no others.
_LEAST_COSINE = 0.95
_COMPARED_TEXTS = 32
# Open at the end: the graph of what is delivered, the bundle under test, and one fitted to a part of the data.
_GRAPHS = 3

SETTINGS = {
    "layers": "how many layers are tuned, from the top",
    "epochs": "how often each example is seen",
    "learning_rate": "the highest, after warming up",
    "batch_size": "examples a batch",
    "accumulate": "batches whose gradients are summed up for one step",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "stop": "share of the steps after which training ends; the learning rate falls as if it went on",
    "temperature": TEMPERATURE_HELP,
}

Look = Callable[["TextObjective"], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The hyper-parameters of the training; the rest of a trial's settings are the head's."""

    layers: int
    epochs: float
    learning_rate: float
    batch_size: int
    warmup: float
    weight_decay: float
    accumulate: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a training learns from.

    Attributes:
        views: n texts as the tuned layers take them.
        targets: (n,) class indices.
        names: the classes' names, as the layers take them.
        pool: unlabelled texts, likewise.
    """

    views: Views
    targets: IntArray
    names: Views
    pool: Views = ()

    def part(self, chosen: IntArray) -> Lesson:
        """Some of the labelled texts, with all that is beside them."""
        return replace(self, views=[self.views[i] for i in chosen], targets=self.targets[chosen])


@dataclass(frozen=True, slots=True)
class Timings:
    """What parts of the work take on this machine, in seconds, measured on a few.

    Attributes:
        once: all texts below the cut.
        setup: making the layers.
        step: a batch.
        steps: how many batches one training has.
        encode: a text, by the tuned layers.
        heads: all heads on the features of one tuned encoder.
        delivered: what a head reads, by the written graph.
    """

    once: float
    setup: float
    step: float
    steps: int
    encode: float
    heads: float
    delivered: float

    def training(self, share: float = 1.0) -> float:
        """A training of so many of its steps."""
        return _FIXED_SECONDS + self.setup + _LOOP_OVERHEAD * share * self.steps * self.step


class TunedTuner(Tuner):
    """Offers one rung for every encoder that reads the data's languages, where what it needs is installed."""

    tasks = ("text-classification",)
    needs: ClassVar[tuple[str, ...]] = ("torch", "transformers", "lightning")
    candidate: ClassVar[type[TunedCandidate]]

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        """Choose among these encoders."""
        self._encoders = encoders

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an encoder; the others with the reason why not.

        Raises:
            MissingExtraError: this very method was asked for, and what it needs is not installed.
        """
        if any(find_spec(package) is None for package in self.needs):
            if recipe.method == self.name:
                raise MissingExtraError("train", needed_for=f"The method {self.name}", where="--method")
            return [], [LeftOut(self.name, 'it is not installed: pip install "fewtune[train]"')]
        usable, left_out = usable_models(self.name, self._encoders, dataset, recipe)
        return [rung for encoder in usable for rung in self.rungs(encoder, dataset, recipe)], left_out

    def rungs(self, encoder: TextEncoder, dataset: Dataset, recipe: Recipe) -> list[Candidate]:
        """What is offered of one encoder."""
        del dataset
        return [self.candidate(encoder, recipe.settings)]


class TunedCandidate(Candidate):
    """The layers above a cut of one encoder are trained, then a linear head is put on them.

    Attributes:
        most_layers: how many are tuned where the settings do not say.
        embeddings: whether the embeddings are tuned as well; then all layers are.
        most_read_texts: how many training texts are encoded at most after the training, for the head and
            the means of the classes.
        most_start_texts: how many are encoded at most before the training.
        texts_beside: how many texts a step reads for each of its batch.
        gain: mean and deviation of the prior: the logarithm of the log loss, over the frozen encoder's.
    """

    most_layers: ClassVar[int] = 6
    embeddings: ClassVar[bool] = False
    most_read_texts: ClassVar[int] = _MOST_READ_TEXTS
    most_start_texts: ClassVar[int] = 0
    texts_beside: ClassVar[int] = 1
    learning_rate: ClassVar[float] = 1e-4
    gain: ClassVar[tuple[float, float]]

    def __init__(self, encoder: TextEncoder, settings: Mapping[str, Any]) -> None:
        """Tune `encoder`, with those of the hyper-parameters that `settings` fixes."""
        self._encoder = encoder
        self._settings = settings
        self.model = encoder.info.name
        self.name = f"{self.method}:{self.model}"
        self.prior = Prior(f"head:{self.model}", *self.gain)

    @abstractmethod
    def batches(self, targets: IntArray, size: int, run: RunContext, unit: str) -> Dealt:
        """Which examples each batch holds."""

    @abstractmethod
    def objective(
        self, layers: TunedLayers, views: Views, targets: IntArray, classes: int, batches: Numbered
    ) -> TextObjective:
        """What is minimised."""

    @abstractmethod
    def head_settings(self) -> list[dict[str, float]]:
        """The head's hyper-parameters that are tried on the features of each tuned encoder."""

    @abstractmethod
    def heads(
        self, objective: TextObjective, features: FloatArray, targets: IntArray, names: FloatArray
    ) -> Iterator[LinearHead]:
        """A head for each of `head_settings`, on (n, width) features that the tuned layers give.

        Args:
            objective: what was trained.
            features: of the training texts.
            targets: (n,) class indices.
            names: (classes, width) features of the classes' names.
        """

    def plan(self, dataset: Dataset) -> Plan:
        """The training's hyper-parameters for data of this size, but for what the settings fix."""
        given = self._settings
        count = self._encoder.parts.layers
        layers = count if self.embeddings else min(count, int(given.get("layers", self.most_layers)))
        return Plan(
            layers=layers,
            epochs=float(given.get("epochs", self.epochs(len(dataset)))),
            learning_rate=float(given.get("learning_rate", self.learning_rate)),
            batch_size=max(2, int(given.get("batch_size", 32 if len(dataset.labels) <= 20 else 64))),
            warmup=float(given.get("warmup", 0.1)),
            weight_decay=float(given.get("weight_decay", 0.01)),
            accumulate=max(1, int(given.get("accumulate", 1))),
        )

    def epochs(self, examples: int) -> float:
        """Steps grow with the square root of the examples, up to a number that teaches most of what there is."""
        return min(20.0, 20.0 * math.sqrt(48 / examples), 12_800 / examples)

    def searched(self, folds: int, loss: float) -> Candidate | None:
        """With the training's hyper-parameters looked for."""
        return SearchCandidate(self, folds, loss) if can_search() else None

    def search_space(self, dataset: Dataset) -> dict[str, Range]:
        """The learning rate, how long, and how many of the layers."""
        plan, layers = self.plan(dataset), self._encoder.parts.layers
        space = {
            "learning_rate": Range(plan.learning_rate / 4, plan.learning_rate * 4, log=True),
            "epochs": Range(plan.epochs / 2, plan.epochs * 1.5, log=True),
        }
        if not self.embeddings:
            space["layers"] = Range(max(1, plan.layers // 3), min(layers, 2 * plan.layers), whole=True)
        return space

    def own_settings(self, dataset: Dataset) -> dict[str, Any]:
        """Those of the plan, and of this method alone."""
        return {**asdict(self.plan(dataset)), **self.extra_settings()}

    def with_settings(self, settings: Mapping[str, Any]) -> TunedCandidate:
        """The same rung with these hyper-parameters, and with those that were fixed before."""
        return type(self)(self._encoder, {**self._settings, **settings})

    @cached_property
    def _stops(self) -> tuple[float, ...]:
        return (float(self._settings["stop"]),) if "stop" in self._settings else STOPS

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a sample, take a few real steps, encode and fit heads, and scale all of it up.

        Raises:
            TuningError: the training would not fit this machine's memory.
        """
        import torch

        # Importing Lightning takes seconds; they are not to be counted to the first fold.
        from fewtune.tune import loop

        del loop
        torch.set_num_threads(run.threads)
        return self._cost(dataset, self._timings(dataset, run))

    def _timings(self, dataset: Dataset, run: RunContext) -> Timings:
        from fewtune.tune.layers import TunedLayers

        plan, texts = self.plan(dataset), [example.input for example in dataset]
        self._check_memory(plan, texts)
        targets = class_indices(dataset)
        batches = self.batches(targets, plan.batch_size, run, f"{self.name}/probe")
        probed = [batches[number] for number in range(_PROBE_STEPS + 1)]
        chosen = np.unique(np.concatenate(probed))
        once = (
            0.0
            if self.embeddings
            else encoding_seconds(self._encoder, self._trunk_texts(dataset), self._below(plan), run)
        )
        views = dict(zip(chosen.tolist(), self._compute_views([texts[i] for i in chosen], plan, run), strict=True))
        started = time.perf_counter()
        layers = TunedLayers(self._encoder.parts, count=plan.layers, embeddings=self.embeddings)
        setup = time.perf_counter() - started
        sample = [views[i] for i in chosen.tolist()]
        step = self._step_seconds(layers, views, targets, len(dataset.labels), probed)
        started = time.perf_counter()
        layers.features(sample)
        encode = (time.perf_counter() - started) / len(sample)
        return Timings(
            once=once,
            setup=setup,
            step=step,
            steps=batches.steps(plan.epochs),
            encode=encode,
            heads=self.heads_seconds(dataset, run),
            delivered=encoding_seconds(self._encoder, texts, None, run) * min(1.0, _MOST_READ_TEXTS / len(texts)),
        )

    def _trunk_texts(self, dataset: Dataset) -> list[str]:
        """What the frozen layers read."""
        return [example.input for example in dataset]

    def _cost(self, dataset: Dataset, timed: Timings) -> Cost:
        texts, last = len(dataset), max(self._stops)
        read = min(0.8 * texts, self.most_read_texts) + 0.2 * texts
        begun = timed.encode * min(texts, self.most_start_texts)
        looks = len(self._stops) * (timed.encode * read + timed.heads) + begun
        return Cost(
            once=timed.once,
            # A fold trains on four fifths of the examples.
            each=timed.training(0.8 * last) + looks,
            final=timed.training(last) + begun + timed.delivered + timed.heads + 2.0,
            delivered_mb=delivered_mb(self._encoder.graph, _GRAPHS),
        )

    def _step_seconds(
        self,
        layers: TunedLayers,
        views: Mapping[int, FloatArray | IntArray],
        targets: IntArray,
        classes: int,
        batches: Sequence[IntArray],
    ) -> float:
        """The median time of a few steps on real batches."""
        import torch

        position = {i: number for number, i in enumerate(views)}
        local = [np.array([position[i] for i in batch.tolist()]) for batch in batches]
        objective = self.objective(layers, list(views.values()), targets[list(views)], classes, local)
        learnt = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learnt, 0.0, fused=True)
        objective.train()
        seconds = []
        for number in range(len(local)):
            started = time.perf_counter()
            objective.loss(number).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - started)
        objective.eval()
        return statistics.median(seconds[1:])

    def _check_memory(self, plan: Plan, texts: Sequence[str]) -> None:
        tuned = self._tuned_weights(plan)
        weights_mb = tuned * _BYTES_PER_TUNED_WEIGHT / 1e6 + 500
        needed_mb = weights_mb + self._activations_mb(plan, texts)
        free_mb = free_memory_mb()
        if needed_mb <= free_mb:
            return
        share = max(0.0, free_mb - weights_mb) / (needed_mb - weights_mb)
        fits = int(plan.batch_size * share)
        advice = f"--set batch_size={fits} would fit" if fits >= 2 else "a smaller model or fewer layers would fit"
        raise TuningError(
            f"tuning {tuned / 1e6:.0f} M weights at {plan.batch_size} texts a step takes about {needed_mb:.0f} MB, "
            f"and {free_mb:.0f} MB are free; {advice}"
        )

    def _activations_mb(self, plan: Plan, texts: Sequence[str]) -> float:
        """What one step keeps for its way back: of every token, and of every pair of tokens in a row."""
        config = self._encoder.parts.config
        sample = texts[:: max(1, len(texts) // _PROBE_TEXTS)]
        lengths = np.array([len(ids) for ids in token_ids(self._encoder.parts, sample)])
        tokens = self.texts_beside * plan.batch_size * float(lengths.mean())
        inner = 8 * int(config["hidden_size"]) + 4 * int(config["intermediate_size"])
        pairs = 2 * int(config["num_attention_heads"]) * float(lengths.max())
        return tokens * plan.layers * (inner + pairs) * _BYTES_PER_ACTIVATION / 1e6

    def _tuned_weights(self, plan: Plan) -> int:
        parts = self._encoder.parts
        inside = [f"encoder.layer.{number}." for number in range(parts.layers - plan.layers, parts.layers)]
        tensors = parts.weights.tensors
        return sum(
            math.prod(tensor.shape)
            for name, tensor in tensors.items()
            if self.embeddings or name.startswith(tuple(inside))
        )

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Train on every fold; a fold that the budget does not reach is left out.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too, or not even one fold was reached.
        """
        plan = self.plan(dataset)
        lesson = self._lesson(dataset, plan, run)
        settings = self._trials(plan)
        log_probs = np.full((len(settings), resampling.repeats, *_shape(dataset)), np.nan, np.float32)
        near = np.full(log_probs.shape[:-1], np.nan, np.float32)
        per_repeat = math.ceil(len(resampling.splits) / resampling.repeats)
        seconds: list[float] = []
        with run.progress.step(f"Folds of {self.name}", total=len(resampling.splits)) as step:
            for number, split in enumerate(resampling.splits):
                unit = f"{self._key(plan)}/fold {number}"
                if not run.journal.once(f"{unit} is reached", lambda: self._reached(seconds, run)):
                    break
                started = time.monotonic()
                fold = self._fit_fold(plan, lesson, split, unit, run, step)
                log_probs[:, number // per_repeat, split.valid] = fold[:, :, :-1]
                near[:, number // per_repeat, split.valid] = fold[:, :, -1]
                took = run.journal.once(f"{unit} took", lambda started=started: time.monotonic() - started)
                seconds.append(took)
        if np.isnan(log_probs).all():
            raise TuningError("the budget was spent before its first fold was done")
        return tuple(map(Trial, settings, log_probs, near))

    @staticmethod
    def _reached(seconds: Sequence[float], run: RunContext) -> bool:
        """Whether one more fold, and a fit on everything, are left of the budget; the first one always is."""
        return not seconds or 2.5 * max(seconds[-2:]) < run.seconds_left

    def _trials(self, plan: Plan) -> list[dict[str, Any]]:
        return [
            {**asdict(plan), **self.extra_settings(), "stop": stop, **head}
            for stop in self._stops
            for head in self.head_settings()
        ]

    def heads_seconds(self, dataset: Dataset, run: RunContext) -> float:
        """What fitting all heads to the features of one tuned encoder takes."""
        del dataset, run
        return 0.0

    def extra_settings(self) -> dict[str, float]:
        """Hyper-parameters of this method alone."""
        return {}

    def _key(self, plan: Plan) -> str:
        """What the journal knows this training by."""
        values = {**asdict(plan), **self.extra_settings(), "stops": self._stops, "heads": self.head_settings()}
        return f"{self.name} {json.dumps(values, sort_keys=True)}"

    def _fit_fold(self, plan: Plan, lesson: Lesson, split: Split, unit: str, run: RunContext, step: Step) -> FloatArray:
        """(trials, validated, classes + 1) log probabilities, and the similarity to the classes in the last column."""
        targets, names = lesson.targets, lesson.names
        train = _at_most(split.train, targets, self.most_read_texts, run, unit)

        def look(objective: TextObjective) -> FloatArray:
            features = objective.layers.features([*names, *(lesson.views[i] for i in (*train, *split.valid))])
            of_names, of_train, of_valid = np.split(features, [len(names), len(names) + len(train)])
            near = similarity(of_valid, class_means(of_train, targets[train], len(names)))[:, None]
            heads = self.heads(objective, of_train, targets[train], of_names)
            return np.stack([np.hstack([head.log_probs(of_valid), near]) for head in heads]).astype(np.float32)

        def looked(attempt: str) -> list[str]:
            return [f"{attempt}/stop {stop}" for stop in self._stops]

        for attempt in attempts(unit):
            if all(run.journal.has_array(entry) for entry in looked(attempt)):
                step.advance()
                break
        else:
            _, attempt = self._train(
                plan,
                lesson.part(split.train),
                unit,
                run,
                Part(step),
                looks=lambda attempt: [
                    lambda objective, entry=entry: run.journal.array(entry, lambda: look(objective))
                    for entry in looked(attempt)
                ],
            )
        return np.concatenate([run.journal.array(entry, unreachable) for entry in looked(attempt)])

    def _train(
        self,
        plan: Plan,
        lesson: Lesson,
        unit: str,
        run: RunContext,
        step: Part,
        *,
        looks: Callable[[str], Sequence[Look]],
    ) -> tuple[TextObjective, str]:
        """Train on some texts; once more at a lower learning rate where the loss diverges.

        Args:
            plan: hyper-parameters.
            lesson: what is learnt from.
            unit: the training's name, for its randomness and the journal.
            run: threads, journal.
            step: is told of progress.
            looks: name of an attempt to what looks at the objective at each of the stops.

        Returns:
            What was trained, and the name of the attempt that it was.
        """
        from fewtune.tune.loop import DivergedError

        first, second = attempts(unit)
        try:
            return self._attempt(plan, lesson, first, run, step, looks(first)), first
        except DivergedError as error:
            slower = replace(plan, learning_rate=plan.learning_rate * _SLOWER)
            run.progress.say(f"{self.name}: {error}; once more at a learning rate of {slower.learning_rate:.2g}")
        try:
            return self._attempt(slower, lesson, second, run, step, looks(second)), second
        except DivergedError as error:
            raise TuningError(f"{error}, at a learning rate of {slower.learning_rate:.2g} too") from None

    def _attempt(
        self,
        plan: Plan,
        lesson: Lesson,
        unit: str,
        run: RunContext,
        step: Part,
        looks: Sequence[Look],
    ) -> TextObjective:
        import torch

        from fewtune.tune.layers import TunedLayers
        from fewtune.tune.loop import DivergedError, Schedule, train

        torch.set_num_threads(run.threads)
        batches = self.batches(lesson.targets, plan.batch_size, run, unit)
        layers = TunedLayers(self._encoder.parts, count=plan.layers, embeddings=self.embeddings, dropout=self.dropout())
        torch.manual_seed(run.seed_of(unit, "start"))
        objective = self.objective(layers, lesson.views, lesson.targets, len(lesson.names), batches)
        steps = max(1, round(batches.steps(plan.epochs) / plan.accumulate))
        schedule = Schedule(steps, plan.learning_rate, plan.warmup, plan.weight_decay, plan.accumulate)
        # In a training of a step or two, two stops can be the same one.
        at: dict[int, list[Look]] = {}
        for stop, look in zip(self._stops, looks, strict=True):
            at.setdefault(max(1, round(stop * steps)), []).append(look)
        step.total = max(at)

        def at_stop(number: int) -> None:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in objective.parameters()):
                raise DivergedError(f"the weights became infinite or not a number by step {number}")
            for look in at[number]:
                look(objective)

        train(
            objective,
            schedule,
            seed_of=lambda number: run.seed_of(unit, "step", number),
            stops=sorted(at),
            at_stop=at_stop,
            checkpoint=run.journal.checkpoint(unit),
            step=step,
        )
        return objective

    def dropout(self) -> float:
        """On attention and hidden states while training."""
        return 0.0

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Train on everything, write the tuned layers into a graph, and fit the head to what that computes."""
        started = time.perf_counter()
        chosen = type(self)(self._encoder, settings)
        plan = chosen.plan(dataset)
        targets = class_indices(dataset)
        texts = [example.input for example in dataset]
        unit = f"{chosen._key(plan)}/final"
        with run.progress.step(f"Tune {self.name} on everything", total=1) as step:
            lesson = chosen._lesson(dataset, plan, run)
            objective, _ = chosen._train(plan, lesson, unit, run, Part(step), looks=lambda _: [lambda _: None])
        compared = range(0, len(texts), max(1, len(texts) // _COMPARED_TEXTS))
        in_torch = objective.layers.features([lesson.views[i] for i in compared])
        written = _written(
            self._encoder.parts.tuned(objective.tensors()),
            objective.layers,
            lesson.views,
            [texts[i] for i in compared],
            in_torch,
            run,
            unit,
        )
        parts, graph = written.parts, written.graph
        session = TextGraph(graph, parts.tokenizer_json, threads=run.threads)
        some = _at_most(np.arange(len(texts)), targets, self.most_read_texts, run, unit)
        features = session.run([texts[i] for i in some], "features")
        names = session.run(label_texts(dataset.labels), "features")
        (head,) = chosen.heads(objective, features, targets[some], names)
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(session.run(texts, "features"))

        means = class_means(features, targets[some], len(dataset.labels))
        return fitted_encoder(self._encoder.info, parts, graph, head, means, reference, seconds)

    def _below(self, plan: Plan) -> int:
        return self._encoder.parts.layers - plan.layers

    def _lesson(self, dataset: Dataset, plan: Plan, run: RunContext) -> Lesson:
        return Lesson(
            views=self._views([example.input for example in dataset], plan, run),
            targets=class_indices(dataset),
            names=self._views(label_texts(dataset.labels), plan, run),
        )

    def _views(self, texts: Sequence[str], plan: Plan, run: RunContext) -> Views:
        """What the tuned layers take for every text: hidden states at the cut, from the trunk cache."""
        if self.embeddings:
            return self._compute_views(texts, plan, run)
        below = self._below(plan)
        cache = TrunkCache(run.work / "features", f"{below:02d}-{self._encoder.fingerprint}")
        return cache.blocks(
            texts,
            lambda missing, step: self._encoder.hidden_states(missing, below, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Encode texts with {below} layers of {self.model}",
        )

    def _compute_views(self, texts: Sequence[str], plan: Plan, run: RunContext) -> Views:
        if self.embeddings:
            return token_ids(self._encoder.parts, texts)
        return self._encoder.hidden_states(texts, self._below(plan), threads=run.threads)


def attempts(unit: str) -> tuple[str, str]:
    """Names of a training's first attempt, and of its second at a lower learning rate."""
    return unit, f"{unit}/slower"


def unreachable() -> FloatArray:
    """What a journal is given where it must know the array already."""
    raise InternalError("A look at a training was not journalled.")


def _written(
    parts: EncoderParts,
    layers: TunedLayers,
    views: Views,
    texts: Sequence[str],
    in_torch: FloatArray,
    run: RunContext,
    unit: str,
) -> Written:
    """What was tuned as a graph that computes the same, as far as 8-bit integers go.

    Raises:
        TuningError: it does not, whatever is left in float and however it is tuned again; another rung can be
            delivered.
    """
    found = in_integers(parts, texts, in_torch, _LEAST_COSINE, run)
    if found.cosine < _LEAST_COSINE:
        again = tuned_in_integers(parts, layers, views, run, unit)
        found = max(found, in_integers(again, texts, in_torch, _LEAST_COSINE, run), key=lambda some: some.cosine)
    if not found.cosine >= _LEAST_COSINE:
        raise TuningError(
            f"in 8-bit integers it computes something else than what was tuned (cosine {found.cosine:.3f})"
        )
    if found.floats:
        run.progress.say(f"8-bit integers hurt it: {len(found.floats)} layers stay in float")
    return found


class Part:
    """A training's progress as one unit of another step, or as a share of one."""

    def __init__(self, step: Step, share: float = 1.0) -> None:
        """Advance `step` by `share` over the whole of `total`."""
        self._step = step
        self._share = share
        self.total = 1

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more of the total is done."""
        self._step.advance(self._share * amount / self.total)

    def shared(self, share: float) -> Part:
        """For one of several trainings that are a unit together."""
        return Part(self._step, self._share * share)


def token_ids(parts: EncoderParts, texts: Sequence[str]) -> list[IntArray]:
    """The ids of every text, special tokens included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    return [np.asarray(encoding.ids, np.int64) for encoding in tokenizer.encode_batch_fast(list(texts))]


def _shape(dataset: Dataset) -> tuple[int, int]:
    return len(dataset), len(dataset.labels)


def _at_most(chosen: IntArray, targets: IntArray, most: int, run: RunContext, unit: str) -> IntArray:
    """At most so many of the chosen examples; of every class at least one, unless none at all are wanted."""
    if len(chosen) <= most or most == 0:
        return chosen[:most]
    shuffled = run.generator(unit, "head").permutation(chosen)
    _, first = np.unique(targets[shuffled], return_index=True)
    rest = np.setdiff1d(np.arange(len(shuffled)), first)[: max(0, most - len(first))]
    return np.sort(shuffled[np.concatenate([first, rest])])
