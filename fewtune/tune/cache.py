"""The trunk cache: what is frozen is computed once.

Rows are kept under the fingerprint of what computed them and the text they were computed from, in
memory-mapped segments written one chunk at a time, so that folds, trials, rungs and a resumed run
never compute a row again, and an interruption loses one chunk at the most.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fewtune.progress import Progress, Step
from fewtune.types import FloatArray

_CHUNK = 4096
_KEY_BYTES = 16


class TrunkCache:
    """Frozen features of texts, on disk."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Keep rows of `fingerprint` under `folder`, which is made when the first are written."""
        self._folder = folder / fingerprint[:32]

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
        keys = [_key(text) for text in texts]
        known = self._load()
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
        if missing:
            with progress.step(name, total=len(missing)) as step:
                for start in range(0, len(missing), _CHUNK):
                    chunk = missing[start : start + _CHUNK]
                    self._write([key for key, _ in chunk], compute([text for _, text in chunk], step))
            known = self._load()
        return np.stack([known[key] for key in keys])

    def _load(self) -> dict[bytes, FloatArray]:
        known: dict[bytes, FloatArray] = {}
        for path in sorted(self._folder.glob("*.rows.npy")):
            rows = np.load(path, mmap_mode="r")
            keys = np.load(path.with_name(path.name.replace(".rows.", ".keys.")))
            known.update((key.tobytes(), row) for key, row in zip(keys, rows, strict=True))
        return known

    def _write(self, keys: list[bytes], rows: FloatArray) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self._folder.glob("*.rows.npy")))
        packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES)
        # The rows come last: a segment without them is not there.
        for kind, array in (("keys", packed), ("rows", rows)):
            final = self._folder / f"{number:06d}.{kind}.npy"
            partial = final.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(partial, final)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
