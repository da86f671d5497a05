"""The path of `fewtune compress`: choose ways, make, measure both in one run, judge, deliver the better one.

`fit --compress` takes the same path with what it has just tuned, measured on its training data.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import check_free, check_work, output_errors, publish, write_contents, write_file
from fewtune.compress.footprint import QUICK, THOROUGH, Care, footprints, size_bytes
from fewtune.compress.material import Material, gather, of_training
from fewtune.compress.wording import describe
from fewtune.compress.yardstick import yardstick
from fewtune.errors import BundleError, DataError, OutputError, RecipeError, nearest
from fewtune.interfaces import Compressor, Content, ImpossibleError, RunContext, Task
from fewtune.journal import Journal
from fewtune.recipe import Recipe
from fewtune.runtime import Runtime, open_bundle, respond
from fewtune.runtime.answers import SCOPE_FILE
from fewtune.runtime.object_detection import SELECTION_FILE
from fewtune.runtime.translation import SETTINGS_FILE, SHORTLIST_FILE
from fewtune.types import AnswerRules, Compression, Dataset, Footprint, Trade

ORIGINAL = "original"
# What tells a folder of this work in progress from another's.
_MARK = "compressing"
# Times of two runs of the same thing differ by this much on a machine that does other work as well.
SAME_SPEED = 1.05
AUTO, NONE = "auto", "none"
# What `fit --compress auto` tries: it reads and answers what the original does.
_TRIED_BY_FIT = "int8"
# Training examples that a fit measures on at most; without a change among 300 the bound is one point.
_MEASURED_BY_FIT = 320
# What a fit foresees beside the answers: opening, calibrating, fresh processes.
_FIXED_SECONDS = 8.0
_FURTHER_ANSWERS = 300


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for.

    Attributes:
        to, prune, distill: names of compressors, with commas between them, "name:strength" where they have one.
        max_drop: the accuracy that may be lost, as a fraction.
        target_mb, target_ms: what the result must not exceed; None: anything smaller will do.
    """

    to: str = ""
    prune: str = ""
    distill: str = ""
    max_drop: float = 0.01
    target_mb: float | None = None
    target_ms: float | None = None

    @property
    def aimed(self) -> bool:
        """Whether something is to be reached."""
        return self.target_mb is not None or self.target_ms is not None


@dataclass(frozen=True, slots=True)
class _Way:
    """One compressor, with its strength."""

    compressor: Compressor
    strength: float | None

    @property
    def name(self) -> str:
        return self.compressor.name if self.strength is None else f"{self.compressor.name}:{self.strength:g}"


Plan = tuple[_Way, ...]
Private = Callable[[Manifest, Mapping[str, bytes], str], Mapping[str, bytes]]


