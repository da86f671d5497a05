"""The bundles that are served, each taken up anew when it changes on disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.errors import BundleError, FewtuneError, RecipeError, UserError, nearest
from fewtune.runtime import Runtime, open_runtime
from fewtune.runtime.answers import answers, read_class_means
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.structured import StructuredRuntime
from fewtune.serve.kinds import KINDS, Kind
from fewtune.serve.priority import giving_way
from fewtune.serve.refusals import Refusal
from fewtune.types import Answer, FloatArray

_LOOK_EVERY_SECONDS = 1.0

# What tells that something in a folder has changed, without reading it.
Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A bundle as it was at one time, opened.

    Attributes:
        name: what the bundle is called here.
        manifest: what it says of itself.
        digest: tells one version from another.
        kind: how it is asked and how it answers.
        runtime: computes.
        class_means: what tells inputs of another kind; None where the bundle cannot tell them.
    """

    name: str
    manifest: Manifest
    digest: str
    kind: Kind
    runtime: Runtime
    class_means: FloatArray | None

    def probabilities(self, inputs: Sequence[Any]) -> list[list[float]]:
        """A row for every input, in the order of the manifest's labels."""
        return np.exp(self._classifier.log_probs(inputs)).tolist()

    def structured(self, inputs: Sequence[Any]) -> list[Any]:
        """The answer to every input of a bundle that does not sort into classes."""
        assert isinstance(self.runtime, StructuredRuntime)
        return self.runtime.answers(self.runtime.checked(inputs))

    @property
    def _classifier(self) -> ClassifierRuntime:
        assert isinstance(self.runtime, ClassifierRuntime)
        return self.runtime

    def probabilities_and_features(self, inputs: Sequence[Any]) -> list[tuple[list[float], FloatArray | None]]:
        """For every input the row of `probabilities`, and its vector where the model has any."""
        log_probs, features = self._classifier.log_probs_and_features(inputs)
        vectors = [None] * len(log_probs) if features is None else list(features)
        return list(zip(np.exp(log_probs).tolist(), vectors, strict=True))

    def answers(
        self,
        computed: Sequence[tuple[list[float], FloatArray | None]],
        *,
        max_error: float | None,
        coverage: float | None,
    ) -> list[Answer]:
        """What `probabilities_and_features` computed as answers that say when they are unsure; see `Model.answer`.

        Raises:
            Refusal: 422 where the bundle promises no such share of errors; asked with nothing, it tells in advance.
        """
        probs = np.array([row for row, _ in computed]).reshape(len(computed), len(self.manifest.labels))
        vectors = [vector for _, vector in computed if vector is not None]
        features = np.array(vectors) if vectors else None
        try:
            return answers(self.manifest, probs, features, self.class_means, max_error=max_error, coverage=coverage)
        except RecipeError as error:
            where = "coverage" if error.where == "--sets" else "max_error"
            raise Refusal(422, error.what, where=where, how=error.how) from None


