"""A student that counts words: TF-IDF and a linear head, taught by the original. The smallest and fastest there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fewtune.augment.policy import Policies
from fewtune.compress.lessons import lessons, taught_head
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.tune.augmented import AugmentedTexts
from fewtune.tune.tfidf import MAX_TOKENS, Terms, inverse_document_frequency, term_contract, term_graph, weighted
from fewtune.types import Example

_COUNTS = b"TfIdfVectorizer"
_USUAL_TERMS = 20_000.0


class WordsStudent(Compressor):
    """Words and pairs of them, weighted, under a linear head."""

    name = "tfidf"
    option = "distill"
    tasks = ("text-classification",)
    help = "a student that counts words, without any encoder; the strength is how many words and pairs it knows"
    strengths = (10.0, 50_000.0, _USUAL_TERMS)

    def __init__(self, policies: Policies) -> None:
        """Learn from views by these, too."""
        self._policies = policies

    def obstacle(self, content: Content) -> str:
        """Why not: it counts words already."""
        return "it counts words already" if all(_COUNTS in graph for graph in content.graphs.values()) else ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Teach it.

        Raises:
            ImpossibleError: there are too few texts to learn from.
        """
        taught = lessons(content, examples, self._policies, run)
        known = AugmentedTexts(taught.texts[: taught.at_hand], np.arange(taught.at_hand), taught.at_hand)
        terms = Terms.of(known, most=round(_USUAL_TERMS if strength is None else strength))
        idf = inverse_document_frequency(terms.counts)
        head = taught_head(weighted(terms.count(taught.texts), idf), taught, run)
        note = f"a student of {len(terms.ngrams)} words and pairs, taught by {len(taught.texts)} texts"
        run.progress.say(note)
        return replace(
            content,
            graphs={"model.onnx": term_graph(terms.ngrams, idf, head)},
            contracts=(term_contract(len(head.bias)),),
            assets={"tokenizer.json": terms.tokenizer.to_str().encode()},
            backbone={"name": "", "max_tokens": MAX_TOKENS, "terms": len(terms.ngrams)},
            notes=(*content.notes, note),
        )
