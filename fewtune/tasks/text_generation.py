"""Text generation: replies to prompts, in the manner of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import write_atomically
from fewtune.data.check_prompts import check_prompts
from fewtune.data.conversation import USER, Conversation, Generated
from fewtune.data.duplicates import duplicate_groups
from fewtune.data.read import read_table
from fewtune.data.read.prompts import holds_prompts, prompts_of, read_prompts
from fewtune.data.split import choose_resampling, with_named
from fewtune.data.write import table_form
from fewtune.evaluate.replies import reply_metrics
from fewtune.interfaces import Inputs, Measured, Purpose, RunContext, StructuredTask
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example, Finding, FloatArray, IntArray, Resampling


class TextGeneration(StructuredTask):
    """Replies to prompts and chats; its inputs are conversations, its answers `Generated`."""

    name = "text-generation"
    reads = "generation"
    primary_metric = "perplexity"
    lower_is_better = True
    full_scale = {"perplexity": float("inf")}
    parity_tolerance = 1e-3
    compared_inputs = 4
    odd_inputs = (Conversation(((USER, "?"),)), Conversation(((USER, "\N{GRINNING FACE} " * 5),), reference="好"))

    def recognises(self, source: Any) -> bool:
        """Whether these are prompts with replies, or chats."""
        return holds_prompts(source)

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Read prompts with their replies; `--text` names the prompt's column, `--label` the reply's."""
        del purpose
        return read_prompts(source, prompt=recipe.text, reply=recipe.label, group=recipe.group, task=self.name)

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """Prompts or chats that are to be replied to."""
        table = read_table(source)
        values, note = prompts_of(table, recipe.text)
        return Inputs(table, values, (*table.notes, note))

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_prompts(dataset, test)

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """Folds that keep near-duplicate prompts, the replies of a chat and the user's groups together."""
        one_class = np.zeros(len(dataset), np.int64)
        return choose_resampling(one_class, self.groups(dataset), partial(run.generator, "folds"), repeated=False)

    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices: of near-duplicate prompts, joined with chats and the user's groups."""
        same = duplicate_groups([str(example.input) for example in dataset])
        return with_named(same, [example.group for example in dataset])

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """There are no labels."""
        del dataset
        return {}

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[Generated], weights: FloatArray
    ) -> Measured:
        """Perplexity, exact match and ROUGE-L."""
        del labels
        return Measured(reply_metrics(answers, [example.target for example in dataset], weights))

    def gap(self, first: Generated, second: Generated) -> float:
        """1 for different texts, else how far the log probabilities of a token are apart."""
        if first.text != second.text:
            return 1.0
        return abs((first.log_prob or 0.0) - (second.log_prob or 0.0)) / max(1, first.tokens)

    def answer_as_json(self, answer: Generated, labels: tuple[str, ...]) -> Any:
        """The text."""
        del labels
        return answer.text

    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> Any:
        """The wanted reply."""
        del labels
        return example.target

    def write_answers(
        self, inputs: Inputs, answers: Sequence[Generated], labels: tuple[str, ...], out: Path | None
    ) -> str:
        """The input's columns plus `prediction`, as CSV, TSV or JSONL."""
        del labels
        form = table_form(out)
        rows = [(*row, str(answer)) for row, answer in zip(inputs.table.rows, answers, strict=True)]
        written = form([*inputs.table.columns, "prediction"], rows)
        if out is None:
            return written
        write_atomically(out, written.encode("utf-8", "surrogatepass"))
        return f"Wrote {len(answers)} predictions to {out}"
