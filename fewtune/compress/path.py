"""The path of `fewtune compress`: choose ways, make, measure both in one run, judge, deliver the better one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import check_free, output_errors, publish, write_contents
from fewtune.compress.footprint import footprints, size_bytes
from fewtune.compress.material import Material, gather
from fewtune.compress.promise import judge
from fewtune.compress.wording import describe
from fewtune.errors import BundleError, OutputError, RecipeError, nearest
from fewtune.interfaces import ClassifierTask, Compressor, Content, ImpossibleError, RunContext
from fewtune.journal import Journal
from fewtune.recipe import Recipe
from fewtune.runtime import open_classifier
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.types import Compression, FloatArray, Footprint, Trade

ORIGINAL = "original"
# Times of two runs of the same thing differ by this much on a machine that does other work as well.
SAME_SPEED = 1.05
# An answer alone and the same in a batch: no probability may differ by more.
MOST_APART = 0.01
_TRIED_ALONE = 32


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
    runtime: ClassifierRuntime
    answers: FloatArray


def compress_bundle(
    bundle: Path,
    out: Path,
    wishes: Wishes,
    task: ClassifierTask,
    compressors: Mapping[str, Compressor],
    run: RunContext,
    *,
    data: Any = None,
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
        recipe: names of the data's columns.
        overwrite: replace a bundle that stands at `out`.
        private: makes the private files of the result from its manifest, the old ones and its name.

    Raises:
        BundleError: the bundle is missing, altered or compressed already.
        RecipeError: a wish is not known, cannot be fulfilled, or is out of reach; says what could be reached.
        DataError: there is nothing to measure on.
        OutputError: `out` is taken or cannot be written to.
    """
    check_free(out, overwrite=overwrite)
    if bundle.resolve() == out.resolve():
        raise OutputError("The result would take the place of the bundle.", where=str(out), how="Give another --out.")
    _check_wishes(wishes)
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    _check_fresh(bundle, manifest)
    content = _content(bundle, manifest)
    plans = _plans(content, wishes, compressors, bundle)
    material = gather(bundle, manifest, task, data, recipe or Recipe(), run)
    with output_errors(run.work):
        shutil.rmtree(run.work, ignore_errors=True)
        run.work.mkdir(parents=True)
        try:
            session = _Session(bundle, manifest, content, material, wishes, run)
            found = session.compression(plans)
            session.deliver(found, out, overwrite=overwrite, private=private)
        finally:
            shutil.rmtree(run.work, ignore_errors=True)
    return found


class _Session:
    """One original and what is made of it."""

    def __init__(
        self, bundle: Path, manifest: Manifest, content: Content, material: Material, wishes: Wishes, run: RunContext
    ) -> None:
        self._content, self._material, self._wishes, self._run = content, material, wishes, run
        self._made: dict[str, tuple[Path, Manifest]] = {}
        with run.progress.step("Answer as the original does", total=len(material.measured)) as step:
            _, runtime = open_classifier(bundle, threads=run.threads)
            answers = runtime.log_probs(runtime.checked(material.inputs), step=step)
        self._original = _Opened(bundle, manifest, runtime, answers)

    def compression(self, plans: Sequence[Plan]) -> Compression:
        """Plans carried out, measured and judged, until one keeps its promise and reaches what was asked for."""
        trades: list[Trade] = []
        originals: list[Footprint] = []
        impossible: list[str] = []
        for plan in plans:
            name = " + ".join(way.name for way in plan)
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
        score = self._score(self._original.answers)
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
        content = self._content
        for way in plan:
            content = way.compressor.compress(content, self._material.learnt, way.strength, self._run)
        folder = self._run.work / f"candidate-{len(self._made)}"
        manifest = replace(
            self._original.manifest, graphs=content.contracts, backbone=content.backbone, files={}, private_files={}
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
            )
        evidence = judge(
            self._original.answers,
            opened.answers,
            self._material.groups,
            max_drop=self._wishes.max_drop,
            targets=self._material.targets,
            trained_on=self._material.trained_on,
        )
        promises = {
            "score": evidence.held,
            "size": size_bytes(manifest) < size_bytes(self._original.manifest),
            "speed": smaller.p50_ms <= SAME_SPEED * original.p50_ms,
            "alone": self._alone(opened) <= MOST_APART,
        }
        failed = tuple(promise for promise, held in promises.items() if not held)
        return Trade(name, smaller, self._score(opened.answers), evidence, failed, content.notes), original

    def _open(self, folder: Path, manifest: Manifest, name: str) -> _Opened:
        _, runtime = open_classifier(folder, threads=self._run.threads)
        with self._run.progress.step(f"Answer by {name}", total=len(self._material.measured)) as step:
            return _Opened(folder, manifest, runtime, runtime.log_probs(self._material.inputs, step=step))

    def _alone(self, opened: _Opened) -> float:
        """How far a probability moves when an input is answered by itself and not among the others."""
        some = range(0, len(opened.answers), max(1, len(opened.answers) // _TRIED_ALONE))
        alone = [opened.runtime.log_probs([self._material.inputs[i]])[0] for i in some]
        return float(np.abs(np.exp(alone) - np.exp(opened.answers[some])).max())

    def _score(self, answers: FloatArray) -> float | None:
        targets = self._material.targets
        return None if targets is None else float((answers.argmax(axis=1) == targets).mean())

    def _best(self, original: Trade, trades: Sequence[Trade]) -> Trade | None:
        """The smallest that keeps its promise and reaches the target.

        Raises:
            RecipeError: none of those that keep it reaches the target.
        """
        keeping = [trade for trade in trades if not trade.failed]
        reaching = [trade for trade in keeping if self._reaches(trade)]
        aimed = self._wishes.target_mb is not None or self._wishes.target_ms is not None
        if aimed and not reaching and not self._reaches(original):
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
    if manifest.compression is not None:
        raise BundleError(
            f"This bundle has been compressed already ({manifest.compression.name}).",
            where=str(bundle),
            how="Compress the bundle that fit wrote, with all that you want at once: what each step may lose adds up.",
        )


def _content(bundle: Path, manifest: Manifest) -> Content:
    assets = {name for graph in manifest.graphs for name in (graph.tokenizer, graph.preprocess) if name}
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
    fitting = [_Way(some, None) for some in serving.values() if some.by_itself and not some.obstacle(content)]
    if not fitting:
        reasons = "; ".join(f"{name}: {some.obstacle(content)}" for name, some in serving.items()) or "nothing is known"
        raise RecipeError(
            f"There is nothing to make smaller in this bundle ({reasons}).",
            where=str(bundle),
            how=_possible(content, serving),
        )
    return [(way,) for way in fitting]


def _way(text: str, option: str, serving: Mapping[str, Compressor]) -> _Way:
    name, _, strength = text.partition(":")
    known = {some.name for some in serving.values() if some.option == option}
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
