"""What a translation model is made of, whatever its architecture: network, vocabularies, what stands round words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from fewtune.interfaces import Backbone
from fewtune.runtime.greedy import Words
from fewtune.runtime.seq2seq_graph import Seq2SeqGraph
from fewtune.runtime.shortlist import Shortlist
from fewtune.runtime.subwords import Frame, Marks, Subwords, Vocabulary
from fewtune.types import Graph

if TYPE_CHECKING:
    from fewtune.backbones.translation_network import TranslationNetwork

# Words that can stand for protected spans, at most.
MARKS = 32


class TranslatorParts(ABC):
    """A translation model as it is read."""

    @property
    @abstractmethod
    def shortlist(self) -> Shortlist | None:
        """Which words a translation may use by those of its source; None: all of them."""

    @abstractmethod
    def directed(self, languages: tuple[str, str]) -> Self:
        """The same for these languages of source and target. Raises RecipeError where the model lacks one of them."""

    @abstractmethod
    def tuned(self, tensors: Mapping[str, np.ndarray], more_words: Iterable[int] = ()) -> Self:
        """The same with other weights, and with more words that may always be used."""

    @abstractmethod
    def marks(self) -> Marks:
        """Words of both vocabularies that can stand for protected spans: rare names, which are copied anyhow."""

    @abstractmethod
    def tokenizers(self, marks: Marks) -> tuple[bytes, bytes]:
        """The source's and the target's, in the format of `tokenizers`."""

    @abstractmethod
    def frame(self) -> Frame:
        """What stands round the words of a sentence."""

    @abstractmethod
    def words(self, marks: Marks) -> Words:
        """What a translation may use."""

    @abstractmethod
    def graphs(self) -> tuple[bytes, bytes]:
        """Encoder and decoder as serialised ONNX models."""

    @abstractmethod
    def contracts(self, target_tokenizer: str) -> tuple[Graph, ...]:
        """What goes into the graphs and comes out of them."""

    @abstractmethod
    def network(self) -> TranslationNetwork:
        """The network in PyTorch, to be tuned."""

    @abstractmethod
    def spoken(self) -> tuple[list[str], np.ndarray]:
        """Pieces that texts of the source's language are made of, and their shares, which sum to 1."""

    def about(self) -> dict[str, object]:
        """What a bundle says of the pretrained part beside its name and licence."""
        return {}

    def assets(self) -> dict[str, bytes]:
        """Files that a bundle keeps for other programs."""
        return {}

    def subwords(self, marks: Marks) -> Subwords:
        """The vocabularies, opened."""
        source, target = self.tokenizers(marks)
        opened = Vocabulary(source)
        return Subwords(opened, opened if target == source else Vocabulary(target), marks, self.frame())

    def graph(self, *, threads: int) -> Seq2SeqGraph:
        """The network, opened without torch."""
        encoder, decoder = self.graphs()
        return Seq2SeqGraph(encoder, decoder, threads=threads)


class TranslationModel(Backbone):
    """A pretrained model from one language to another, or between many.

    Attributes:
        pair: BCP 47 codes of the source's language and the target's; empty where they are not known.
    """

    pair: tuple[str, str] = ("", "")

    @abstractmethod
    def load(self) -> TranslatorParts:
        """Read weights, vocabularies and what else there is. Raises UserError where they cannot be had."""

    @cached_property
    def parts(self) -> TranslatorParts:
        """`load`, once."""
        return self.load()