@dataclass(frozen=True)
class _Opened:
    """A bundle under measurement."""

    folder: Path
    manifest: Manifest
    runtime: Runtime
    answers: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fit's compression came to.

    Attributes:
        content: of the smaller bundle; None where the original stays.
        compression: what was tried; None where nothing was.
        why: why nothing was tried; empty where something was, or where there is nothing to try.
    """

    content: Content | None = None
    compression: Compression | None = None
    why: str = ""


def compress_bundle(
    bundle: Path,
    out: Path,
    wishes: Wishes,
    task: Task,
    compressors: Mapping[str, Compressor],
    run: RunContext,
    *,
    data: Any = None,
    unlabelled: Any = None,
    recipe: Recipe | None = None,
    overwrite: bool = False,
    private: Private,
) -> Compression:
    """Write a smaller bundle that keeps its promise, or else the original once more.

    Args:
        bundle: what fit wrote.
        out: where the result goes.
        wishes: what is asked for.
        task: of the bundle.
        compressors: name to what can be done.
        run: threads, seed, progress; its folder is the work in progress, and is deleted in the end.
        data: examples to measure on, labelled or not; None: the bundle's own.
        unlabelled: inputs that may be learnt from beside the bundle's own; None: none.
        recipe: names of the data's columns.
        overwrite: replace a bundle that stands at `out`.
        private: makes the private files of the result from its manifest, the old ones and its name.

    Raises:
        BundleError: the bundle is missing, altered or compressed already.
        RecipeError: a wish is not known, cannot be fulfilled, or is out of reach; says what could be reached.
        DataError: there is nothing to measure on.
        OutputError: `out`, or the place of the work in progress, is taken or cannot be written to.
    """
    check_free(out, overwrite=overwrite)
    check_work(run.work, _MARK)
    if bundle.resolve() == out.resolve():
        raise OutputError("The result would take the place of the bundle.", where=str(out), how="Give another --out.")
    _check_wishes(wishes)
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    _check_fresh(bundle, manifest)
    content = _content(bundle, manifest)
    plans = _plans(content, wishes, compressors, bundle)
    material = gather(bundle, manifest, task, data, unlabelled, recipe or Recipe(), run)
    with output_errors(run.work):
        shutil.rmtree(run.work, ignore_errors=True)
        run.work.mkdir(parents=True)
        write_file(run.work / _MARK, b"")
        try:
            session = _Session(bundle, manifest, content, material, wishes, task, run)
            found = session.compression(plans)
            session.deliver(found, out, overwrite=overwrite, private=private)
        finally:
            shutil.rmtree(run.work, ignore_errors=True)
    return found


def compress_fitted(
    bundle: Path, asked: str, training: Dataset, task: Task, compressors: Mapping[str, Compressor], run: RunContext
) -> Outcome:
    """Make what a fit has just written smaller, where that keeps the promise.

    What is measured is whether answers to half of the training data stay the same: test data choose nothing.

    Args:
        bundle: what was written.
        asked: "auto", "none" or names of compressors, as `check_asked` takes them.
        training: what it learnt from.
        task: of the bundle.
        compressors: name to what can be done.
        run: the fit's; its journal keeps what the clock decided.
    """
    manifest = read_manifest(bundle)
    content = _content(bundle, manifest)
    plan = _plan_of_fit(content, asked, compressors)
    if not plan:
        return Outcome()
    obstacle = next((text for way in plan if (text := way.compressor.obstacle(content))), "")
    if obstacle:
        return Outcome(why="" if asked == AUTO else obstacle)
    try:
        material = of_training(training, task, run, most=_MEASURED_BY_FIT)
    except DataError as error:
        return Outcome(why=error.what)
    place = replace(run, work=run.work / "compress")
    # A recipe that names what was taken gives the same bundle again, whatever the clock says then.
    session = _Session(bundle, manifest, content, material, Wishes(), task, place, QUICK, by_clock=asked == AUTO)
    decided = run.journal.once("compression", lambda: _decide(session, plan, hurried=asked == AUTO))
    if "why" in decided:
        return Outcome(why=decided["why"])
    found = TypeAdapter(Compression).validate_json(json.dumps(decided), strict=True)
    return Outcome(session.content(plan) if found.kept else None, found)


def check_asked(asked: str, task: Task, compressors: Mapping[str, Compressor]) -> None:
    """Raise RecipeError where `fit --compress` names what is not known for the task."""
    serving = {name: some for name, some in compressors.items() if task.name in some.tasks}
    for text in _names(asked):
        _way(text, "", serving)


def usable(bundle: Path, compressors: Mapping[str, Compressor]) -> tuple[Compressor, ...]:
    """Those that can be used with a bundle; none where it was compressed already.

    Raises:
        BundleError: the bundle is missing or cannot be read.
    """
    manifest = read_manifest(bundle)
    if manifest.compression is not None and manifest.compression.kept:
        return ()
    content = _content(bundle, manifest)
    return tuple(some for some in compressors.values() if content.task in some.tasks and not some.obstacle(content))


def _plan_of_fit(content: Content, asked: str, compressors: Mapping[str, Compressor]) -> Plan:
    serving = {name: some for name, some in compressors.items() if content.task in some.tasks}
    if asked == AUTO:
        return (_Way(serving[_TRIED_BY_FIT], None),) if _TRIED_BY_FIT in serving else ()
    return tuple(_way(text, "", serving) for text in _names(asked))


def _names(asked: str) -> list[str]:
    return [] if asked in (AUTO, NONE) else [text.strip() for text in asked.split(",") if text.strip()]


def _decide(session: _Session, plan: Plan, *, hurried: bool) -> dict[str, Any]:
    """What became of the plan, or why it was not tried."""
    seconds, left = session.foreseen_seconds(), session.seconds_left
    if hurried and seconds > left:
        return {"why": f"it would take about {seconds:.0f} s, and {max(0.0, left):.0f} s are left of the budget"}
    try:
        return asdict(session.compression([plan]))
    except RecipeError as error:
        return {"why": error.what}


class _Session:
    """One original and what is made of it."""

    def __init__(
        self,
        bundle: Path,
        manifest: Manifest,
        content: Content,
        material: Material,
        wishes: Wishes,
        task: Task,
        run: RunContext,
        care: Care = THOROUGH,
        *,
        by_clock: bool = True,
    ) -> None:
        self._bundle, self._manifest = bundle, manifest
        self._content, self._material, self._wishes, self._run = content, material, wishes, run
        self._yardstick = yardstick(task, material, manifest.labels)
        self._care, self._by_clock = care, by_clock
        self._made: dict[str, tuple[Path, Manifest]] = {}
        self._contents_of: dict[str, Content] = {}

    @cached_property
    def _runtime(self) -> Runtime:
        return open_bundle(self._bundle, threads=self._run.threads)[1]

    @cached_property
    def _original(self) -> _Opened:
        with self._run.progress.step("Answer as the original does", total=len(self._material.measured)) as step:
            answers = respond(self._runtime, self._runtime.checked(self._material.inputs), step=step)
        return _Opened(self._bundle, self._manifest, self._runtime, answers)

    @property
    def seconds_left(self) -> float:
        """Of the run's budget."""
        return self._run.seconds_left

    def foreseen_seconds(self) -> float:
        """About what one plan takes, from the time of two answers."""
        some = self._material.inputs[:2]
        respond(self._runtime, some)
        started = time.perf_counter()
        respond(self._runtime, some)
        one = (time.perf_counter() - started) / len(some)
        return _FIXED_SECONDS + one * (2 * len(self._material.measured) + _FURTHER_ANSWERS)

    def content(self, plan: Plan) -> Content:
        """What a plan makes of the original; the same every time."""
        name = _name(plan)
        if name not in self._contents_of:
            content = self._content
            for way in plan:
                content = way.compressor.compress(content, self._material.learnt, way.strength, self._run)
            self._contents_of[name] = content
        return self._contents_of[name]

    def compression(self, plans: Sequence[Plan]) -> Compression:
        """Plans carried out, measured and judged, until one keeps its promise and reaches what was asked for."""
        trades: list[Trade] = []
        originals: list[Footprint] = []
        impossible: list[str] = []
        for plan in plans:
            name = _name(plan)
            try:
                trade, original = self._try(plan, name)
            except ImpossibleError as error:
                self._run.progress.say(f"{name} cannot be done: {error}")
                impossible.append(f"{name}: {error}")
                continue
            trades.append(trade)
            originals.append(original)
            if not trade.failed and self._reaches(trade):
                break
        if not trades:
            raise RecipeError(
                f"Nothing could be made smaller: {'; '.join(impossible)}.", where=str(self._original.folder)
            )
        score = self._yardstick.score(self._original.answers)
        # Measured beside each of the others; the last time is as good as any.
        first = Trade(ORIGINAL, originals[-1], score)
        taken = self._best(first, trades)
        found = Compression(
            name=taken.name if taken else "",
            max_drop=self._wishes.max_drop,
            measured_on=self._material.words,
            threads=self._run.threads,
            trades=(first, *trades),
            words="",
            metric=self._yardstick.metric,
        )
        return replace(found, words=describe(found, self._material.trained_on))

    def deliver(self, found: Compression, out: Path, *, overwrite: bool, private: Private) -> None:
        """Write the result, or copy the original, to its place in one step."""
        if not found.kept:
            partial = self._run.work / "bundle"
            shutil.copytree(self._original.folder, partial)
        else:
            partial, _ = self._made[found.name]
            manifest = replace(self._made[found.name][1], compression=found)
            self._write(partial, manifest, self._contents(partial, manifest), out.name, private)
        publish(partial, out, overwrite=overwrite)

    def _try(self, plan: Plan, name: str) -> tuple[Trade, Footprint]:
        content = self.content(plan)
        folder = self._run.work / f"candidate-{len(self._made)}"
        manifest = replace(
            self._original.manifest,
            graphs=content.contracts,
            backbone=content.backbone,
            answer_rules=_answer_rules(self._original.manifest, content),
            # It was the original that was attacked.
            attacks=(),
            files={},
            private_files={},
        )
        manifest = self._write(folder, manifest, {**content.graphs, **content.assets}, name, None)
        self._made[name] = (folder, manifest)
        opened = self._open(folder, manifest, name)
        with self._run.progress.step(f"Measure {name} beside the original", total=3) as step:
            original, smaller = footprints(
                [(some.folder, some.manifest, some.runtime) for some in (self._original, opened)],
                self._material.inputs,
                self._run.threads,
                step,
                self._care,
            )
        evidence = self._yardstick.judge(self._original.answers, opened.answers, self._wishes.max_drop)
        promises = {
            "score": evidence.held,
            "size": size_bytes(manifest) < size_bytes(self._original.manifest),
            "speed": not self._by_clock or smaller.p50_ms <= SAME_SPEED * original.p50_ms,
            "alone": self._yardstick.alone(opened.runtime, opened.answers),
        }
        failed = tuple(promise for promise, held in promises.items() if not held)
        return Trade(name, smaller, self._yardstick.score(opened.answers), evidence, failed, content.notes), original

    def _open(self, folder: Path, manifest: Manifest, name: str) -> _Opened:
        _, runtime = open_bundle(folder, threads=self._run.threads)
        with self._run.progress.step(f"Answer by {name}", total=len(self._material.measured)) as step:
            return _Opened(folder, manifest, runtime, respond(runtime, self._material.inputs, step=step))

    def _best(self, original: Trade, trades: Sequence[Trade]) -> Trade | None:
        """The smallest that keeps its promise and reaches the target.

        Raises:
            RecipeError: none of those that keep it reaches the target.
        """
        keeping = [trade for trade in trades if not trade.failed]
        reaching = [trade for trade in keeping if self._reaches(trade)]
        if self._wishes.aimed and not reaching and not self._reaches(original):
            raise _out_of_reach(self._wishes, [original, *keeping], trades)
        return min(reaching, key=lambda trade: trade.footprint.size_mb, default=None)

    def _reaches(self, trade: Trade) -> bool:
        mb, ms = self._wishes.target_mb, self._wishes.target_ms
        size = trade.footprint
        return (mb is None or size.size_mb <= mb) and (ms is None or size.p50_ms <= ms)

    def _contents(self, folder: Path, manifest: Manifest) -> dict[str, bytes]:
        names = {name for graph in manifest.graphs for name in (graph.file, graph.tokenizer, graph.preprocess) if name}
        return {name: (folder / name).read_bytes() for name in sorted(names)}

    def _write(
        self, folder: Path, manifest: Manifest, changed: Mapping[str, bytes], name: str, private: Private | None
    ) -> Manifest:
        """The changed files, and beside them whatever else the original holds."""
        source, original = self._original.folder, self._original.manifest
        gone = {name for graph in original.graphs for name in (graph.file, graph.tokenizer, graph.preprocess)}
        if manifest.answer_rules.scope_threshold is None:
            gone.add(SCOPE_FILE)
        others = {file for file in original.files if file not in gone and file != "README.md"}
        public = {**{file: (source / file).read_bytes() for file in others}, **changed}
        kept = {}
        if private is not None:
            kept = {
                file: (source / "private" / file).read_bytes()
                for file in original.private_files
                if (source / "private" / file).is_file()
            }
            kept = private(manifest, kept, name)
        return write_contents(folder, public, manifest, name=name, private=kept)


