"""Image classification: one label a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fewtune.data.check_pictures import check_image_classification
from fewtune.data.columns import check_labels, find_columns, to_dataset
from fewtune.data.picture_duplicates import picture_groups
from fewtune.data.read.pictures import LABEL, PATH, Pictures, holds_pictures, read_pictures
from fewtune.errors import DataError
from fewtune.interfaces import Fitted, Inputs, Purpose, RunContext
from fewtune.recipe import Recipe
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.tasks.classification import Classification
from fewtune.types import Dataset, Finding, FloatArray, IntArray, Table


class ImageClassification(Classification):
    """Sorts pictures into classes; its inputs are paths."""

    name = "image-classification"
    reads = "pictures"

    def recognises(self, source: Any) -> bool:
        """Whether these are pictures: by the endings of files' names."""
        return holds_pictures(source)

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Find the pictures, and their labels by their folders or columns."""
        pictures = read_pictures(source)
        table = pictures.table
        if table.columns == (PATH,):
            raise DataError(
                "The pictures have no labels.",
                where=table.source,
                how="Give a folder with a folder of pictures for each class, or a CSV of path and label.",
            )
        columns = find_columns(table, text=PATH, label=recipe.label, group=recipe.group)
        if purpose == "fit":
            check_labels(table, columns)
        # The reader has said already where the paths come from, and folders' names as well.
        notes = () if table.columns == (PATH, LABEL) else columns.notes[1:]
        return to_dataset(_to_open(pictures), replace(columns, notes=notes), task=self.name)

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """The pictures' paths, in the order of the listing or of their names; all that lie in and below a folder."""
        del recipe
        pictures = read_pictures(source, labelled=False)
        return Inputs(pictures.table, pictures.paths, pictures.table.notes)

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_image_classification(dataset, test)

    def same(self, inputs: Sequence[str]) -> IntArray:
        """(n,) group indices of pictures that are the same, or nearly so."""
        return picture_groups(inputs)

    def vectors(self, dataset: Dataset, fitted: Fitted, run: RunContext) -> FloatArray | None:
        """(n, width) features by the first graph that has some."""
        graph = next((graph for graph in fitted.contracts if "features" in graph.outputs), None)
        if graph is None:
            return None
        preprocess = preprocess_from_json(fitted.assets[graph.preprocess], where=graph.preprocess)
        opened = PictureGraph(fitted.graphs[graph.file], preprocess, threads=run.threads)
        return opened.run([example.input for example in dataset], "features")


def _to_open(pictures: Pictures) -> Table:
    """The table with paths to be opened in the place of names as they were given."""
    table, at = pictures.table, pictures.table.columns.index(PATH)
    rows = zip(table.rows, pictures.paths, strict=True)
    return replace(table, rows=tuple((*row[:at], path, *row[at + 1 :]) for row, path in rows))
