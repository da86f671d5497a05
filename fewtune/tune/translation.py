"""Translators: the untouched model, and biases, thin matrices or all of its parameters tuned.

What the model knew is kept by rehearsal (Robins 1995): beside the pairs it learns its own translations of general
text, made before it is tuned. Too high a rate or smoothed labels would lose far more than the domain's words gain.
What is delivered lies between the untouched weights and the tuned ones (WiSE-FT, Wortsman et al. 2022,
arXiv:2109.01903): most of the gain comes early on the way, most of what is forgotten late.
"""

from __future__ import annotations

import statistics
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from fewtune.backbones.translator import TranslationModel, TranslatorParts
from fewtune.data.glossary import Glossary
from fewtune.data.protection import NO_TERMS
from fewtune.errors import InternalError, RecipeError
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
from fewtune.runtime.decoding import decode
from fewtune.runtime.greedy import Source
from fewtune.runtime.seq2seq_graph import Seq2SeqGraph
from fewtune.runtime.subwords import Marks, Subwords
from fewtune.runtime.translation import (
    SETTINGS_FILE,
    SHORTLIST_FILE,
    TARGET_TOKENIZER_FILE,
    Translator,
    settings_of,
)
from fewtune.tune.general_text import general_texts
from fewtune.tune.pace import PACE_HELP, Course, Deadline, turns_of, with_part
from fewtune.tune.translation_data import Pair, TranslationBatches, encoded, prepared
from fewtune.types import Dataset, Example, LeftOut, Resampling

if TYPE_CHECKING:
    from fewtune.backbones.translation_network import TranslationNetwork
    from fewtune.tune.translation_objective import TranslationObjective

_PROBE_STEPS = 3
_PROBE_TEXTS = 24
_LOOP_OVERHEAD = 1.1
# Opening the libraries and the model, and writing the graphs.
_FIXED_SECONDS = 12.0
_IN_HAND = 0.9
_FEWEST_EPOCHS = 0.5
_COMPARED = 4

PROTECT = "1: code, tags, placeholders, addresses and what the vocabulary lacks are kept as they are; 0: translated"
SETTINGS = {
    "epochs": "how often each pair is seen",
    "learning_rate": "the highest, after warming up",
    "tokens": "of both sides that a step learns from",
    "rehearsal": "sentences of the model's own for each pair: what keeps it from forgetting",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "mix": "share of the tuned weights in what is delivered, the rest is the untouched model's: less forgets less",
    "protect": PROTECT,
    "pace": PACE_HELP,
}
_DEFAULTS = {
    "learning_rate": 1e-4,
    "tokens": 3000,
    "rehearsal": 1.0,
    "warmup": 0.1,
    "weight_decay": 0.0,
    "mix": 0.4,
    "protect": 1,
    "pace": "",
}
_EPOCHS = 4.0
# From this size on the methods that learn little of a model are tried by themselves.
_LARGE_MILLIONS = 100