def _answer_rules(manifest: Manifest, content: Content) -> AnswerRules:
    """The original's; what has no vectors of its inputs cannot tell those of another kind."""
    if any("features" in some.outputs for some in content.contracts):
        return manifest.answer_rules
    return replace(manifest.answer_rules, scope_threshold=None)


def _name(plan: Plan) -> str:
    return " + ".join(way.name for way in plan)


def _check_wishes(wishes: Wishes) -> None:
    if not 0 <= wishes.max_drop < 1:
        raise RecipeError(
            f"A drop of {wishes.max_drop:g} cannot be allowed.",
            where="--max-drop",
            how="Give a fraction from 0: 0.01 is one point of accuracy.",
        )
    for option, value in (("--target-mb", wishes.target_mb), ("--target-ms", wishes.target_ms)):
        if value is not None and not value > 0:
            raise RecipeError(f"The target cannot be {value:g}.", where=option, how="Give a number above 0.")


def _check_fresh(bundle: Path, manifest: Manifest) -> None:
    found = manifest.compression
    if found is not None and found.kept:
        raise BundleError(
            f"This bundle has been compressed already ({found.name}).",
            where=str(bundle),
            how="Compress what `fit --compress none` wrote, with all that you want at once: what each step may lose "
            "adds up.",
        )


