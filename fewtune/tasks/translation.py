"""Translation: a text in one language to the same in another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import output_errors, write_atomically
from fewtune.data.check_translation import check_translation
from fewtune.data.columns import find_columns
from fewtune.data.duplicates import duplicate_groups
from fewtune.data.glossary import Glossary
from fewtune.data.language import main_languages
from fewtune.data.pairs import Pairs, language_columns
from fewtune.data.protection import NO_TERMS, kept_and_all, terms_kept_and_all
from fewtune.data.read import LINE, read_lines, read_table
from fewtune.data.read.gettext import fill_untranslated
from fewtune.data.read.glossary import read_glossary
from fewtune.data.read.tmx import fill_waiting
from fewtune.data.read.translations import (
    directed,
    holds_pairs,
    read_pairs,
    read_untranslated,
    read_waiting,
    without_empty,
)
from fewtune.data.split import choose_resampling, with_named
from fewtune.data.write import table_form
from fewtune.errors import DataError
from fewtune.evaluate.translation import bleu, bleu_counts, chrf, chrf_counts, weighted_share
from fewtune.interfaces import Inputs, Measured, Purpose, RunContext, StructuredTask
from fewtune.recipe import Recipe
from fewtune.runtime.translation import read_settings
from fewtune.types import Dataset, Example, Finding, FloatArray, IntArray, Resampling, Table

# Share of the texts without a translation that may be in other languages.
_MOST_OTHERS = 0.5

_CATALOGUE, _MEMORY = ".po", ".tmx"


class Translation(StructuredTask):
    """Translates texts; inputs, targets and answers are strings."""

    name = "translation"
    reads = "translation"
    primary_metric = "chrf"
    parity_tolerance = 0.0
    unlabelled_side = "target"
    full_scale = {"chrf": 100.0, "bleu": 100.0}
    odd_inputs = ("", " ", "a", "😀", "{x} <b>", "One.\n\n  Two.\n")

    def __init__(self, languages: tuple[str, str] = ("", ""), glossary: Glossary = NO_TERMS) -> None:
        """Read data that goes from one language to the other; an empty one is what the data says.

        Args:
            languages: of source and target.
            glossary: what translations are held to where the recipe names no other one.
        """
        self._languages, self._glossary = languages, glossary

    def for_bundle(self, bundle: Path) -> Translation:
        """The task in the direction that the bundle learnt, with its glossary."""
        settings = read_settings(bundle)
        return Translation(settings.languages, Glossary(settings.glossary))

    def recognises(self, source: Any) -> bool:
        """Whether these are texts with translations: by the file's form, or by a header that names languages."""
        return holds_pairs(source)

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Read two columns of languages, TMX, gettext catalogues, or two aligned files."""
        label = recipe.label
        if purpose == "evaluate" and isinstance(source, str | Path) and Path(label).expanduser().is_file():
            label = ""  # the second file of the training data
        pairs = read_pairs(source, text=recipe.text, label=label, group=recipe.group)
        pairs = directed(pairs, self._languages, exchange=not (recipe.text or recipe.label))
        glossary = read_glossary(recipe.glossary, pairs.languages) if recipe.glossary else self._glossary
        return _dataset(pairs, self.name, glossary)

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """The texts of every row; of a plain text file, or of standard input, every line."""
        if isinstance(source, str | Path) and _is_plain(str(source)):
            table = read_lines(source)
            return Inputs(table, tuple(table.column(LINE)), table.notes)
        if isinstance(source, str | Path) and Path(source).suffix.lower() == _CATALOGUE and not recipe.text:
            table, language, document = read_untranslated(Path(source))
            if self._languages[0] in ("", language):
                note = f"{table.source}: {len(table.rows)} texts that wait for a translation"
                return Inputs(table, tuple(table.column(language)), (*table.notes, note), document)
        if isinstance(source, str | Path) and Path(source).suffix.lower() == _MEMORY and not recipe.text:
            table, document = read_waiting(Path(source), self._languages)
            if table.rows:
                note = f"{table.source}: {len(table.rows)} texts that wait for a translation"
                return Inputs(table, tuple(table.column(self._languages[0])), (note,), document)
        if isinstance(source, str | Path) and Path(source).suffix.lower() in (_CATALOGUE, _MEMORY):
            pairs = read_pairs(source, text=recipe.text)
            column = pairs.source if recipe.text else self._texts(pairs.table)
            return Inputs(pairs.table, tuple(pairs.table.column(column)), pairs.notes)
        table = read_table(source)
        column = "" if recipe.text else self._texts(table)
        if column:
            return Inputs(table, tuple(table.column(column)), (*table.notes, f"texts from column {column!r}"))
        columns = find_columns(table, text=recipe.text, need_label=False)
        return Inputs(table, tuple(table.column(columns.text)), (*table.notes, *columns.notes[:1]))

    def unlabelled(self, source: Any, recipe: Recipe, dataset: Dataset) -> Inputs:
        """Read texts in the language that is translated into.

        Raises:
            DataError: they cannot be read, or most of them are in another language.
        """
        wanted = dataset.languages[1]
        inputs = Translation((wanted, "")).inputs(source, recipe.model_copy(update={"text": "", "label": ""}))
        shares = main_languages(inputs.values)
        others = {code: share for code, share in shares.items() if code not in (wanted, "und-Latn")}
        if wanted and sum(others.values()) > _MOST_OTHERS:
            raise DataError(
                f"Most of these texts are not in {wanted}, which is translated into: {', '.join(others)}.",
                where=f"{inputs.table.source}, --unlabeled",
                how="Give texts in that language: they are translated back, to learn from.",
            )
        return inputs

    def _texts(self, table: Table) -> str:
        """The column of the language that is translated from, by its name; empty where none has a language's name.

        Raises:
            DataError: the columns are of other languages.
        """
        named, wanted = language_columns(table.columns), self._languages[0]
        of_it = [column for column, language in named if wanted in ("", language)]
        # A column `id` is a number more often than Indonesian.
        others = [column for column, language in named if language != "id"]
        if others and not of_it:
            raise DataError(
                f"No column is in {wanted}, the language of the texts: {', '.join(map(repr, others))}.",
                where=table.source,
                how="Name the column of the texts with --text.",
            )
        return of_it[0] if of_it else ""

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_translation(dataset, test)

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """Folds that keep near-duplicate sources, and documents, together."""
        same = np.zeros(len(dataset), np.int64)
        return choose_resampling(same, self.groups(dataset), partial(run.generator, "folds"), repeated=False)

    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices: of near-duplicate sources, joined with documents."""
        same = duplicate_groups([example.input for example in dataset])
        return with_named(same, [example.group for example in dataset])

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """Nothing: translations have no labels."""
        del dataset
        return {}

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[str], weights: FloatArray
    ) -> Measured:
        """ChrF and BLEU of the whole; shares of exact matches, and of the sources' placeholders and markup kept.

        With a glossary, the share of its terms in the sources that are translated as it says.
        """
        del labels
        references = [example.target for example in dataset]
        exact = np.array(
            [answer.strip() == reference.strip() for answer, reference in zip(answers, references, strict=True)], float
        )
        kept = np.array(
            [kept_and_all(example.input, answer) for example, answer in zip(dataset, answers, strict=True)], float
        ).reshape(-1, 2)
        metrics = {
            "chrf": chrf(chrf_counts(answers, references), weights),
            "bleu": bleu(bleu_counts(answers, references), weights),
            "exact_match": weighted_share(exact, np.ones(len(exact)), weights),
            "placeholders_kept": weighted_share(kept[:, 0], kept[:, 1], weights),
        }
        if dataset.glossary:
            glossary = Glossary(dataset.glossary)
            pairs = zip(dataset, answers, strict=True)
            terms = np.array([terms_kept_and_all(example.input, answer, glossary) for example, answer in pairs], float)
            metrics["glossary_kept"] = weighted_share(terms[:, 0], terms[:, 1], weights)
        return Measured(metrics)

    def gap(self, first: str, second: str) -> float:
        """0 where they are the same text, else 1."""
        return float(first != second)

    def answer_as_json(self, answer: str, labels: tuple[str, ...]) -> str:
        """The translation."""
        del labels
        return answer

    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> str:
        """The reference."""
        del labels
        return example.target

    def write_answers(self, inputs: Inputs, answers: Sequence[str], labels: tuple[str, ...], out: Path | None) -> str:
        """The input's columns and `prediction`, as CSV, TSV or JSONL; plain lines into a .txt file.

        A gettext catalogue is written as one into a .po file, and a translation memory into a .tmx file, with what
        waited for a translation filled in.
        """
        del labels
        suffix = out.suffix.lower() if out is not None else ""
        if suffix in (_CATALOGUE, _MEMORY) and inputs.document and inputs.table.source.lower().endswith(suffix):
            written = _filled(inputs, answers, suffix)
        elif out is not None and out.suffix.lower() == ".txt":
            written = "".join(" ".join(answer.splitlines()) + "\n" for answer in answers)
        else:
            rows = [(*row, answer) for row, answer in zip(inputs.table.rows, answers, strict=True)]
            written = table_form(out)([*inputs.table.columns, "prediction"], rows)
        if out is None:
            return written
        with output_errors(out):
            write_atomically(out, written.encode("utf-8", "surrogatepass"))
        return f"Wrote {len(answers)} translations to {out}"


