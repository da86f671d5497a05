"""Many sentences translated in batches of like length, greedily or by beam search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fewtune.progress import Step
from fewtune.runtime.beam import BeamBatch
from fewtune.runtime.greedy import GreedyBatch, Source, StepNetwork, Words
from fewtune.runtime.sampling import Sampling

# Tokens of sources, padding included, that are decoded together, and sentences at most.
_TOKENS, _SENTENCES = 1536, 64


def decode(
    network: StepNetwork,
    sources: Sequence[Source],
    words: Words,
    *,
    sampling: Sampling | None = None,
    step: Step | None = None,
) -> list[list[int]]:
    """Translate.

    Args:
        network: what computes the logits.
        sources: n sentences.
        words: what may be used.
        sampling: how words are drawn by chance, of one beam alone; None: the likeliest is taken.
        step: is told of every sentence done.

    Returns:
        The ids of each translation, without the end.
    """
    kind = BeamBatch if words.beams > 1 and sampling is None else GreedyBatch
    found: list[list[int]] = [[] for _ in sources]
    for batch in _batches([len(source.ids) for source in sources], words.beams):
        drawn = sampling.of(batch) if sampling else None
        decoded = kind(network, [sources[i] for i in batch], words, drawn).decode()
        for i, ids in zip(batch, decoded, strict=True):
            found[i] = ids
        if step is not None:
            step.advance(len(batch))
    return found


def _batches(lengths: Sequence[int], beams: int) -> Iterator[list[int]]:
    """Indices of sentences of like length, longest first."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        size = min(_SENTENCES, max(1, _TOKENS // max(1, lengths[order[0]])))
        size = max(1, size // beams)
        yield order[:size]
        order = order[size:]
