"""What to label next: read the pool, leave out what teaches nothing new, look at the rest with the model, choose.

Without a bundle a pretrained encoder looks at the pool, so that the very first labels are well spent too.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fewtune import catalog
from fewtune.backbones.text_encoder import TextEncoder
from fewtune.backbones.vision import VisionBackbone
from fewtune.bundle.manifest import Manifest
from fewtune.data.check import by_severity, check_language
from fewtune.data.language import main_languages
from fewtune.data.read.pictures import PATH
from fewtune.data.write import table_form
from fewtune.errors import DataError, MissingExtraError, RecipeError, nearest
from fewtune.evaluate.scope import KEPT, similarity
from fewtune.interfaces import Inputs, RunContext, Task
from fewtune.label.label_studio import tasks_json
from fewtune.label.pool import OTHER_LANGUAGE, draw, find_other_language, key_of, left_out_findings, repeats, sift
from fewtune.label.suggest import SUGGEST_CACHE, Pool, choose
from fewtune.progress import Progress, SilentProgress, Step
from fewtune.recipe import Recipe
from fewtune.report.data import OUT_OF_FOLD, TEST
from fewtune.runtime.answers import read_class_means
from fewtune.runtime.threads import usable_cores
from fewtune.tune.cache import TrunkCache
from fewtune.tune.picture_store import PictureStore
from fewtune.types import Finding, FloatArray, Judged, Suggestion, Suggestions

# A larger pool is sampled: encoding takes minutes for so many already.
MOST_INPUTS = 100_000
# Share of the pool from which another kind of input is worth a word.
_OTHER_KIND = 0.2
_PICTURES_PER_SEGMENT = 256
_TEXTS_PER_SEGMENT = 4096


@runtime_checkable
class Judge(Protocol):
    """What a bundle's runtime offers for its inputs to be suggested by how unsure it is, whatever its answers are.

    Where it offers nothing of the kind, the inputs are chosen as without a bundle.
    """

    def look(self, inputs: Sequence[Any], /, *, step: Step | None = None) -> FloatArray:
        """(n, m) float32: all that `judge` wants to know of each input; it is kept from one call to the next."""
        ...

    def judge(self, looked: FloatArray, /) -> Judged:
        """What n inputs that were looked at mean to the model."""
        ...


@dataclass(frozen=True)
class Opened:
    """A bundle whose next labels are wanted.

    Attributes:
        folder: of the bundle.
        manifest: what it says of itself.
        runtime: its graphs.
    """

    folder: Path
    manifest: Manifest
    runtime: Any

    @cached_property
    def fingerprint(self) -> str:
        """Over all that its looks depend on."""
        files = sorted((name, entry.sha256) for name, entry in self.manifest.files.items())
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def private_inputs(self, name: str) -> list[Any]:
        """The inputs of a private file; none where the bundle came without it."""
        path = self.folder / "private" / name
        if not path.is_file():
            return []
        lines = [json.loads(line) for line in path.read_text("utf-8", "surrogatepass").split("\n") if line.strip()]
        return [line["text"] if "text" in line else line["input"] for line in lines]


def suggest(
    source: Any,
    *,
    count: int,
    opened: Opened | None = None,
    labelled: Any = None,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> tuple[Suggestions, Inputs]:
    """Say which inputs to label next.

    Args:
        source: the pool: a path, a DataFrame, or a list of inputs.
        count: how many are wanted.
        opened: the bundle that they are to improve; None: there is none yet.
        labelled: labelled data beyond what the bundle learnt from: nothing like it is suggested.
        recipe: columns, the pretrained model where there is no bundle, seed and threads.
        progress: where progress is shown.

    Returns:
        The suggestions, and the pool as it was read.

    Raises:
        UserError: the pool cannot be read, is empty, is of another task than the bundle, or nothing in it is new.
    """
    if count < 1:
        raise RecipeError(f"{count} examples cannot be suggested.", where="-n", how="Give a number from 1.")
    recipe = recipe or Recipe()
    threads = recipe.threads or usable_cores()
    task = _task(source, opened, recipe)
    inputs = task.inputs(source, recipe)
    with _work(opened) as work:
        run = RunContext(work, recipe.seed, threads, progress or SilentProgress())
        return _Round(task, inputs, opened, recipe, run).suggestions(count, labelled), inputs


Write = Callable[[Suggestions, Inputs, Opened | None], str]


def written_as(form: str, out: Path | None) -> Write:
    """What turns suggestions into the text of a file.

    Raises:
        RecipeError: there is no such form.
        OutputError: the ending of `out` is of no known form.
    """
    if form == "label-studio":
        return _as_label_studio
    if form != "csv":
        raise RecipeError(f"There is no form {form!r}.", where="--format", how=nearest(form, ("csv", "label-studio")))
    table = table_form(out)

    def as_table(found: Suggestions, inputs: Inputs, opened: Opened | None) -> str:
        del opened
        added = ("prediction", "confidence", "why")
        rows = [
            (
                *inputs.table.rows[some.row],
                some.prediction,
                "" if some.confidence is None else some.confidence,
                some.why,
            )
            for some in found
        ]
        return table((*inputs.table.columns, *added), rows)

    return as_table


def _as_label_studio(found: Suggestions, inputs: Inputs, opened: Opened | None) -> str:
    reads = catalog.find_task(found.task).reads
    rows = [dict(zip(inputs.table.columns, inputs.table.rows[some.row], strict=True)) for some in found]
    shown = [row[PATH] if reads == "pictures" else str(some.input) for row, some in zip(rows, found, strict=True)]
    version = f"fewtune {opened.fingerprint[:12]}" if opened else ""
    return tasks_json(found.suggestions, rows, reads, shown, version)


def _task(source: Any, opened: Opened | None, recipe: Recipe) -> Task:
    """The bundle's task; without a bundle, the one that the pool looks like."""
    if isinstance(source, Sequence) and not isinstance(source, str) and not len(source):
        raise DataError("The pool is empty.", where="data", how="Give the inputs that could be labelled.")
    if opened is None:
        return catalog.find_task(recipe.task, source)
    task = catalog.find_task(opened.manifest.task).for_bundle(opened.folder)
    looks_like = catalog.find_task("auto", source)
    if looks_like.reads == "pictures" != task.reads:
        raise DataError(
            f"These are pictures, and the bundle's task is {task.name}.",
            where=str(source) if isinstance(source, str | Path) else "data",
            how=f"Give {task.reads}, or a bundle that learnt from pictures.",
        )
    return task


