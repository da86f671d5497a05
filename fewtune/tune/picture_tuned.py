"""Head first, then the stages above a cut; below it every view of every picture is computed once.

`partial` tunes the top of the network on maps from the trunk cache, `full` all of it on pixels. Both
begin with a head that is fitted to the frozen features (Kumar et al. 2022, arXiv:2202.10054, LP-FT).
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fewtune.augment.picture_policy import PICTURE_AUGMENT_HELP, PicturePolicies, PicturePolicy
from fewtune.backbones.vision import VisionBackbone
from fewtune.errors import InternalError
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner, TuningError
from fewtune.progress import Step
from fewtune.recipe import Recipe
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.tune.batches import Shuffled
from fewtune.tune.encoder import TEMPERATURE_HELP
from fewtune.tune.linear_head import LinearHead, class_indices, fit_feature_heads
from fewtune.tune.picture_rung import encoding_seconds, fitted_network, usable_networks
from fewtune.tune.picture_store import PictureStore
from fewtune.tune.picture_views import VIEWS_HELP, PictureViews, kept_count
from fewtune.tune.tuned import attempts, unreachable
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling

if TYPE_CHECKING:
    from fewtune.tune.picture_layers import PictureBatches, PictureObjective

STOPS = (0.5, 1.0)
_START_STRENGTH = 10.0
_PROBE_STEPS = 2
_FIXED_SECONDS = 0.5
# What the loop adds to the steps.
_LOOP_OVERHEAD = 1.1
# A restart after the loss diverged goes at this share of the learning rate.
_SLOWER = 0.3

SETTINGS = {
    "stages": "how many stages are tuned, from the top; a stage ends where the pictures' scale changes",
    "augment": PICTURE_AUGMENT_HELP,
    "views": VIEWS_HELP,
    "epochs": "how often each picture is seen, every time in a view drawn at random",
    "learning_rate": "the highest, after warming up",
    "batch_size": "pictures a step",
    "warmup": "share of the steps in which the learning rate rises",
    "weight_decay": "of AdamW",
    "smoothing": "share of each label that is spread over all classes",
    "stop": "share of the steps after which training ends; the learning rate falls as if it went on",
    "temperature": TEMPERATURE_HELP,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The hyper-parameters of a training."""

    stages: int
    augment: str
    views: int
    epochs: float
    learning_rate: float
    batch_size: int
    warmup: float
    weight_decay: float
    smoothing: float


