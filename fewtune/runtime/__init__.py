"""Bundles run here, with the base install alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.image_classification import ImageClassifierRuntime
from fewtune.runtime.object_detection import ObjectDetectionRuntime
from fewtune.runtime.segmentation import SegmentationRuntime
from fewtune.runtime.structured import StructuredRuntime
from fewtune.runtime.text_classification import TextClassifierRuntime
from fewtune.runtime.text_generation import TextGenerationRuntime
from fewtune.runtime.threads import usable_cores
from fewtune.runtime.translation import TranslationRuntime

Runtime = ClassifierRuntime | StructuredRuntime

_RUNTIMES: dict[str, Callable[..., Runtime]] = {
    "text-classification": TextClassifierRuntime,
    "image-classification": ImageClassifierRuntime,
    "translation": TranslationRuntime,
    "object-detection": ObjectDetectionRuntime,
    "segmentation": SegmentationRuntime,
    "text-generation": TextGenerationRuntime,
}


def open_bundle(folder: Path, *, threads: int = 0) -> tuple[Manifest, Runtime]:
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


def open_classifier(folder: Path, *, threads: int = 0) -> tuple[Manifest, ClassifierRuntime]:
    """As `open_bundle`, a bundle that sorts into classes.

    Raises:
        BundleError: as `open_bundle` does, or the bundle answers with something else.
    """
    manifest, runtime = open_bundle(folder, threads=threads)
    if not isinstance(runtime, ClassifierRuntime):
        raise BundleError(f"A bundle for {manifest.task} does not sort into classes.", where=str(folder))
    return manifest, runtime


def respond(runtime: Runtime, inputs: Sequence[Any], *, step: Step | None = None) -> Any:
    """What a bundle gives for n inputs: (n, k) log probabilities of classes, or a list of answers."""
    if isinstance(runtime, ClassifierRuntime):
        return runtime.log_probs(inputs, step=step)
    return runtime.answers(inputs, step=step)


def open_runtime(folder: Path, manifest: Manifest, *, threads: int = 0) -> Runtime:
    """Open the graphs of a bundle that has been verified.

    Raises:
        BundleError: its task is not known here, a file that it needs is not there, or a graph cannot be opened.
    """
    runtime = _RUNTIMES.get(manifest.task)
    if runtime is None:
        raise BundleError(
            f"This fewtune does not know the task {manifest.task!r}.",
            where=str(folder),
            how="Upgrade fewtune: pip install --upgrade fewtune",
        )
    try:
        return runtime(folder, manifest, threads=threads or usable_cores())
    except FileNotFoundError as error:
        name = Path(error.filename or "").name
        raise BundleError(
            f"The bundle has no {name}, which its task needs.", where=str(folder), how="Fit or copy the bundle again."
        ) from None