def _content(bundle: Path, manifest: Manifest) -> Content:
    assets = {name for graph in manifest.graphs for name in (graph.tokenizer, graph.preprocess) if name}
    assets |= {SETTINGS_FILE, SHORTLIST_FILE, SELECTION_FILE} & set(manifest.files)
    return Content(
        manifest.task,
        {graph.file: (bundle / graph.file).read_bytes() for graph in manifest.graphs},
        manifest.graphs,
        {name: (bundle / name).read_bytes() for name in sorted(assets)},
        manifest.backbone,
    )


def _plans(content: Content, wishes: Wishes, compressors: Mapping[str, Compressor], bundle: Path) -> list[Plan]:
    """What is tried in turn: all that was named, one on top of the other; where nothing was, what suits the bundle."""
    serving = {name: some for name, some in compressors.items() if content.task in some.tasks}
    named = [
        _way(text.strip(), option, serving)
        for option, value in (("prune", wishes.prune), ("distill", wishes.distill), ("to", wishes.to))
        for text in value.split(",")
        if text.strip()
    ]
    if named:
        for way in named:
            obstacle = way.compressor.obstacle(content)
            if obstacle:
                raise RecipeError(
                    f"{way.compressor.name} cannot be done with this bundle: {obstacle}.",
                    where=f"--{way.compressor.option}",
                    how=_possible(content, serving),
                )
        return [tuple(named)]
    usable = [_Way(some, None) for some in serving.values() if not some.obstacle(content)]
    fitting = [way for way in usable if way.compressor.by_itself]
    # Where something has to be reached, the dearer ways follow, on top of what is pruned by itself.
    further = [way for way in usable if wishes.aimed and not way.compressor.by_itself]
    below = [way for way in fitting if way.compressor.option == "prune"]
    if not fitting and not further:
        reasons = "; ".join(f"{name}: {some.obstacle(content)}" for name, some in serving.items()) or "nothing is known"
        raise RecipeError(
            f"There is nothing to make smaller in this bundle ({reasons}).",
            where=str(bundle),
            how=_possible(content, serving),
        )
    return [*((way,) for way in fitting), *((*below, way) for way in further)]


