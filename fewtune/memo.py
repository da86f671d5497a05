"""What a run has made already, in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Memo:
    """Values by what they were made from; what was asked for longest ago goes where there are too many."""

    def __init__(self, most: int = 4) -> None:
        """Keep `most` values."""
        self._most = most
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of that key; `make` is called where there is none."""
        if key not in self._known:
            self._known[key] = make()
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return self._known[key]