class ServedBundle:
    """A folder and the newest whole version that was seen in it."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Open the bundle.

        Raises:
            BundleError: there is none, a file of it is missing or altered, or its task cannot be served.
        """
        self.name = folder.resolve().name.removesuffix(".fewtune")
        self._folder = folder
        self._threads = threads
        self._stamp = _stamp(folder)
        self.version = self._open()

    def refresh(self) -> bool:
        """Look at the folder, and take up what is new in it; blocks for as long as opening takes.

        Returns:
            Whether there is a new version.

        Raises:
            BundleError: what is there is not whole; the version that was open goes on being served.
        """
        stamp = _stamp(self._folder)
        if stamp in ((), self._stamp):
            return False
        # Remembered before it is opened: a broken version is looked at once, and again when it changes.
        self._stamp = stamp
        if read_manifest(self._folder) == self.version.manifest:
            return False
        version = self._open(self.version.manifest.task)
        if _stamp(self._folder) != stamp:
            return False  # replaced while it was read: the next look finds the newer one
        self.version = version
        return True

    def _open(self, task: str = "") -> Version:
        """Open what is there; `task` is the one that it must be of, if any."""
        manifest = read_manifest(self._folder)
        if manifest.task not in KINDS:
            raise BundleError(
                f"Bundles for {manifest.task} cannot be served.",
                where=str(self._folder),
                how=f"Predict with it here: fewtune predict {self._folder} INPUTS",
            )
        if task and manifest.task != task:
            # What callers send would no longer fit, nor what the schema says.
            raise BundleError(
                f"The new version is for {manifest.task}, and what is served here for {task}.",
                where=str(self._folder),
                how="Serve it under a name of its own, or start the service again.",
            )
        verify(self._folder, manifest)
        runtime = giving_way(lambda: open_runtime(self._folder, manifest, threads=self._threads))
        digest = hashlib.sha256(manifest.to_json().encode()).hexdigest()[:16]
        try:
            # Read now: by the time it is asked for, the folder may hold another version.
            means = read_class_means(self._folder, manifest)
            version = Version(self.name, manifest, digest, KINDS[manifest.task], runtime, means)
            version.kind.warm_up(version)
        except Exception as error:  # ONNX Runtime raises many kinds
            raise BundleError(
                f"The bundle cannot be run here ({type(error).__name__}: {error}).",
                where=str(self._folder),
                how="Upgrade with: pip install --upgrade onnxruntime; if that does not help, fit the bundle again.",
            ) from error
        return version


def _stamp(folder: Path) -> Stamp:
    """Of the files of a folder; empty while there is none, as between the two renames that replace a bundle."""
    try:
        found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError:
        return ()
    return tuple((name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in found)


class Shelf(Mapping[str, ServedBundle]):
    """All bundles that are served, by name."""

    def __init__(self, folders: Sequence[Path], *, threads: int) -> None:
        """Open the bundles.

        Raises:
            BundleError: one cannot be opened.
            UserError: there is none, or two have the same name.
        """
        if not folders:
            raise UserError("There is no bundle to serve.", where="BUNDLE", how="`fewtune fit DATA` makes one.")
        self._bundles: dict[str, ServedBundle] = {}
        for folder in folders:
            bundle = ServedBundle(folder, threads=threads)
            if bundle.name in self._bundles:
                raise UserError(
                    f"Two bundles are called {bundle.name!r}.", where=str(folder), how="Rename one of the folders."
                )
            self._bundles[bundle.name] = bundle

    def __getitem__(self, name: str) -> ServedBundle:
        return self._bundles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundles)

    def __len__(self) -> int:
        return len(self._bundles)

    @property
    def kinds(self) -> list[Kind]:
        """Of the bundles, each once."""
        return list(dict.fromkeys(bundle.version.kind for bundle in self.values()))

    def version(self, name: str | None) -> Version:
        """The newest version of one bundle.

        Args:
            name: of the bundle; None: the only one.

        Raises:
            Refusal: 404 where there is none of that name, or no name was given and there are several.
        """
        if name is None:
            if len(self) > 1:
                names = ", ".join(self)
                raise Refusal(404, "Several bundles are served.", how=f"Ask /models/NAME, NAME being of: {names}.")
            name = next(iter(self))
        if name not in self:
            raise Refusal(404, "There is no bundle of this name.", where="name", how=nearest(name[:100], self))
        return self[name].version

    async def watch(self, on_change: Callable[[str, FewtuneError | None], None]) -> None:
        """Look at the folders again and again, without end.

        Args:
            on_change: is told the name of a bundle that was taken up anew, or could not be and why.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            for bundle in self.values():
                try:
                    if await asyncio.to_thread(bundle.refresh):
                        on_change(bundle.name, None)
                except FewtuneError as error:
                    on_change(bundle.name, error)
                except Exception as error:  # such as no permission, or no memory: the next version may be better
                    message = f"The new version cannot be opened ({type(error).__name__}: {error})."
                    how = (
                        "Give the service leave to read the folder, and memory enough; then put the bundle there again."
                    )
                    on_change(bundle.name, BundleError(message, where=bundle.name, how=how))
