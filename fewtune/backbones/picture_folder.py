"""A tuned network for pictures as a folder that the library loads which it came from: Transformers, or timm."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fewtune.bundle.manifest import Manifest
from fewtune.errors import MissingExtraError, RecipeError

Library = Literal["Transformers", "timm"]

_TASKS = ("image-classification", "object-detection", "segmentation")


def library_of(manifest: Manifest) -> Library | None:
    """The library whose network a bundle holds, with nothing of ours on it but a classifier; None where none does."""
    if manifest.task in _TASKS and "config" in manifest.backbone:
        return "Transformers"
    return "timm" if manifest.task == _TASKS[0] and "members" not in manifest.backbone else None


def picture_files(bundle: Path, manifest: Manifest, library: Library, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Raises:
        MissingExtraError: what writes them is not installed.
        RecipeError: the bundle computes what the library's network has no place for.
    """
    if manifest.task == _TASKS[0] and manifest.method == "head":
        raise no_place(
            library,
            "its head also reads what the pretrained network takes the picture for, and features at unit length",
            also=" Or fit with --method partial or full.",
        )
    try:
        if library == "timm":
            from fewtune.backbones.timm_folder import timm_files as files
        else:
            from fewtune.backbones.transformers_folder import transformers_network_files as files
    except ImportError:
        raise MissingExtraError("train", needed_for=f"Writing for {library}", where="--format hf") from None
    return files(bundle, manifest, name)


def no_place(library: str, why: str, *, also: str = "") -> RecipeError:
    """What is said where a library cannot hold what a bundle computes."""
    how = f"Use --format onnx, which runs in any ONNX runtime.{also}"
    return RecipeError(f"This bundle has no place in {library}: {why}.", where="--format hf", how=how)