@contextmanager
def _work(opened: Opened | None) -> Iterator[Path]:
    """Where looks are kept: beside the bundle, until it is fitted again; else for as long as this takes."""
    with ExitStack() as stack:
        if opened is not None:
            place = opened.folder.with_name(f"{opened.folder.name}.work")
            try:
                place.mkdir(exist_ok=True)
                yield place
                return
            except OSError:
                pass
        yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fewtune-")))


@dataclass(frozen=True)
class _Round:
    """One round of suggestions."""

    task: Task
    inputs: Inputs
    opened: Opened | None
    recipe: Recipe
    run: RunContext

    def suggestions(self, count: int, labelled: Any) -> Suggestions:
        """Sift, look, choose."""
        known = self._known(labelled)
        kept, findings = self._sifted(known)
        notes = list(self.inputs.notes)
        if self.opened and not known:
            notes.append("what the bundle learnt from is not beside it: --labeled keeps it from being suggested again")
        started = time.perf_counter()
        judged, pool = self._looked([self.inputs.values[i] for i in kept], known)
        looked = time.perf_counter()
        findings += self._odd(kept, known, pool.features)
        if count > len(kept):
            findings.append(_too_few(count, len(kept)))
        if self.opened and judged is None:
            notes.append(f"how unsure a {self.task.name} model is, is not asked: what is common and new is suggested")
        if pool.features is None:
            notes.append("there are no features to tell likes by: the least sure are suggested, however alike they are")
        others = [*known, *self._tested]
        found = choose(
            pool, count, lambda some: repeats([self.inputs.values[kept[i]] for i in some], others, self.task)
        )
        suggestions = tuple(self._suggestion(i, kept[i], judged) for i in found)
        chosen = time.perf_counter()
        return Suggestions(
            self.task.name,
            suggestions,
            tuple(by_severity(findings)),
            tuple(notes),
            len(self.inputs.values),
            len(kept),
            looked - started,
            chosen - looked,
        )

    def _known(self, labelled: Any) -> list[Any]:
        """What is labelled already: the bundle's private examples, and what the user gives."""
        known = self.opened.private_inputs(OUT_OF_FOLD) if self.opened else []
        if labelled is not None:
            known = [*known, *self.task.inputs(labelled, self.recipe).values]
        return [some for some in dict.fromkeys(known) if key_of(some, self.task)]

    def _sifted(self, known: Sequence[Any]) -> tuple[list[int], list[Finding]]:
        """Indices of the inputs that may be suggested, and what is to be said of the others."""
        sifted = sift(self.inputs.values, known, self._tested, self.task)
        findings = left_out_findings(sifted.left_out, self.inputs.table.places)
        if not sifted.kept:
            raise DataError(
                "There is nothing new to label in the pool.",
                where=self.inputs.table.source,
                how="; ".join(finding.what for finding in findings) or "Give inputs that have no label yet.",
            )
        kept, drawn = draw(sifted.kept, MOST_INPUTS, self.run.generator("pool"))
        return kept, [*findings, *drawn]

    @cached_property
    def _tested(self) -> list[Any]:
        """The bundle's test inputs, which nothing may be learnt from."""
        tested = self.opened.private_inputs(TEST) if self.opened else []
        return [some for some in dict.fromkeys(tested) if key_of(some, self.task)]

    def _looked(self, values: Sequence[Any], known: Sequence[Any]) -> tuple[Judged | None, Pool]:
        """What the model makes of the pool, and what is chosen by; without features, a pretrained model's."""
        pool, judged = Pool(len(values)), None
        if self.opened is not None and isinstance(self.opened.runtime, Judge):
            judged = self._judged(self.opened, values, "Look at the pool")
            of_known = self._judged(self.opened, known, "Look at what is labelled") if known else None
            pool = Pool(
                len(values),
                judged.features,
                None if of_known is None else of_known.features,
                judged.uncertainty,
                None if of_known is None else of_known.uncertainty,
                judged.predicted,
            )
        if pool.features is None:
            both = self._pretrained([*values, *known])
            if both is not None:
                pool = replace(pool, features=both[: len(values)], labelled=both[len(values) :])
        return judged, pool

    def _judged(self, opened: Opened, values: Sequence[Any], name: str) -> Judged:
        def look(some: list[Any], step: Step) -> FloatArray:
            return opened.runtime.look(some, step=step)

        return opened.runtime.judge(self._rows(values, opened.fingerprint, look, name))

    def _rows(
        self, values: Sequence[Any], fingerprint: str, compute: Callable[[list[Any], Step], FloatArray], name: str
    ) -> FloatArray:
        """`compute` of every input, from the cache where it was computed before."""
        pictures = self.task.reads == "pictures"
        of_key = {(key_of(value, self.task) if pictures else str(value)): value for value in values}
        cache = TrunkCache(
            self.run.work / SUGGEST_CACHE, fingerprint, chunk=_PICTURES_PER_SEGMENT if pictures else _TEXTS_PER_SEGMENT
        )
        return cache.rows(
            [key_of(value, self.task) if pictures else str(value) for value in values],
            lambda keys, step: compute([of_key[key] for key in keys], step),
            progress=self.run.progress,
            name=name,
        )

    def _pretrained(self, values: Sequence[Any]) -> FloatArray | None:
        """(n, width) features by a pretrained model; None where the bundle's own task has none installed."""
        try:
            backbone = self._backbone(list(map(str, values)))
        except (RecipeError, MissingExtraError):
            if self.opened is None:
                raise
            return None
        if isinstance(backbone, VisionBackbone):
            return PictureStore(backbone, self.run).features(list(map(str, values)))[:, 0, : backbone.width]

        def encode(some: list[Any], step: Step) -> FloatArray:
            return backbone.features(list(map(str, some)), threads=self.run.threads, step=step)

        return self._rows(values, backbone.fingerprint, encode, f"Encode texts with {backbone.info.name}")

    def _backbone(self, texts: Sequence[str]) -> TextEncoder | VisionBackbone:
        """The one that is asked for, or the first that is installed and reads the pool's languages."""
        if self.task.reads == "pictures":
            name = self.recipe.model if self.recipe.model != "auto" else next(iter(catalog.networks()))
            return catalog.find_network(name)
        named = catalog.find_text_model(self.recipe.model) if self.recipe.model != "auto" else None
        if isinstance(named, TextEncoder):
            return named
        languages = [language for language, share in main_languages(texts).items() if share >= OTHER_LANGUAGE / 2]
        usable = [
            some for some in catalog.encoders().values() if some.info.installed and some.info.reads_all(languages)
        ]
        if not usable:
            raise RecipeError(
                "No encoder that is installed reads these texts.", where="--model", how="`fewtune models` lists them."
            )
        return usable[-1]

    def _odd(self, kept: Sequence[int], known: Sequence[Any], features: FloatArray | None) -> list[Finding]:
        """Whether the pool is of another kind, or in another language, than what the bundle learnt from."""
        found: list[Finding] = []
        if self.opened is None:
            return found
        found += _other_kind(self.opened, features)
        if self.task.reads != "text":
            return found
        texts = [self.inputs.values[i] for i in kept]
        backbone: Mapping[str, Any] = self.opened.manifest.backbone
        if backbone.get("languages"):
            found += check_language(texts, backbone["languages"], str(backbone.get("name", "the model")))
        return [*found, *find_other_language(texts, [some for some in known if isinstance(some, str)])]

    def _suggestion(self, position: int, row: int, judged: Judged | None) -> Suggestion:
        place, value = self.inputs.table.places[row], self.inputs.values[row]
        if judged is None:
            return Suggestion(row, place, value, "", None, "it stands for many others in the pool")
        return Suggestion(
            row,
            place,
            value,
            judged.predictions(position),
            float(judged.confidences[position]),
            judged.doubts(position),
        )


def _too_few(wanted: int, there: int) -> Finding:
    return Finding(
        "warning",
        "pool-too-small",
        f"{wanted} were asked for, and the pool has {there} that can be suggested.",
        "Add inputs to the pool, or ask for fewer.",
        count=wanted - there,
    )


def _other_kind(opened: Opened, features: FloatArray | None) -> Iterator[Finding]:
    means, least = read_class_means(opened.folder, opened.manifest), opened.manifest.answer_rules.scope_threshold
    if means is None or least is None or features is None or features.shape[1] != means.shape[1]:
        return
    near = similarity(features, means)
    share = float((near < least).mean())
    if share >= _OTHER_KIND:
        yield Finding(
            "warning",
            "pool-of-another-kind",
            f"{share:.0%} of the pool is unlike what the bundle learnt from: its mean similarity to the nearest class "
            f"is {near.mean():.2f}, and {KEPT:.0%} of the bundle's own examples reach {least:.2f}.",
            "If these inputs are what the model will see, their labels help it most; else give another pool.",
            count=int((near < least).sum()),
        )
