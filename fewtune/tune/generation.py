"""Tune a causal language model on replies by LoRA (Hu et al. 2021, arXiv:2106.09685); and the model as it is.

The seconds given decide how often each example is seen. What is learnt is added to the weights before the graph is
written; the adapter stays beside it in PEFT's format.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from fewtune.backbones.causal_lm import CausalLM, CausalParts
from fewtune.backbones.llama_onnx import Bits
from fewtune.data.conversation import Generated
from fewtune.errors import MissingExtraError, RecipeError
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
from fewtune.runtime.text_generation import SETTINGS_FILE, Writer, Writing
from fewtune.tune.batches import Batches
from fewtune.tune.pace import PACE_HELP, Course, Deadline, turns_of, with_part
from fewtune.tune.reply_tokens import Tokens, encoded
from fewtune.tune.tuned import attempts
from fewtune.types import Dataset, Example, Graph, IntArray, LeftOut, Resampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from fewtune.tune.reply_objective import Adapter

_GRAPH = "model.onnx"
_ADAPTER = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"
MOST_NEW_TOKENS = 256
# Of what a fold holds out, so many examples are answered: writing replies takes long.
_MOST_ANSWERED = 100
_PROBE_STEPS = 2
_PROBE_ANSWERS = 4
_LOOP_OVERHEAD = 1.05
# Of the seconds given, what is counted on.
_IN_HAND = 0.9
_FEWEST_STEPS = 8
# Beyond so many epochs, few examples are learnt by heart.
_MOST_EPOCHS = 4.0
# Examples of like length are looked for among so many batches.
_WINDOW = 8
# A restart after the loss diverged goes at this share of the learning rate.
_SLOWER = 0.3

_COMMON = {
    "bits": "of a weight in the bundle: 8, 4, or 32 for float32",
    "max_new_tokens": "longer replies are cut",
    "max_tokens": "prompt and reply together; longer examples are not learnt from",
}
_LORA = {
    "epochs": "how often each example is seen",
    "learning_rate": "the highest, after warming up",
    "batch_size": "examples a step",
    "rank": "of the adapters' matrices",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "pace": PACE_HELP,
}


@dataclass(frozen=True, slots=True)
class AsItIsPlan:
    """How replies are written."""

    bits: Bits
    max_new_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class LoraPlan(AsItIsPlan):
    """The hyper-parameters of a training, as _LORA says."""

    epochs: float
    learning_rate: float
    batch_size: int
    rank: int
    warmup: float
    weight_decay: float
    pace: str


_Plan = TypeVar("_Plan", bound=AsItIsPlan)


class AsItIs(StructuredCandidate):
    """The pretrained model, untouched: the baseline."""

    method = "none"

    def __init__(self, model: CausalLM, settings: Mapping[str, Any]) -> None:
        """Take `model`, with those of the hyper-parameters that `settings` fixes."""
        self._backbone = model
        self._settings = settings
        self.model = model.info.name
        self.name = f"{self.method}:{self.model}"

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """Some answers are timed."""
        del seconds
        plan = self._as_it_is(dataset)
        return Plan(asdict(plan), self._answering(dataset, plan, run))

    def _as_it_is(self, dataset: Dataset) -> AsItIsPlan:
        given = self._settings
        bits = int(given.get("bits", 8))
        if bits not in (4, 8, 32):
            raise RecipeError(f"Weights are not kept in {bits} bits.", where="--set bits", how="Use 4, 8 or 32.")
        return AsItIsPlan(
            bits=bits,  # pyright: ignore[reportArgumentType]
            max_new_tokens=self._most_new(dataset.examples),
            max_tokens=min(self._backbone.parts.max_tokens, int(given.get("max_tokens", 1024))),
        )

    def _most_new(self, examples: Sequence[Example]) -> int:
        """Tokens of a reply at most: some more than the longest of these has, where it is not said."""
        longest = max(len(tokens.reply) for tokens in encoded(self._backbone.parts, examples))
        most = min(MOST_NEW_TOKENS, longest + 8, self._backbone.parts.max_tokens // 2)
        return int(self._settings.get("max_new_tokens", most))

    def _on_fold(self, dataset: Dataset, train: IntArray, plan: _Plan) -> _Plan:
        """The plan as a fold's training part has it: how long replies are is not seen in what is held out."""
        return replace(plan, max_new_tokens=self._most_new([dataset.examples[i] for i in train]))

    def _answering(self, dataset: Dataset, plan: AsItIsPlan, run: RunContext) -> float:
        """What writing the graph and answering what a fold holds out would take."""
        some = [example.input for example in dataset.examples[:: max(1, len(dataset) // _PROBE_ANSWERS)]]
        started = time.perf_counter()
        writer = self._writer(self._backbone.parts, plan, run)
        opened = time.perf_counter() - started
        started = time.perf_counter()
        writer.answers(some)
        each = (time.perf_counter() - started) / len(some)
        # Together they are written faster than the few that were timed.
        return opened + 0.7 * each * min(_MOST_ANSWERED, 0.2 * len(dataset))

    def _writing(self, plan: AsItIsPlan) -> Writing:
        parts = self._backbone.parts
        return Writing(parts.chat, parts.ends, plan.max_new_tokens, parts.max_tokens)

    def _writer(self, parts: CausalParts, plan: AsItIsPlan, run: RunContext, graph: bytes | None = None) -> Writer:
        made = graph or parts.graph(plan.bits)
        return Writer(made, parts.tokenizer_json, self._writing(plan), threads=run.threads)

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Answer what is held out; nothing is learnt but how long replies are."""
        plan = AsItIsPlan(**settings)
        answers: list[Generated | None] = [None] * len(dataset)
        chosen = [held_out(split.valid) for split in resampling.splits]
        with run.progress.step(f"Replies of {self.name}", total=sum(map(len, chosen))) as step:

            def replied() -> list[list[Any]]:
                graph = self._backbone.parts.graph(plan.bits)
                rows: list[list[Any]] = []
                for split, places in zip(resampling.splits, chosen, strict=True):
                    own = self._on_fold(dataset, split.train, plan)
                    writer = self._writer(self._backbone.parts, own, run, graph)
                    rows += _as_rows(writer.answers([dataset.examples[i].input for i in places], step=step))
                return rows

            found = run.journal.once(f"{self.name}/answers", replied)
        for i, row in zip(np.concatenate(chosen), found, strict=True):
            answers[i] = Generated(*row)
        return (StructuredTrial(dict(settings), tuple(answers)),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Write the graph."""
        del dataset
        started = time.perf_counter()
        return self._fitted(self._backbone.parts, AsItIsPlan(**settings), {}, started, run)

    def _fitted(
        self, parts: CausalParts, plan: AsItIsPlan, more: Mapping[str, bytes], started: float, run: RunContext
    ) -> Fitted:
        info, graph = self._backbone.info, parts.graph(plan.bits)
        config = {name: value for name, value in parts.weights.config.items() if name != "_name_or_path"}
        return Fitted(
            graphs={_GRAPH: graph},
            contracts=(_contract(parts),),
            assets={
                "tokenizer.json": parts.tokenizer_json,
                SETTINGS_FILE: self._writing(plan).to_json(),
                **more,
            },
            backbone={
                "name": info.name,
                "licence": info.licence,
                "package": info.package,
                "languages": list(info.languages),
                "config": config,
                "special": dict(parts.special),
                "chat_template": parts.template,
                "bits": plan.bits,
            },
            reference=self._writer(parts, plan, run, graph).answers,
            seconds=time.perf_counter() - started,
        )


class LoraReplies(AsItIs):
    """The model with adapters learnt on the replies."""

    method = "lora"
    _setup_seconds = 0.0

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """As many epochs as the time allows: a few steps are timed.

        Raises:
            TuningError: there is no time for even a few steps, or no example is short enough.
        """
        import torch

        # Importing Lightning takes seconds; they are not to be counted to the first fold.
        from fewtune.tune import loop

        del loop
        torch.set_num_threads(run.threads)
        given, base = self._settings, self._as_it_is(dataset)
        plan = LoraPlan(
            **asdict(base),
            epochs=float(given.get("epochs", _MOST_EPOCHS)),
            learning_rate=float(given.get("learning_rate", 5e-4)),
            batch_size=max(1, int(given.get("batch_size", 8))),
            rank=max(1, int(given.get("rank", 8))),
            warmup=float(given.get("warmup", 0.1)),
            weight_decay=float(given.get("weight_decay", 0.0)),
            pace=str(given.get("pace", "")),
        )
        chosen = self._short_enough(encoded(self._backbone.parts, dataset.examples), np.arange(len(dataset)), plan)
        per_epoch = math.ceil(len(chosen) / plan.batch_size)
        step = _LOOP_OVERHEAD * self._step_seconds(dataset, chosen, plan)
        after = self._answering(dataset, base, run)
        once = self._setup_seconds + after
        affordable = int((_IN_HAND * seconds - once) / step)
        if affordable < min(_FEWEST_STEPS, per_epoch) and "epochs" not in given:
            needed = (once + min(_FEWEST_STEPS, per_epoch) * step) / _IN_HAND
            raise TuningError(f"{seconds:.0f} s are too short: it needs {needed:.0f} s")
        if "epochs" not in given:
            plan = replace(plan, epochs=round(min(plan.epochs, affordable / per_epoch), 3))
        return Plan(asdict(plan), once + plan.epochs * per_epoch * step, after)

    @cached_property
    def _torch_model(self) -> PreTrainedModel:
        from fewtune.tune.reply_objective import torch_model

        started = time.perf_counter()
        model = torch_model(self._backbone.parts.weights)
        self._setup_seconds = time.perf_counter() - started
        return model

    def _short_enough(self, tokens: Sequence[Tokens], chosen: IntArray, plan: LoraPlan) -> IntArray:
        short = np.array([i for i in chosen if len(tokens[i]) <= plan.max_tokens], np.int64)
        if not len(short):
            raise TuningError(f"all examples have more than {plan.max_tokens} tokens; raise --set max_tokens")
        return short

    def _step_seconds(self, dataset: Dataset, chosen: IntArray, plan: LoraPlan) -> float:
        """The median time of a few steps, on examples of usual length."""
        import torch

        from fewtune.tune.reply_objective import adapted, reply_loss

        tokens = encoded(self._backbone.parts, dataset.examples)
        by_length = sorted(chosen.tolist(), key=lambda i: len(tokens[i]))
        spread = [by_length[int(share * (len(by_length) - 1))] for share in np.linspace(0.3, 0.8, plan.batch_size)]
        seconds = []
        with adapted(self._torch_model, plan.rank, self.model) as tuned:
            learnt = [some for some in tuned.parameters() if some.requires_grad]
            optimizer = torch.optim.AdamW(learnt, 0.0, fused=True)
            for _ in range(_PROBE_STEPS + 1):
                started = time.perf_counter()
                reply_loss(tuned.base_model.model, [tokens[i] for i in spread]).backward()
                optimizer.step()
                optimizer.zero_grad()
                seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Train on every fold as planned, and answer what it holds out as the bundle would.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too.
        """
        plan = LoraPlan(**settings)
        answers: list[Generated | None] = [None] * len(dataset)
        with run.progress.step(f"Folds of {self.name}", total=len(resampling.splits)) as step:
            for number, split in enumerate(resampling.splits):
                unit, valid = f"{self._key(plan)}/fold {number}", held_out(split.valid)
                waiting = len(resampling.splits) - number
                found = run.journal.once(
                    f"{unit}/answers",
                    lambda unit=unit, train=split.train, valid=valid, waiting=waiting: self._answered(
                        dataset, train, valid, plan, unit, with_part(run, unit, waiting), step
                    ),
                )
                for i, row in zip(valid, found, strict=True):
                    answers[i] = Generated(*row)
        return (StructuredTrial(dict(settings), tuple(answers)),)

    def _answered(
        self,
        dataset: Dataset,
        train: IntArray,
        valid: IntArray,
        plan: LoraPlan,
        unit: str,
        run: RunContext,
        step: Step,
    ) -> list[list[Any]]:
        adapter, _ = self._train(dataset, train, plan, unit, run, step)
        parts = replace(self._backbone.parts, weights=adapter.merged(self._backbone.parts.weights))
        own = self._on_fold(dataset, train, plan)
        return _as_rows(self._writer(parts, own, run).answers([dataset.examples[i].input for i in valid]))

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Train on everything, add what was learnt to the weights, and write the graph.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too.
        """
        from safetensors.numpy import save

        started = time.perf_counter()
        plan = LoraPlan(**settings)
        with run.progress.step(f"Tune {self.name} on everything", total=1) as step:
            everything = np.arange(len(dataset))
            adapter, course = self._train(dataset, everything, plan, f"{self._key(plan)}/final", run, step)
        parts = replace(self._backbone.parts, weights=adapter.merged(self._backbone.parts.weights))
        more = {_ADAPTER: save(dict(adapter.tensors), metadata={"format": "pt"}), _ADAPTER_CONFIG: adapter.config}
        return replace(self._fitted(parts, plan, more, started, run), settings={"pace": str(course)})

    def _key(self, plan: LoraPlan) -> str:
        """What the journal knows this training by, whatever the clock does to it: its randomness comes from that."""
        return f"{self.name} {json.dumps(asdict(replace(plan, pace='')), sort_keys=True)}"

    def _train(
        self, dataset: Dataset, chosen: IntArray, plan: LoraPlan, unit: str, run: RunContext, step: Step
    ) -> tuple[Adapter, Course]:
        """Train; once more at a lower learning rate where the loss diverges."""
        from fewtune.tune.loop import DivergedError

        error: DivergedError | None = None
        for attempt, share in zip(attempts(unit), (1.0, _SLOWER), strict=True):
            slower = replace(plan, learning_rate=share * plan.learning_rate)
            try:
                return self._attempt(dataset, chosen, slower, attempt, run, step)
            except DivergedError as diverged:
                error = diverged
                run.progress.say(f"{self.name}: {diverged}, at a learning rate of {slower.learning_rate:.2g}")
        raise TuningError(f"{error}, at a lower learning rate too")

    def _attempt(
        self, dataset: Dataset, chosen: IntArray, plan: LoraPlan, unit: str, run: RunContext, step: Step
    ) -> tuple[Adapter, Course]:
        import torch

        from fewtune.tune.loop import Schedule, train
        from fewtune.tune.reply_objective import ReplyObjective, adapted, adapter_of

        torch.set_num_threads(run.threads)
        tokens = encoded(self._backbone.parts, dataset.examples)
        short = self._short_enough(tokens, chosen, plan)
        lengths = np.array([len(tokens[i]) for i in short], np.int64)
        batches = OfLikeLength(lengths, plan.batch_size, lambda epoch: run.generator(unit, "epoch", epoch))
        steps = batches.steps(plan.epochs)
        # Epochs that were asked for are all taken; of those that the time given decided, the clock may leave fewer.
        course = Course(steps, turns_of(plan.pace, steps), None if "epochs" in self._settings else Deadline(run, unit))
        model = self._torch_model
        torch.manual_seed(run.seed_of(unit, "start"))
        with adapted(model, plan.rank, self.model) as tuned:
            train(
                ReplyObjective(tuned, tokens, short.tolist(), batches),
                Schedule(steps, plan.learning_rate, plan.warmup, plan.weight_decay),
                seed_of=lambda number: run.seed_of(unit, "step", number),
                course=course,
                checkpoint=run.journal.checkpoint(unit),
                step=_Share(step, steps),
            )
            return adapter_of(tuned), course


class OfLikeLength(Batches):
    """Every example once an epoch, in random order, beside others of about its length: little is padded.

    `targets` are the lengths.
    """

    def _length(self) -> int:
        return len(self._targets)

    def _deal(self, generator: np.random.Generator) -> IntArray:
        order = generator.permutation(len(self._targets))
        windows = np.array_split(order, max(1, round(len(order) / (_WINDOW * self._size))))
        batches = [
            batch
            for window in windows
            for batch in np.array_split(
                window[np.argsort(self._targets[window], kind="stable")], math.ceil(len(window) / self._size)
            )
        ]
        return np.concatenate([batches[i] for i in generator.permutation(len(batches))])


class AsItIsTuner(StructuredTuner):
    """Offers each model as it is."""

    name = "none"
    tasks = ("text-generation",)
    settings = _COMMON
    needs: ClassVar[tuple[str, ...]] = ()
    candidate: ClassVar[type[AsItIs]] = AsItIs

    def __init__(self, models: Sequence[CausalLM]) -> None:
        """Choose among these models."""
        self._models = models

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """One rung for each model that is installed; the others with the reason why not.

        Raises:
            MissingExtraError: this very method was asked for, and what it needs is not installed.
        """
        del dataset
        if any(find_spec(package) is None for package in self.needs):
            if recipe.method == self.name:
                raise MissingExtraError("train", needed_for=f"The method {self.name}", where="--method")
            return [], [LeftOut(self.name, 'it is not installed: pip install "fewtune[train]"')]
        ready = [model for model in self._models if model.info.installed]
        missing = [model.info for model in self._models if not model.info.installed]
        left_out = [
            LeftOut(f"{self.name}:{info.name}", f"it is not installed: pip install {info.package}") for info in missing
        ]
        settings = {name: value for name, value in recipe.settings.items() if name in self.settings}
        return [self.candidate(model, settings) for model in ready], left_out


class LoraRepliesTuner(AsItIsTuner):
    """Offers LoRA on each model."""

    name = "lora"
    settings = {**_COMMON, **_LORA}
    needs = ("torch", "transformers", "lightning", "peft")
    candidate = LoraReplies


class _Share:
    """A part of a step that counts as one of it, in so many steps of its own."""

    def __init__(self, step: Step, total: int) -> None:
        self._step = step
        self._total = total

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more of the total is done."""
        self._step.advance(amount / self._total)


def held_out(valid: IntArray) -> IntArray:
    """Those of a fold's held-out examples that are answered: all, or as many as are, evenly from all of them."""
    if len(valid) <= _MOST_ANSWERED:
        return valid
    return valid[np.linspace(0, len(valid) - 1, _MOST_ANSWERED).round().astype(np.int64)]


def _as_rows(answers: Sequence[Generated]) -> list[list[Any]]:
    return [[answer.text, answer.log_prob, answer.tokens] for answer in answers]


def _contract(parts: CausalParts) -> Graph:
    weights = parts.weights
    cache = f"float32 [batch, {weights.kv_heads}, past, {weights.head_width}]: what earlier tokens left"
    return Graph(
        role="decoder",
        file=_GRAPH,
        inputs={
            "input_ids": "int64 [batch, tokens]: padding stands on the left",
            "attention_mask": "int64 [batch, past + tokens]: 0 for padding",
            "wanted": "int64 [positions]: of which tokens the next one is asked for",
            f"past.0 to {weights.layers - 1}.key, .value": cache,
        },
        outputs={
            "logits": "float32 [batch, positions, words]",
            "hidden": f"float32 [batch, tokens, {weights.config['hidden_size']}]",
            f"present.0 to {weights.layers - 1}.key, .value": "the same with the new tokens",
        },
    )
