"""What can go wrong, and who can mend it.

FewtuneError                  every error of ours; `exit_status` is the command line's
├── UserError            (2)  the user can mend it: says what, where and how
│   ├── DataError             a file or a row that cannot be used
│   ├── RecipeError           a setting that is unknown, out of range or does not fit the others
│   ├── MissingExtraError     an optional part that is not installed
│   ├── BundleError           a bundle that is missing, altered or of another version
│   └── OutputError           a place that cannot be written to
└── InternalError        (1)  our fault: a promise of fewtune's own that did not hold
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FewtuneError(Exception):
    """Base of every error raised on purpose.

    Attributes:
        what: what is wrong, one sentence.
        where: file, line, column or option; empty where there is none.
        how: how to mend it; empty where nothing can be done.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", how: str = "") -> None:
        super().__init__(what, where, how)
        self.what = what
        self.where = where
        self.how = how

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n{self.how}" if self.how else ""
        return f"{place}{self.what}{remedy}"

    def as_dict(self) -> dict[str, str]:
        """The error as `--json` prints it."""
        return {"what": self.what, "where": self.where, "how": self.how}


class UserError(FewtuneError):
    """Something the user can mend."""

    exit_status = 2


class DataError(UserError):
    """A file or a row that cannot be used."""


class RecipeError(UserError):
    """A setting that is unknown, out of range, or does not fit the others."""


class MissingExtraError(UserError):
    """An optional part of fewtune that is not installed."""

    def __init__(self, extra: str, *, needed_for: str, where: str = "") -> None:
        super().__init__(
            f"{needed_for} needs the extra [{extra}], which is not installed.",
            where=where,
            how=f'Install it with: pip install "fewtune[{extra}]"',
        )
        self.extra = extra


class BundleError(UserError):
    """A bundle that is missing, altered, or of a version this program does not know."""


class OutputError(UserError):
    """A place that cannot be written to."""


class InternalError(FewtuneError):
    """A promise of fewtune's own that did not hold: please report it."""

    exit_status = 1


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest of `known`, or all of them where none is near."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    wanted = name.lower()
    within = [candidate for candidate in by_lower if len(wanted) > 2 and wanted in candidate]
    near = within or difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(by_lower[candidate] for candidate in near) + "?"
    return "Known: " + ", ".join(by_lower.values()) + "."
