"""The trunk cache: what is frozen is computed once.

What a frozen trunk makes of a text, one vector or one for each token, is kept under the fingerprint
of the trunk and the text, in memory-mapped segments written one chunk at a time, so that epochs,
folds, trials, rungs and a resumed run never compute it again, and an interruption loses one chunk at
the most.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fewtune.progress import Progress, Step
from fewtune.types import FloatArray

_CHUNK = 4096
_CHUNK_CHARACTERS = 1_000_000
_KEY_BYTES = 16


class TrunkCache:
    """What a frozen trunk made of texts, on disk."""

    def __init__(self, folder: Path, fingerprint: str, *, chunk: int = _CHUNK) -> None:
        """Keep what `fingerprint` computes under `folder`, which is made when the first is written.

        Args:
            folder, fingerprint: where, and of what.
            chunk: how many texts are computed and written together at most.
        """
        self._chunk = chunk
        self._folder = folder / fingerprint[:48]
        self._known: dict[bytes, FloatArray] = {}
        self._read = 0

    def rows(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str], Step], FloatArray],
        *,
        progress: Progress,
        name: str,
    ) -> FloatArray:
        """The row of every text, computing those that are not there yet.

        Args:
            texts: n texts; equal ones are computed once.
            compute: m texts to (m, width); tells the step of every text done.
            progress: is shown how many texts have been computed.
            name: of the step shown.

        Returns:
            (n, width), in the order of `texts`.
        """
        return np.concatenate(
            self.blocks(texts, lambda some, step: list(compute(some, step)[:, None]), progress=progress, name=name)
        )

    def blocks(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str], Step], list[FloatArray]],
        *,
        progress: Progress,
        name: str,
    ) -> list[FloatArray]:
        """The rows of every text, computing those that are not there yet.

        Args:
            texts, progress, name: as for `rows`.
            compute: m texts to m arrays (rows of that text, width).

        Returns:
            n arrays in the order of `texts`, mapped from the disk.
        """
        keys = [_key(text) for text in texts]
        known = self._load()
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
        if missing:
            with progress.step(name, total=len(missing)) as step:
                for chunk in _chunks(missing, self._chunk):
                    self._write([key for key, _ in chunk], compute([text for _, text in chunk], step))
            known = self._load()
        return [known[key] for key in keys]

    def _load(self) -> dict[bytes, FloatArray]:
        paths = sorted(self._folder.glob("*.rows.npy"))
        for path in paths[self._read :]:
            rows = np.load(path, mmap_mode="r")
            keys, ends = (
                np.load(path.with_name(path.name.replace(".rows.", f".{kind}."))) for kind in ("keys", "ends")
            )
            for key, start, end in zip(keys, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                self._known[key.tobytes()] = rows[start:end]
        self._read = len(paths)
        return self._known

    def _write(self, keys: list[bytes], blocks: Sequence[FloatArray]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self._folder.glob("*.rows.npy")))
        packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES)
        ends = np.cumsum([len(block) for block in blocks], dtype=np.int64)
        # The rows come last: a segment without them is not there.
        for kind, array in (("keys", packed), ("ends", ends), ("rows", np.concatenate(blocks))):
            final = self._folder / f"{number:06d}.{kind}.npy"
            partial = final.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(partial, final)


def _chunks(missing: Sequence[tuple[bytes, str]], most: int) -> Iterator[list[tuple[bytes, str]]]:
    """Texts that are computed together, few where they are long: each token may be a row."""
    chunk: list[tuple[bytes, str]] = []
    characters = 0
    for key, text in missing:
        if chunk and (len(chunk) == most or characters + len(text) > _CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append((key, text))
        characters += len(text)
    if chunk:
        yield chunk


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