def _filled(inputs: Inputs, answers: Sequence[str], suffix: str) -> str:
    """The file that the inputs came from, with the answers in it."""
    if suffix == _CATALOGUE:
        return fill_untranslated(inputs.document, answers, name=inputs.table.source)
    source, target = inputs.table.columns[:2]
    return fill_waiting(inputs.document, answers, (source, target), name=inputs.table.source)


def _dataset(pairs: Pairs, task: str, glossary: Glossary) -> Dataset:
    pairs, notes = without_empty(pairs)
    table = pairs.table
    if not table.rows:
        raise DataError("No row has both a text and a translation.", where=table.source, how="Check the columns.")
    groups = table.column(pairs.group) if pairs.group else None
    rows = zip(table.column(pairs.source), table.column(pairs.target), table.places, strict=True)
    examples = tuple(
        Example(source, target, place, (groups[i].strip() or None) if groups else None)
        for i, (source, target, place) in enumerate(rows)
    )
    every = (*pairs.notes, *notes, *([f"a glossary of {len(glossary)} terms"] if glossary else []))
    terms = json.dumps(glossary.terms).encode() if glossary else b""
    sha256 = hashlib.sha256(table.sha256.encode() + terms).hexdigest() if glossary else table.sha256
    return Dataset(task, examples, (), table.source, sha256, every, pairs.languages, glossary=glossary.terms)


def _is_plain(source: str) -> bool:
    """Whether a source is lines rather than rows."""
    return source == "-" or Path(source).suffix.lower() in (".txt", "") or bool(_language_suffix(source))


def _language_suffix(source: str) -> str:
    named = language_columns([Path(source).suffix[1:]])
    return named[0][1] if named else ""
