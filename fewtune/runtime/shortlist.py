"""Which words a translation may use: those that the words of the source call for, and the commonest ones.

A lexical shortlist (Kim et al. 2019, D19-5632, section 3) makes the output layer some twenty times smaller. Here
every sentence keeps to its own list, whatever sentences it is decoded beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewtune.errors import BundleError
from fewtune.types import IntArray


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Words of the target by words of the source.

    Attributes:
        always: (a,) sorted ids that may always be used.
        offsets: (source words + 1,) where each source word's own ids begin in `ids`.
        ids: the source words' own ids, one word after the other.
    """

    always: IntArray
    offsets: IntArray
    ids: IntArray

    def of(self, source: Sequence[int]) -> IntArray:
        """Sorted ids that a translation of these source words may use."""
        own = [self.ids[self.offsets[word] : self.offsets[word + 1]] for word in set(source)]
        return np.unique(np.concatenate([self.always, *own]))

    def with_always(self, more: Iterable[int]) -> Shortlist:
        """The same with more ids that may always be used."""
        return replace(self, always=np.union1d(self.always, np.fromiter(more, np.int64)))

    def to_bytes(self) -> bytes:
        """As safetensors."""
        from safetensors.numpy import save

        return save({name: getattr(self, name).astype(np.int32) for name in ("always", "offsets", "ids")})


def read_shortlist(content: bytes, *, where: str) -> Shortlist:
    """The inverse of `Shortlist.to_bytes`.

    Raises:
        BundleError: the content is of another form.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        return Shortlist(*(arrays[name].astype(np.int64) for name in ("always", "offsets", "ids")))
    except (SafetensorError, KeyError) as error:
        raise BundleError(f"The shortlist cannot be read ({error}).", where=where, how="Fit it again.") from None
