"""What the augmentations that need synonyms share: where these come from is part of what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fewtune.augment.by_words import ByWords
from fewtune.augment.thesaurus import SOURCES, check_thesaurus, installed_source


class BySynonyms(ByWords):
    """Takes synonyms from one source, the best that is installed or the one that is named."""

    sources: ClassVar[tuple[str, ...]] = SOURCES

    def __init__(self, strength: float = 0.1, keep: Sequence[str] = (), source: str = "") -> None:
        """Set it up; see `Augmentation`. Without a `source`, it is what is installed."""
        super().__init__(strength, keep)
        self.source = source or installed_source()

    @property
    def full_name(self) -> str:
        """With the source: another one would make other views, and so another model."""
        return f"{self.name}:{self.source}"

    def check(self, texts: Sequence[str]) -> None:
        """Raises RecipeError or MissingExtraError where the source has no synonyms for the texts' languages."""
        super().check(texts)
        check_thesaurus(texts, self.source)
