"""Bundles run here, with the base install alone."""

from __future__ import annotations

from pathlib import Path

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.errors import BundleError
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.image_classification import ImageClassifierRuntime
from fewtune.runtime.text_classification import TextClassifierRuntime
from fewtune.runtime.threads import usable_cores

_RUNTIMES: dict[str, type[ClassifierRuntime]] = {
    "text-classification": TextClassifierRuntime,
    "image-classification": ImageClassifierRuntime,
}


def open_bundle(folder: Path, *, threads: int = 0) -> tuple[Manifest, ClassifierRuntime]:
    """Open a bundle for predictions.

    Args:
        folder: the bundle.
        threads: how many a prediction may use; 0: all cores that this process may use.

    Raises:
        BundleError: there is none, a file is missing or altered, or its task is not known here.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return manifest, open_runtime(folder, manifest, threads=threads)


def open_runtime(folder: Path, manifest: Manifest, *, threads: int = 0) -> ClassifierRuntime:
    """Open the graphs of a bundle that has been verified.

    Raises:
        BundleError: its task is not known here, or a graph cannot be opened.
    """
    runtime = _RUNTIMES.get(manifest.task)
    if runtime is None:
        raise BundleError(
            f"This fewtune does not know the task {manifest.task!r}.",
            where=str(folder),
            how="Upgrade fewtune: pip install --upgrade fewtune",
        )
    return runtime(folder, manifest, threads=threads or usable_cores())
