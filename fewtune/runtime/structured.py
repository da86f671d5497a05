"""What every bundle can do whose answers are not classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from fewtune.progress import Step


class StructuredRuntime(ABC):
    """A bundle that answers with boxes, masks or texts, opened. Made from (folder, manifest, threads=...)."""

    @abstractmethod
    def checked(self, inputs: Any) -> list[Any]:
        """The inputs as a list. Raises TypeError where they are not what this bundle reads."""

    @abstractmethod
    def answers(self, inputs: Sequence[Any], *, step: Step | None = None) -> list[Any]:
        """An answer to each input.

        Raises:
            DataError: an input cannot be read.
        """