class PictureTunedCandidate(Candidate):
    """Stages above a cut of one network, tuned with a head.

    Attributes:
        everything: whether all stages are tuned, from the pixels on.
        learning_rate: the highest.
        gain: mean and deviation of the prior: the logarithm of the log loss, over the frozen network's.
    """

    everything: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 1e-3
    gain: ClassVar[tuple[float, float]]

    def __init__(self, network: VisionBackbone, settings: Mapping[str, Any], policy: PicturePolicy) -> None:
        """Tune `network` on views that `policy` makes, with those of the hyper-parameters that `settings` fixes."""
        self._network = network
        self._settings = settings
        self._policy = policy
        self.model = network.info.name
        self.name = f"{self.method}:{self.model}"
        self.prior = Prior(f"head:{self.model}", *self.gain)

    def plan(self, dataset: Dataset) -> Plan:
        """The training's hyper-parameters for data of this size, but for what the settings fix."""
        given, count = self._settings, self._network.stages
        tuned = count if self.everything else min(count - 1, int(given.get("stages", 1)))
        return Plan(
            stages=tuned,
            augment=self._policy.full_name,
            views=1 if self.everything else kept_count(given, self._policy),
            epochs=float(given.get("epochs", _epochs(len(dataset)))),
            learning_rate=float(given.get("learning_rate", self.learning_rate)),
            batch_size=max(2, int(given.get("batch_size", 32))),
            warmup=float(given.get("warmup", 0.1)),
            weight_decay=float(given.get("weight_decay", 0.01)),
            smoothing=float(given.get("smoothing", 0.1)),
        )

    @property
    def _stops(self) -> tuple[float, ...]:
        return (float(self._settings["stop"]),) if "stop" in self._settings else STOPS

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a few pictures, take a few real steps, and scale both up."""
        # Importing Lightning takes seconds; they are not to be counted to the first fold.
        from fewtune.tune import loop

        del loop
        plan = self.plan(dataset)
        paths = [example.input for example in dataset]
        cut = self._network.stages - plan.stages
        once = encoding_seconds(self._network, paths, cut, run) * plan.views if cut else 0.0
        some = np.linspace(0, len(paths) - 1, min(len(paths), plan.batch_size)).round().astype(int)
        pictures = self._pictures([paths[i] for i in some], plan, run)
        forward, step = self._probe(pictures, plan, len(dataset.labels), run)
        steps = plan.epochs * len(paths) / plan.batch_size * max(self._stops)
        final = _FIXED_SECONDS + _LOOP_OVERHEAD * steps * step + 2 * forward * len(paths)
        looks = len(self._stops) * 0.2 * forward * len(paths)
        each = _FIXED_SECONDS + 0.8 * (_LOOP_OVERHEAD * steps * step + 2 * forward * len(paths)) + looks
        delivered = encoding_seconds(self._network, paths, None, run)
        return Cost(once=once, each=each, final=final + min(delivered, 32 * delivered / len(paths)) + 8.0)

    def _probe(self, pictures: PictureBatches, plan: Plan, classes: int, run: RunContext) -> tuple[float, float]:
        """Seconds of one picture forwards, and of one step."""
        import torch

        from fewtune.tune.picture_layers import PictureObjective, TunedStages

        torch.set_num_threads(run.threads)
        stages = TunedStages(self._network.network, self._network.stages - plan.stages)
        chosen = np.arange(len(pictures))
        pictures.features(stages, chosen[:2])
        started = time.perf_counter()
        width = pictures.features(stages, chosen).shape[1]
        forward = (time.perf_counter() - started) / len(chosen)
        head = LinearHead(np.zeros((width, classes)), np.zeros(classes))
        objective = PictureObjective(
            stages, pictures, chosen, chosen % classes, [chosen] * (_PROBE_STEPS + 1), start=head, smoothing=0.0
        )
        seconds = []
        for number in range(_PROBE_STEPS + 1):
            started = time.perf_counter()
            objective.loss(number).backward()
            seconds.append(time.perf_counter() - started)
        return forward, statistics.median(seconds[1:]) * plan.batch_size / len(chosen)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Train on every fold; a fold that the budget does not reach is left out.

        Raises:
            TuningError: the loss diverged, at a lower learning rate too, or not even one fold was reached.
        """
        plan, targets = self.plan(dataset), class_indices(dataset)
        pictures = self._pictures([example.input for example in dataset], plan, run)
        shape = (len(dataset), len(dataset.labels))
        log_probs = np.full((len(self._stops), resampling.repeats, *shape), np.nan, np.float32)
        per_repeat = math.ceil(len(resampling.splits) / resampling.repeats)
        seconds: list[float] = []
        with run.progress.step(f"Folds of {self.name}", total=len(resampling.splits)) as step:
            for number, split in enumerate(resampling.splits):
                unit = f"{self._key(plan)}/fold {number}"
                if not run.journal.once(f"{unit} is reached", lambda: _reached(seconds, run)):
                    break
                started = time.monotonic()

                def look(objective: PictureObjective, valid: IntArray = split.valid) -> FloatArray:
                    features = pictures.features(objective.stages, valid)
                    return objective.learnt_head().log_probs(features).astype(np.float32)

                answers = self._looks(plan, pictures, split.train, targets, shape[1], unit, run, step, look)
                log_probs[:, number // per_repeat, split.valid] = answers
                seconds.append(run.journal.once(f"{unit} took", lambda started=started: time.monotonic() - started))
        if np.isnan(log_probs).all():
            raise TuningError("the budget was spent before its first fold was done")
        return tuple(
            Trial({**asdict(plan), "stop": stop}, scored) for stop, scored in zip(self._stops, log_probs, strict=True)
        )

    def _looks(
        self,
        plan: Plan,
        pictures: PictureBatches,
        train: IntArray,
        targets: IntArray,
        classes: int,
        unit: str,
        run: RunContext,
        step: Step,
        look: Callable[[PictureObjective], FloatArray],
    ) -> FloatArray:
        """(stops, validated, classes) what is seen at each of the stops; from the journal where it is known."""

        def looked(attempt: str) -> list[str]:
            # What an attempt that diverged was seen to answer is not mixed with what the next one is.
            return [f"{attempt}/stop {stop}" for stop in self._stops]

        def at_stop(attempt: str, place: int, objective: PictureObjective) -> None:
            run.journal.array(looked(attempt)[place], lambda: look(objective))

        for attempt in attempts(unit):
            if all(run.journal.has_array(entry) for entry in looked(attempt)):
                step.advance()
                break
        else:
            _, attempt = self._train(plan, pictures, train, targets[train], classes, unit, run, step, at_stop)
        return np.stack([run.journal.array(entry, unreachable) for entry in looked(attempt)])

    def _train(
        self,
        plan: Plan,
        pictures: PictureBatches,
        train: IntArray,
        targets: IntArray,
        classes: int,
        unit: str,
        run: RunContext,
        step: Step,
        at_stop: Callable[[str, int, PictureObjective], None],
    ) -> tuple[PictureObjective, str]:
        """Train; once more at a lower learning rate where the loss diverges.

        Returns:
            What was trained, and the name of the attempt that it was.
        """
        from fewtune.tune.loop import DivergedError

        error: DivergedError | None = None
        for attempt, share in zip(attempts(unit), (1.0, _SLOWER), strict=True):
            rate = share * plan.learning_rate
            try:
                tuned = self._attempt(plan, rate, pictures, train, targets, classes, attempt, run, step, at_stop)
                return tuned, attempt
            except DivergedError as diverged:
                error = diverged
                run.progress.say(f"{self.name}: {diverged}, at a learning rate of {rate:.2g}")
        raise TuningError(f"{error}, at a lower learning rate too")

    def _attempt(
        self,
        plan: Plan,
        learning_rate: float,
        pictures: PictureBatches,
        train: IntArray,
        targets: IntArray,
        classes: int,
        unit: str,
        run: RunContext,
        step: Step,
        at_stop: Callable[[str, int, PictureObjective], None],
    ) -> PictureObjective:
        import torch

        from fewtune.tune.loop import DivergedError, Schedule
        from fewtune.tune.loop import train as minimise
        from fewtune.tune.picture_layers import PictureObjective, TunedStages

        torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed_of(unit, "start"))
        stages = TunedStages(self._network.network, self._network.stages - plan.stages)
        batches = Shuffled(targets, plan.batch_size, lambda epoch: run.generator(unit, "epoch", epoch))
        objective = PictureObjective(
            stages,
            pictures,
            train,
            targets,
            batches,
            start=_first_head(stages, pictures, train, targets, classes),
            smoothing=plan.smoothing,
        )
        steps = max(1, batches.steps(plan.epochs))
        schedule = Schedule(steps, learning_rate, plan.warmup, plan.weight_decay)
        at = [max(1, round(stop * steps)) for stop in self._stops]

        def look(number: int) -> None:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in objective.parameters()):
                raise DivergedError(f"the weights became infinite or not a number by step {number}")
            for place, stop in enumerate(at):
                if stop == number:
                    at_stop(unit, place, objective)

        minimise(
            objective,
            schedule,
            seed_of=lambda number: run.seed_of(unit, "step", number),
            stops=sorted(set(at)),
            at_stop=look,
            checkpoint=run.journal.checkpoint(unit),
            step=_Share(step, max(at)),
        )
        return objective

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Train on everything, and write network and head as one graph."""
        from fewtune.backbones.picture_network import export_onnx

        started = time.perf_counter()
        chosen = type(self)(self._network, settings, self._policy)
        plan, targets = chosen.plan(dataset), class_indices(dataset)
        paths = [example.input for example in dataset]
        everything = np.arange(len(paths))
        unit = f"{chosen._key(plan)}/final"
        with run.progress.step(f"Tune {self.name} on everything", total=1) as step:
            pictures = chosen._pictures(paths, plan, run)
            classes = len(dataset.labels)
            tuned, _ = chosen._train(
                plan, pictures, everything, targets, classes, unit, run, step, at_stop=lambda *_: None
            )
        network, head = tuned.stages.whole(), tuned.learnt_head().at(float(settings.get("temperature", 1.0)))
        preprocess = self._network.preprocess
        graph = export_onnx(network, preprocess.size_px, "features")
        session = PictureGraph(graph, preprocess, threads=run.threads)
        seconds = time.perf_counter() - started

        def reference(inputs: Sequence[Any]) -> FloatArray:
            return head.log_probs(session.run(inputs, "features"))

        _check_same(session, network, paths)
        return fitted_network(self._network, graph, head, reference, seconds)

    def _pictures(self, paths: Sequence[str], plan: Plan, run: RunContext) -> PictureBatches:
        from fewtune.tune.picture_layers import PictureBatches

        store, cut = PictureStore(self._network, run), self._network.stages - plan.stages
        if cut == 0:
            return PictureBatches(store.squares(paths), self._policy, self._network.preprocess)
        return PictureBatches(store.maps(paths, cut, PictureViews(self._policy, plan.views)), self._policy)

    def _key(self, plan: Plan) -> str:
        """What the journal knows this training by."""
        return f"{self.name} {json.dumps({**asdict(plan), 'stops': self._stops}, sort_keys=True)}"


class PicturePartialCandidate(PictureTunedCandidate):
    """One network's top stage."""

    method = "partial"
    gain = (-0.15, 0.4)