# Texts with their translations to those that can be learnt from.
Prepare = Callable[[Sequence[tuple[str, str]]], list[Pair]]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A model with its vocabularies, as it is used; and how the clock changed its training, if it was trained."""

    parts: TranslatorParts
    subwords: Subwords
    marks: Marks
    glossary: Glossary
    pace: str = ""

    def translator(self, threads: int) -> Translator:
        return Translator(self.parts.graph(threads=threads), self.subwords, self.parts.words(self.marks), self.glossary)

    def prepared(self, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
        """Those of the pairs that can be learnt from."""
        return prepared(pairs, self.subwords, self.glossary)


class TranslationCandidate(StructuredCandidate):
    """One way to have a translator of one model."""

    def __init__(
        self,
        model: TranslationModel,
        settings: Mapping[str, Any],
        languages: tuple[str, str],
        glossary: Glossary = NO_TERMS,
    ) -> None:
        """Translate with `model`, with those of the hyper-parameters that `settings` fixes; hold to the glossary."""
        self._model, self._settings, self._languages = model, dict(settings), languages
        self._glossary = glossary
        self.model = model.info.name
        self.name = f"{self.method}:{self.model}"

    @abstractmethod
    def tuned(
        self, examples: Sequence[Example], settings: Mapping[str, Any], unit: str, run: RunContext, step: Step
    ) -> _Opened:
        """The model after learning from these examples."""

    def _opened(self, settings: Mapping[str, Any]) -> _Opened:
        parts = self._model.parts.directed(self._languages)
        marks = parts.marks() if settings["protect"] else Marks()
        return _Opened(parts, parts.subwords(marks), marks, self._glossary)

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        """Learn from each fold's training part, and translate the rest."""
        answers: list[str | None] = [None] * len(dataset)
        with run.progress.step(f"Folds of {self.name}", total=len(resampling.splits)) as step:
            for number, split in enumerate(resampling.splits):
                unit = f"{self.name}/fold {number}"
                sources = [dataset.examples[i].input for i in split.valid]

                waiting = len(resampling.splits) - number

                def translated(
                    train: Any = split.train, unit: str = unit, sources: list[str] = sources, waiting: int = waiting
                ) -> list[str]:
                    examples = [dataset.examples[i] for i in train]
                    tuned = self.tuned(examples, settings, unit, with_part(run, unit, waiting), _Part(step, 0.9))
                    return tuned.translator(run.threads).translate(sources)

                for i, answer in zip(split.valid, run.journal.once(f"{unit} answers", translated), strict=True):
                    answers[i] = answer
        return (StructuredTrial(settings, tuple(answers)),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Learn from everything, and write the two graphs."""
        started = time.perf_counter()
        with run.progress.step(f"Tune {self.name} on everything", total=1) as step:
            tuned = self.tuned(dataset.examples, settings, f"{self.name}/final", run, step)
        return self._fitted(tuned, run, started)

    def _fitted(self, tuned: _Opened, run: RunContext, started: float) -> Fitted:
        parts, info = tuned.parts, self._model.info
        graphs: dict[str, bytes] = dict(zip(("encoder.onnx", "decoder.onnx"), parts.graphs(), strict=True))
        network = Seq2SeqGraph(graphs["encoder.onnx"], graphs["decoder.onnx"], threads=run.threads)
        words = parts.words(tuned.marks)
        translator = Translator(network, tuned.subwords, words, tuned.glossary)
        source, target = parts.tokenizers(tuned.marks)
        shared = source == target
        about = settings_of(self._languages, tuned.subwords, words, tuned.glossary)
        assets = {"tokenizer.json": source, SETTINGS_FILE: about.to_json(), **parts.assets()}
        if not shared:
            assets[TARGET_TOKENIZER_FILE] = target
        if parts.shortlist is not None:
            assets[SHORTLIST_FILE] = parts.shortlist.to_bytes()
        return Fitted(
            graphs=graphs,
            contracts=parts.contracts("tokenizer.json" if shared else TARGET_TOKENIZER_FILE),
            assets=assets,
            backbone={
                "name": info.name,
                "licence": info.licence,
                "summary": info.summary,
                "languages": list(self._languages),
                "parameters_millions": info.parameters_millions,
                **parts.about(),
            },
            reference=translator.translate,
            seconds=time.perf_counter() - started,
            settings={"pace": tuned.pace} if tuned.pace else {},
        )


class UntouchedCandidate(TranslationCandidate):
    """The model as it came; with `protect`, and with a glossary, what it must not change is kept."""

    method = "none"

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """How long it takes to translate everything."""
        del seconds
        # What may be delivered holds to the glossary.
        settings = {"protect": int(self._settings.get("protect", bool(self._glossary)))}
        each = _seconds_a_text(self._opened(settings), dataset, run)
        return Plan(settings, 1.0 + 0.2 * len(dataset) * each)

    def tuned(
        self, examples: Sequence[Example], settings: Mapping[str, Any], unit: str, run: RunContext, step: Step
    ) -> _Opened:
        """The model as it is."""
        del examples, unit, run
        step.advance()
        return self._opened(settings)


class FullCandidate(TranslationCandidate):
    """All parameters, by AdamW, with rehearsal."""

    method = "full"
    defaults: ClassVar[Mapping[str, Any]] = _DEFAULTS

    def network(self, parts: TranslatorParts, settings: Mapping[str, Any]) -> TranslationNetwork:
        """The network, with what is learnt of it."""
        del settings
        return parts.network()

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        """As many epochs as are usual, or as fit: a few steps are timed.

        Raises:
            TuningError: not even half an epoch fits.
            RecipeError: more than the tuned weights is asked for.
        """
        settings = {**self.defaults, **self._settings}
        if settings["mix"] > 1:
            raise RecipeError(f"mix cannot be {settings['mix']}.", where="--set", how="It is a share, at most 1.")
        opened = self._opened(settings)
        pairs = opened.prepared([(example.input, example.target) for example in dataset])
        if not pairs:
            raise TuningError("no pair is short enough to learn from")
        added, making = self.foreseen(opened.prepared, run)
        pairs += added
        each = _seconds_a_text(opened, dataset, run)
        rehearsed = settings["rehearsal"] * len(pairs) * each + making
        epoch = (1 + settings["rehearsal"]) * self._seconds_an_epoch(opened, pairs, settings, run)
        after = _FIXED_SECONDS + 0.2 * len(dataset) * each
        other = rehearsed + after
        wanted = float(settings.get("epochs", _EPOCHS))
        room = (_IN_HAND * seconds - other) / (_LOOP_OVERHEAD * epoch)
        if "epochs" not in self._settings and room < _FEWEST_EPOCHS:
            needed = (other + _FEWEST_EPOCHS * _LOOP_OVERHEAD * epoch) / _IN_HAND
            raise TuningError(
                f"half an epoch would take about {needed:.0f} s, and {max(0, seconds):.0f} s are its share"
            )
        settings["epochs"] = wanted if "epochs" in self._settings else round(min(wanted, room), 2)
        return Plan(settings, other + settings["epochs"] * _LOOP_OVERHEAD * epoch, after)

    def tuned(
        self, examples: Sequence[Example], settings: Mapping[str, Any], unit: str, run: RunContext, step: Step
    ) -> _Opened:
        """The model after learning from these examples, and from its own translations of general text.

        Raises:
            TuningError: the loss diverged, or there is nothing to learn from.
        """
        import torch

        from fewtune.tune.loop import DivergedError, Schedule, train
        from fewtune.tune.translation_objective import TranslationObjective

        torch.set_num_threads(run.threads)
        opened = self._opened(settings)
        pairs = opened.prepared([(example.input, example.target) for example in examples])
        if not pairs:
            raise TuningError("no pair is short enough to learn from")
        pairs += self.added(opened.prepared, run)
        rehearsed = self._rehearsed(opened, round(float(settings["rehearsal"]) * len(pairs)), run)
        batches = TranslationBatches(
            [*pairs, *rehearsed],
            opened.subwords,
            opened.parts.words(opened.marks),
            int(settings["tokens"]),
            lambda epoch: run.generator(unit, "epoch", epoch),
        )
        torch.manual_seed(run.seed_of(unit, "start"))
        objective = TranslationObjective(self.network(opened.parts, settings), batches)
        schedule = Schedule(
            batches.steps(float(settings["epochs"])),
            float(settings["learning_rate"]),
            float(settings["warmup"]),
            float(settings["weight_decay"]),
        )
        # Epochs that were asked for are all taken; of those that the time given decided, the clock may leave fewer.
        deadline = None if "epochs" in self._settings else Deadline(run, unit)
        course = Course(schedule.steps, turns_of(str(settings.get("pace", "")), schedule.steps), deadline)
        try:
            train(
                objective,
                schedule,
                seed_of=lambda number: run.seed_of(unit, "step", number),
                course=course,
                checkpoint=run.journal.checkpoint(unit),
                step=_Part(step, 1 / schedule.steps),
            )
        except DivergedError as error:
            raise TuningError(f"{error}: try a lower --set learning_rate") from None
        objective.network.keep_tuned(float(settings["mix"]))
        return replace(_after(opened, objective, pairs), pace=str(course))

    def added(self, prepared: Prepare, run: RunContext) -> list[Pair]:
        """Pairs to learn from beside those of the data; here none."""
        del prepared, run
        return []

    def foreseen(self, prepared: Prepare, run: RunContext) -> tuple[list[Pair], float]:
        """Pairs that stand for those that `added` will give, and what making these will take, in seconds."""
        del prepared, run
        return [], 0.0

    def _seconds_an_epoch(
        self, opened: _Opened, pairs: Sequence[Pair], settings: Mapping[str, Any], run: RunContext
    ) -> float:
        """What learning from every pair once takes: a few steps are tried."""
        import torch

        from fewtune.tune.translation_objective import TranslationObjective

        torch.set_num_threads(run.threads)
        words, tokens = opened.parts.words(opened.marks), int(settings["tokens"])
        batches = TranslationBatches(pairs, opened.subwords, words, tokens, lambda epoch: run.generator("probe", epoch))
        objective = TranslationObjective(self.network(opened.parts, settings), batches)
        learnt = [some for some in objective.parameters() if some.requires_grad]
        optimizer = torch.optim.AdamW(learnt, 0.0, fused=True)
        seconds = []
        steps = batches.steps(1)
        for number in range(min(_PROBE_STEPS, steps) + 1):
            started = time.perf_counter()
            optimizer.zero_grad()
            objective.loss(number % steps).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:]) * steps

    def _rehearsed(self, opened: _Opened, count: int, run: RunContext) -> list[Pair]:
        """General text with the untouched model's translations, in the form of pairs; made once a run."""
        if not count:
            return []

        def made() -> list[Pair]:
            texts = general_texts(opened.parts, self._languages[0], count, run.generator("general text"))
            return opened.prepared(list(zip(texts, opened.translator(run.threads).translate(texts), strict=True)))

        return run.memo.once(("rehearsal", self.model, count, len(opened.marks)), made)


class LoraTranslation(FullCandidate):
    """Thin matrices beside those of the layers (LoRA), with rehearsal."""

    method = "lora"
    defaults = {**_DEFAULTS, "learning_rate": 1e-3, "rank": 8}

    def network(self, parts: TranslatorParts, settings: Mapping[str, Any]) -> TranslationNetwork:
        """The network, with fresh thin matrices."""
        network = parts.network()
        network.add_low_rank(max(1, int(settings["rank"])))
        return network


class BiasesTranslation(FullCandidate):
    """Biases and norms alone (BitFit, Ben Zaken et al. 2022, arXiv:2106.10199), with rehearsal."""

    method = "biases"
    defaults = {**_DEFAULTS, "learning_rate": 1e-3}

    def network(self, parts: TranslatorParts, settings: Mapping[str, Any]) -> TranslationNetwork:
        """The network, with its matrices as they are."""
        del settings
        network = parts.network()
        network.learn_biases()
        return network


def _after(opened: _Opened, objective: TranslationObjective, pairs: Sequence[Pair]) -> _Opened:
    """The tuned model; words of the translations that its shortlist would not have offered always may be used."""
    words = opened.parts.words(opened.marks)
    missing: set[int] = set()
    for pair in pairs:
        source, target = encoded(pair, opened.subwords, range(pair.marks))
        missing |= set(target) - set(words.of(Source(tuple(source))).tolist())
    parts = opened.parts.tuned(objective.network.tensors(), missing - set(words.never.tolist()))
    tuned = replace(opened, parts=parts)
    _check_same(tuned, objective.network, pairs)
    return tuned


def _check_same(tuned: _Opened, network: TranslationNetwork, pairs: Sequence[Pair]) -> None:
    """The graphs must translate as the network does."""
    # Among beams two of nearly the same score may change places.
    words = replace(tuned.parts.words(tuned.marks), beams=1)
    sources = [tuned.subwords.encode_source(pair.source) for pair in pairs[:_COMPARED]]
    if decode(tuned.parts.graph(threads=1), sources, words) != decode(network.steps(), sources, words):
        raise InternalError("The written graphs translate otherwise than the tuned network.")


def _seconds_a_text(opened: _Opened, dataset: Dataset, run: RunContext) -> float:
    """What translating one of the data's texts takes."""
    step = max(1, len(dataset) // _PROBE_TEXTS)
    texts = [example.input for example in dataset.examples[::step]]
    translator = opened.translator(run.threads)
    translator.translate(texts[:2])
    started = time.perf_counter()
    translator.translate(texts)
    return (time.perf_counter() - started) / len(texts)


class _Part:
    """A step that is a part of another one."""

    def __init__(self, step: Step, share: float) -> None:
        self._step, self._share = step, share

    def advance(self, amount: float = 1) -> None:
        self._step.advance(amount * self._share)


class _TranslationTuner(StructuredTuner):
    """Offers a candidate for each model of the data's languages."""

    tasks = ("translation",)
    candidate: ClassVar[type[TranslationCandidate]]

    def __init__(self, models: Sequence[TranslationModel]) -> None:
        """Tune these models."""
        self._models = models

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """A rung for each model that goes from the data's language to the other.

        Raises:
            RecipeError: there is no model of these languages, or a glossary is given and nothing is protected.
        """
        if dataset.glossary and recipe.settings.get("protect") == 0:
            raise RecipeError(
                "With protect=0 translations cannot hold to a glossary.", where="--set", how="Leave one of them out."
            )
        fitting = [model for model in self._models if _fits(model.pair, dataset.languages)]
        if not fitting:
            raise _no_model(dataset, self._models)
        found: list[StructuredCandidate] = []
        left_out: list[LeftOut] = []
        for model in fitting:
            missing = self._missing(model)
            if missing:
                left_out.append(LeftOut(f"{self.name}:{model.info.name}", missing))
            else:
                known = [one or other for one, other in zip(model.pair, dataset.languages, strict=True)]
                own = {name: value for name, value in recipe.settings.items() if name in self.settings}
                found.append(self.candidate(model, own, (known[0], known[1]), Glossary(dataset.glossary)))
        return found, left_out

    def _missing(self, model: TranslationModel) -> str:
        """What has to be installed first."""
        return "" if model.info.installed else f'it is not installed: pip install "fewtune[{model.info.extra}]"'


class UntouchedTuner(_TranslationTuner):
    """The model as it came."""

    name = "none"
    settings = {"protect": PROTECT}
    candidate = UntouchedCandidate


class TranslationFullTuner(_TranslationTuner):
    """All of the model's parameters."""

    name = "full"
    settings = SETTINGS
    candidate = FullCandidate

    def _missing(self, model: TranslationModel) -> str:
        if any(find_spec(package) is None for package in ("torch", "lightning", "peft")):
            return 'it is not installed: pip install "fewtune[train]"'
        return super()._missing(model)


class _LighterTuner(TranslationFullTuner):
    """Learns little of a model: by itself it is tried where the model is large."""

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """As ever; of small models none, unless it is asked for."""
        found, left_out = super().candidates(dataset, recipe)
        if recipe.method != "auto":
            return found, left_out
        small = {model.info.name for model in self._models if model.info.parameters_millions < _LARGE_MILLIONS}
        why = f"of a model of less than {_LARGE_MILLIONS} million parameters all of them are tuned in the same time"
        left_out += [LeftOut(some.name, why) for some in found if some.model in small]
        return [some for some in found if some.model not in small], left_out


class TranslationLoraTuner(_LighterTuner):
    """LoRA."""

    name = "lora"
    settings = {**SETTINGS, "rank": "of the thin matrices"}
    candidate = LoraTranslation


class TranslationBiasesTuner(_LighterTuner):
    """Biases and norms."""

    name = "biases"
    candidate = BiasesTranslation


def _fits(pair: tuple[str, str], languages: Sequence[str]) -> bool:
    return all(not one or not other or one == other for one, other in zip(pair, languages, strict=True))


def _no_model(dataset: Dataset, models: Sequence[TranslationModel]) -> RecipeError:
    source, target = (language or "?" for language in dataset.languages)
    known = ", ".join(f"{model.info.name} ({' to '.join(model.pair)})" for model in models)
    return RecipeError(
        f"There is no model from {source} to {target}.",
        where="--model",
        how=f"There are: {known}. Give the folder of a Marian student of these languages, or name the columns the "
        "other way round with --text and --label.",
    )