def _way(text: str, option: str, serving: Mapping[str, Compressor]) -> _Way:
    name, _, strength = text.partition(":")
    known = {some.name for some in serving.values() if not option or some.option == option}
    option = option or "compress"
    if name not in known:
        how = nearest(name, known) if known else "Nothing of the kind is known for this task yet."
        raise RecipeError(f"There is no {name!r}.", where=f"--{option}", how=how)
    compressor = serving[name]
    if compressor.strengths is None:
        if strength:
            raise RecipeError(f"{name} has no strength.", where=f"--{option}", how=f"Write --{option} {name}.")
        return _Way(compressor, None)
    low, high, usual = compressor.strengths
    try:
        value = float(strength) if strength else usual
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RecipeError(
            f"{name} cannot have the strength {strength!r}.",
            where=f"--{option}",
            how=f"Write {name}:{usual:g}; it goes from {low:g} to {high:g}.",
        )
    return _Way(compressor, value)


def _possible(content: Content, serving: Mapping[str, Compressor]) -> str:
    found = [f"--{some.option} {some.name}" for some in serving.values() if not some.obstacle(content)]
    return f"Possible: {', '.join(found)}." if found else "It is as small as it can be made here."


def _out_of_reach(wishes: Wishes, reached: Sequence[Trade], tried: Sequence[Trade]) -> RecipeError:
    """A target that nothing reaches; what the best were, with and without the promise."""

    def best(trades: Sequence[Trade]) -> str:
        smallest = min(trades, key=lambda trade: trade.footprint.size_mb)
        fastest = min(trades, key=lambda trade: trade.footprint.p50_ms)
        return (
            f"{smallest.footprint.size_mb:.1f} MB ({smallest.name}), {fastest.footprint.p50_ms:.1f} ms ({fastest.name})"
        )

    asked = [f"{value:g} {unit}" for value, unit in ((wishes.target_mb, "MB"), (wishes.target_ms, "ms")) if value]
    option = "--target-mb" if wishes.target_mb is not None else "--target-ms"
    return RecipeError(
        f"{' and '.join(asked)} cannot be reached: the best that keeps the promise is {best(reached)}.",
        where=option,
        how=f"Ask for less. Without the promise (a larger --max-drop), the best tried is {best(tried)}.",
    )


def run_context(out: Path, *, threads: int, seed: int, progress: Any) -> RunContext:
    """The work in progress of one compression, beside where its result goes."""
    return RunContext(out.with_name(f"{out.name}.compressing"), seed, threads, progress, Journal())