class PictureFullCandidate(PictureTunedCandidate):
    """All of one network."""

    method = "full"
    everything = True
    gain = (-0.15, 0.4)


class PicturePartialTuner(Tuner):
    """Offers tuning of the top stages."""

    name = "partial"
    tasks = ("image-classification",)
    settings = SETTINGS
    candidate: ClassVar[type[PictureTunedCandidate]] = PicturePartialCandidate

    def __init__(self, networks: Sequence[VisionBackbone], policies: PicturePolicies) -> None:
        """Choose among these networks and augmentations."""
        self._networks = networks
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed network; the others with the reason why not."""
        policy = self._policies.asked(recipe, dataset.task) or self._policies.preset(dataset.task)
        usable, left_out = usable_networks(self.name, self._networks, recipe)
        whole = [network for network in usable if not self.candidate.everything and network.stages == 1]
        left_out += [LeftOut(f"{self.name}:{n.info.name}", "it cannot be cut: it is tuned as a whole") for n in whole]
        offered = [network for network in usable if network not in whole]
        return [self.candidate(network, recipe.settings, policy) for network in offered], left_out


class PictureFullTuner(PicturePartialTuner):
    """Offers tuning of everything."""

    name = "full"
    settings = SETTINGS | {
        "stages": "all of them: written down, not chosen",
        "views": "1: every step draws its own, and none are kept",
    }
    candidate = PictureFullCandidate


class _Share:
    """Steps of a training as one unit of the progress over folds."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._total = step, total

    def advance(self, amount: float = 1) -> None:
        self._step.advance(amount / self._total)


