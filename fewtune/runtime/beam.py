"""Beam search: several translations of each sentence are followed at once, and the best finished one is taken.

A beam's score is the sum of its words' log probabilities by a power of its length, the end included; finished ones are
kept as Transformers keeps them (`GenerationMixin._beam_search`), so that a model translates here as `generate` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fewtune.runtime.greedy import DecodedBatch
from fewtune.types import FloatArray, IntArray

_LOWEST = -1e9


@dataclass(slots=True)
class _Beam:
    """A translation that goes on.

    Attributes:
        score: sum of its log probabilities.
        ids: its words so far.
        waiting: the spans that have no place yet.
        bias: of its words.
    """

    score: float
    ids: list[int]
    waiting: list[IntArray]
    bias: FloatArray


@dataclass(slots=True)
class _Sentence:
    """The beams of a sentence, and its finished translations, best first."""

    beams: list[_Beam]
    done: list[tuple[float, list[int]]] = field(default_factory=list)
    is_over: bool = False


class BeamBatch(DecodedBatch):
    """Sentences with their beams: each has as many rows as there are beams."""

    def decode(self) -> list[list[int]]:
        """The ids of each best translation, without the end."""
        count = self._words.beams
        sentences = [
            _Sentence([_Beam(_LOWEST * (i > 0), [], waiting, bias) for i in range(count)])
            for waiting, bias in zip(self._waiting, self._bias, strict=True)
        ]
        rows = np.repeat(np.arange(len(sentences)), count)
        self._memory, previous = self._network.keep(self._memory, rows), self._previous[rows]
        going = list(range(len(sentences)))
        position = 0
        while going:
            logits = self._network.step(self._memory, previous, position + self._ahead)
            kept: list[int] = []
            chosen: list[int] = []
            still: list[int] = []
            for place, number in enumerate(going):
                own = logits[place * count : (place + 1) * count]
                came_from = self._advance(sentences[number], own, position, self._limits[number])
                if not sentences[number].is_over:
                    still.append(number)
                    kept += [place * count + beam for beam, _ in came_from]
                    chosen += [word for _, word in came_from]
            going, position = still, position + 1
            if going:
                self._memory = self._network.keep(self._memory, np.array(kept))
                previous = np.array(chosen, np.int64)
        return [sentence.done[0][1] if sentence.done else sentence.beams[0].ids for sentence in sentences]

    def _advance(self, sentence: _Sentence, logits: FloatArray, position: int, limit: int) -> list[tuple[int, int]]:
        """A step of a sentence; for each beam that goes on, the one that it comes from and the word's place."""
        count, length = self._words.beams, (position + 1 + self._ahead) ** self._words.length_penalty
        scores = self._scores(sentence, logits, position, limit)
        candidates = _highest(scores.reshape(-1), 2 * count)
        last = position + 1 >= limit
        following: list[_Beam] = []
        came_from: list[tuple[int, int]] = []
        for rank, (score, at) in enumerate(candidates):
            beam, word = divmod(at, scores.shape[1])
            ends = word == self._end
            if ends or last:
                if rank < count and score > _LOWEST / 2:
                    ids = sentence.beams[beam].ids + ([] if ends else [int(self._output_ids[word])])
                    self._finish(sentence, score / length, ids)
            elif len(following) < count:
                following.append(self._following(sentence.beams[beam], word, score))
                came_from.append((beam, word))
        sentence.beams = following or sentence.beams
        sentence.is_over = last or self._is_over(sentence, position + 1 + self._ahead)
        return came_from

    def _scores(self, sentence: _Sentence, logits: FloatArray, position: int, limit: int) -> FloatArray:
        """(beams, words) of each beam with each next word."""
        bias = np.stack([beam.bias for beam in sentence.beams])
        # A model that may use every word is not asked how likely only some of them are.
        logits = logits if self._words.shortlist is None else logits + bias
        highest = logits.max(axis=1, keepdims=True)
        log_probs = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)) + bias
        for row, beam in enumerate(sentence.beams):
            full = position + len(beam.waiting) >= limit
            forced = self._forced(beam.waiting, log_probs[row], full) if beam.waiting else None
            if forced is not None:
                others = np.ones(log_probs.shape[1], bool)
                others[forced] = False
                log_probs[row, others] = -np.inf
        return log_probs + np.array([[beam.score] for beam in sentence.beams], np.float32)

    def _following(self, beam: _Beam, word: int, score: float) -> _Beam:
        waiting, bias = beam.waiting, beam.bias
        for place, forms in enumerate(waiting):
            if word in forms:
                bias = bias.copy()
                bias[forms] = -np.inf
                waiting = waiting[:place] + waiting[place + 1 :]
                break
        return _Beam(score, [*beam.ids, int(self._output_ids[word])], waiting, bias)

    def _finish(self, sentence: _Sentence, score: float, ids: list[int]) -> None:
        """Keep a finished translation, of as many as there are beams the best."""
        if self._words.stops_early and len(sentence.done) == self._words.beams:
            return
        sentence.done = sorted([*sentence.done, (score, ids)], key=lambda entry: -entry[0])[: self._words.beams]

    def _is_over(self, sentence: _Sentence, length: int) -> bool:
        """Whether no beam can become better than the worst of the finished ones."""
        if len(sentence.done) < self._words.beams:
            return False
        best = sentence.beams[0].score / length**self._words.length_penalty
        return self._words.stops_early or best <= sentence.done[-1][0]


def _highest(scores: FloatArray, count: int) -> list[tuple[float, int]]:
    """The highest scores with their places, best first."""
    count = min(count, len(scores))
    places = np.argpartition(-scores, count - 1)[:count]
    places = places[np.lexsort((places, -scores[places]))]
    return [(float(scores[place]), int(place)) for place in places]
