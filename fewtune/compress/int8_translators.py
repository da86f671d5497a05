"""8-bit integers for translators, but for the matrices that they hurt.

Nearly always that is none. Where the network no longer is as sure of the words of its own translations as in float,
each group of matrices that reads the same hidden states is quantised alone, and those that hurt most stay in float: a
few inputs that are far larger than all others leave a token too few steps (Bondarenko et al. 2021, arXiv:2109.12948).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from fewtune.compress.int8_matrices import matrices_in_integers, matrix_groups
from fewtune.data.protection import unprotected
from fewtune.interfaces import Content, RunContext
from fewtune.runtime.decoding import decode
from fewtune.runtime.greedy import Source, Words, padded
from fewtune.runtime.passages import cut
from fewtune.runtime.seq2seq_graph import Seq2SeqGraph
from fewtune.runtime.shortlist import read_shortlist
from fewtune.runtime.subwords import Subwords, Vocabulary
from fewtune.runtime.translation import LONGEST, SETTINGS_FILE, SHORTLIST_FILE, settings_from_json
from fewtune.types import Example, FloatArray, IntArray

_MOST_PASSAGES = 32
_TOGETHER = 16
# Largest mean change of the probability of a word of the original's translations, before matrices are left in float.
_MOST_SHIFT = 0.02
# Groups of matrices that may stay in float, the fewest that do are taken.
_LEFT_IN_FLOAT = (1, 2, 4, 8)


def translator_in_integers(content: Content, examples: Sequence[Example], run: RunContext) -> Content:
    """Quantise as many matrices as leave the network sure of its words.

    Raises:
        ImpossibleError: there are none that are worth it.
    """
    whole = matrices_in_integers(content)
    said = _said(content, examples, run) if examples else []
    if not said:
        return whole
    wanted = _sureness(content, said, run)

    def shift(some: Content) -> float:
        return float(np.abs(_sureness(some, said, run) - wanted).mean())

    best, least, floats = whole, shift(whole), list[str]()
    if least <= _MOST_SHIFT:
        return whole
    groups = matrix_groups(content)
    every = {name for group in groups for name in group}
    alone = []
    with run.progress.step("Find the layers that integers hurt", total=len(groups)) as step:
        for group in groups:
            alone.append(shift(matrices_in_integers(content, every - set(group))))
            step.advance()
    order = np.argsort(-np.array(alone), kind="stable")
    for count in (count for count in _LEFT_IN_FLOAT if count < len(groups)):
        left = [name for place in sorted(order[:count]) for name in groups[place]]
        some = matrices_in_integers(content, left)
        moved = shift(some)
        if moved < least:
            best, least, floats = some, moved, left
        if moved <= _MOST_SHIFT:
            break
    return replace(best, notes=(*content.notes, *_note(floats)))


def _note(floats: Sequence[str]) -> Iterator[str]:
    if floats:
        yield f"{len(floats)} matrices stay in float: {', '.join(name.removesuffix('.turned') for name in floats)}"


@dataclass(frozen=True, slots=True)
class _Said:
    """Sentences with the translations that the original gives them.

    Attributes:
        input_ids, mask: (sentences, source words).
        output_ids: (words,) ids that may be used.
        given: (sentences, steps) places in `output_ids` of the words before.
        wanted: (sentences, steps) places of the words that come next.
        counts: (sentences, steps) whether a step is within the translation.
    """

    input_ids: IntArray
    mask: IntArray
    output_ids: IntArray
    given: IntArray
    wanted: IntArray
    counts: np.ndarray

    @staticmethod
    def of(sources: Sequence[Source], translations: Sequence[Sequence[int]], words: Words) -> _Said:
        """Put together what is read together."""
        output_ids = np.unique(np.concatenate([*(words.of(source) for source in sources), words.start]))
        output_ids = output_ids.astype(np.int64)
        begin = np.searchsorted(output_ids, words.start).tolist() or [-1]
        paths = [np.searchsorted(output_ids, [*found, words.end]).tolist() for found in translations]
        steps = len(begin) - 1 + max(map(len, paths))
        given = np.zeros((len(paths), steps), np.int64)
        wanted, counts = np.zeros_like(given), np.zeros(given.shape, bool)
        for row, path in enumerate(paths):
            until = len(begin) - 1 + len(path)
            given[row, :until] = [*begin, *path[:-1]]
            wanted[row, len(begin) - 1 : until] = path
            counts[row, len(begin) - 1 : until] = True
        return _Said(*padded(sources), output_ids, given, wanted, counts)


def _said(content: Content, examples: Sequence[Example], run: RunContext) -> list[_Said]:
    """What the original says to some of the examples."""
    settings = settings_from_json(content.assets[SETTINGS_FILE], where=SETTINGS_FILE)
    listed = content.assets.get(SHORTLIST_FILE)
    words = settings.words(read_shortlist(listed, where=SHORTLIST_FILE) if listed is not None else None)
    encoder = next(graph for graph in content.contracts if graph.role == "encoder")
    vocabulary = Vocabulary(content.assets[encoder.tokenizer])
    subwords = Subwords(vocabulary, vocabulary, settings.marks, settings.frame(vocabulary))

    def passages() -> Iterator[Source]:
        for place in run.generator("calibration").permutation(len(examples)):
            for passage in cut(unprotected(examples[place].input), fits).passages:
                yield subwords.encode_source(passage.text)

    def fits(text: str) -> bool:
        return len(subwords.encode_source(text).ids) <= LONGEST

    sources = sorted(islice(passages(), _MOST_PASSAGES), key=lambda source: -len(source.ids))
    translations = decode(_graph(content, run), sources, words)
    together = [slice(start, start + _TOGETHER) for start in range(0, len(sources), _TOGETHER)]
    return [_Said.of(sources[some], translations[some], words) for some in together]


def _graph(content: Content, run: RunContext) -> Seq2SeqGraph:
    files: Mapping[str, bytes] = {graph.role: content.graphs[graph.file] for graph in content.contracts}
    return Seq2SeqGraph(files["encoder"], files["decoder"], threads=run.threads)


def _sureness(content: Content, said: Sequence[_Said], run: RunContext) -> FloatArray:
    """The probability of every word of the translations, where those before it are given."""
    graph = _graph(content, run)
    found = []
    for some in said:
        memory = graph.begin(some.input_ids, some.mask, some.output_ids)
        for position, (given, wanted, counts) in enumerate(
            zip(some.given.T, some.wanted.T, some.counts.T, strict=True)
        ):
            logits = graph.step(memory, given, position)
            logits -= logits.max(axis=1, keepdims=True)
            sure = np.exp(logits[np.arange(len(wanted)), wanted]) / np.exp(logits).sum(axis=1)
            found.append(sure[counts])
    return np.concatenate(found)
