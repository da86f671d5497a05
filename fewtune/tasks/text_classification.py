"""Text classification: one label a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fewtune.data.check import check_text_classification
from fewtune.data.columns import check_labels, find_columns, to_dataset
from fewtune.data.duplicates import duplicate_groups
from fewtune.data.read import read_table, read_texts
from fewtune.interfaces import Fitted, Inputs, Purpose, RunContext
from fewtune.recipe import Recipe
from fewtune.runtime.text_graph import TextGraph
from fewtune.tasks.classification import Classification
from fewtune.types import Dataset, Finding, FloatArray, IntArray


class TextClassification(Classification):
    """Sorts texts into classes."""

    name = "text-classification"
    reads = "text"
    odd_inputs = ("", " ", "😀", "a")

    def recognises(self, source: Any) -> bool:
        """Texts are what everything is that no other task takes for its own."""
        del source
        return False

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Read a table, find its columns, and make examples of its rows."""
        table = read_table(source)
        columns = find_columns(table, text=recipe.text, label=recipe.label, group=recipe.group)
        if purpose == "fit":
            check_labels(table, columns)
        return to_dataset(table, columns)

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """The texts of every row; an empty one stays, so that predictions line up with rows."""
        table = read_table(source) if recipe.text else read_texts(source)
        columns = find_columns(table, text=recipe.text, need_label=False)
        return Inputs(table, tuple(table.column(columns.text)), (*table.notes, *columns.notes))

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_text_classification(dataset, test)

    def same(self, inputs: Sequence[str]) -> IntArray:
        """(n,) group indices of near-duplicate texts."""
        return duplicate_groups(inputs)

    def vectors(self, dataset: Dataset, fitted: Fitted, run: RunContext) -> FloatArray | None:
        """(n, width) features by the first graph that has some."""
        graph = next((graph for graph in fitted.contracts if "features" in graph.outputs), None)
        if graph is None:
            return None
        opened = TextGraph(fitted.graphs[graph.file], fitted.assets[graph.tokenizer], threads=run.threads)
        return opened.run([example.input for example in dataset], "features")
