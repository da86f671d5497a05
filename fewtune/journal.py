"""The journal of a run: what was decided and computed, so that an interrupted run goes on to the same result.

What depends on the clock (which rung was started, on how many folds) is decided once and replayed;
what took long (the outcome of a fold) is computed once and read back.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.types import FloatArray


class Journal:
    """Values under names, each kept from the moment it is known."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read what an earlier sitting left in `folder`; without one, remember for this process alone."""
        self._folder = folder
        self._started = time.monotonic()
        self._before = 0.0
        self._known: dict[str, Any] = {}
        self._arrays: dict[str, FloatArray] = {}
        if folder is not None:
            self._read(folder / "journal.jsonl")

    def _read(self, path: Path) -> None:
        if not path.is_file():
            return
        whole = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # the sitting ended while it was written
                    break
                entry = json.loads(line)
                self._known[entry["name"]] = entry["value"]
                self._before = entry["elapsed"]
                whole += len(line)
        os.truncate(path, whole)

    @property
    def elapsed(self) -> float:
        """Seconds that this run has taken so far, earlier sittings up to their last entry included."""
        return self._before + time.monotonic() - self._started

    def once(self, name: str, decide: Callable[[], Any]) -> Any:
        """The value of that name; `decide` is called where there is none yet. Values are what JSON can hold."""
        if name not in self._known:
            # Through JSON, so that the first sitting sees what a later one will.
            self._known[name] = json.loads(json.dumps(decide()))
            self._append({"name": name, "value": self._known[name], "elapsed": self.elapsed})
        return self._known[name]

    def knows(self, name: str) -> bool:
        """Whether `once` would not have to decide."""
        return name in self._known

    def _append(self, entry: dict[str, Any]) -> None:
        if self._folder is None:
            return
        with (self._folder / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def array(self, name: str, compute: Callable[[], FloatArray]) -> FloatArray:
        """The array of that name; `compute` is called where there is none yet."""
        if self._folder is None:
            if name not in self._arrays:
                self._arrays[name] = compute()
            return self._arrays[name]
        path = self._place(self._folder, name, ".npy")
        if not path.is_file():
            value = compute()
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, value, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        return np.load(path, allow_pickle=False)

    def has_array(self, name: str) -> bool:
        """Whether `array` would not have to compute."""
        return name in self._arrays if self._folder is None else self._place(self._folder, name, ".npy").is_file()

    def checkpoint(self, name: str) -> Path | None:
        """A file for the state of a training under way; None where the journal has no folder."""
        return None if self._folder is None else self._place(self._folder, name, ".ckpt")

    @staticmethod
    def _place(folder: Path, name: str, suffix: str) -> Path:
        place = folder / "journal"
        place.mkdir(exist_ok=True)
        return place / (hashlib.sha256(name.encode()).hexdigest()[:24] + suffix)