def _epochs(examples: int) -> float:
    """Steps grow with the square root of the examples."""
    return min(30.0, 30.0 * math.sqrt(80 / examples))


def _reached(seconds: Sequence[float], run: RunContext) -> bool:
    """Whether one more fold, and a fit on everything, are left of the budget; the first one always is."""
    return not seconds or 2.5 * max(seconds[-2:]) < run.seconds_left


def _first_head(stages: Any, pictures: PictureBatches, train: IntArray, targets: IntArray, classes: int) -> LinearHead:
    """The head that training begins with: fitted to the pictures as they are, and in a view of each."""
    features = np.concatenate([pictures.features(stages, train, drawn=drawn) for drawn in (False, True)])
    (head,) = fit_feature_heads(features, np.tile(targets, 2), classes, [_START_STRENGTH / 2])
    return head


def _check_same(session: PictureGraph, network: Any, paths: Sequence[str]) -> None:
    """The written graph must compute what was tuned."""
    import torch

    some = [session.preprocess.square(path) for path in paths[:: max(1, len(paths) // 8)]]
    with torch.no_grad():
        theirs = network(torch.from_numpy(session.preprocess.pixels(some))).numpy()
    gap = np.abs(session.run_squares(some, "features") - theirs).max() / max(1e-6, float(np.abs(theirs).max()))
    if not gap <= 1e-4:
        raise InternalError(f"The written graph's features differ from the tuned network's by {gap:.2g} of their size.")
