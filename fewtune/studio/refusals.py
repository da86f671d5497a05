"""Answers that say no; each has a code, by which the page can say it in its own language."""

from __future__ import annotations

from fewtune.serve.refusals import Refusal


class StudioRefusal(Refusal):
    """A request that is not answered.

    Attributes:
        code: short and stable; the page's words have an entry for it.
    """

    def __init__(self, status: int, code: str, what: str, *, where: str = "", how: str = "") -> None:
        super().__init__(status, what, where=where, how=how)
        self.code = code

    def as_dict(self) -> dict[str, str]:
        """What, where, how, and the code."""
        return {**super().as_dict(), "code": self.code}


def no_project() -> StudioRefusal:
    """A name that no project has."""
    return StudioRefusal(404, "no-project", "There is no such project.", how="Go back to the list of projects.")


def no_example() -> StudioRefusal:
    """A number that no example has."""
    return StudioRefusal(404, "no-example", "There is no such example.", how="Reload the page.")


def changed_elsewhere() -> StudioRefusal:
    """Another tab was quicker."""
    return StudioRefusal(
        409,
        "changed-elsewhere",
        "This example was changed in another window in the meantime.",
        how="Look at it as it is now, and change it again if it is still wrong.",
    )


def no_model() -> StudioRefusal:
    """Nothing was trained yet."""
    return StudioRefusal(404, "no-model", "There is no model yet.", how="Train one first.")


def disk_full() -> StudioRefusal:
    """Nothing of the request was kept."""
    return StudioRefusal(507, "disk-full", "The disk is full: this was not saved.", how="Make room, and try again.")


def damaged() -> StudioRefusal:
    """A project's file is no longer one."""
    return StudioRefusal(
        500, "damaged", "This project's file is damaged.", how="Put a copy of the project's folder in its place."
    )


def too_large(limit_bytes: int) -> StudioRefusal:
    """A file beyond the limit."""
    return StudioRefusal(
        413,
        "too-large",
        f"The file is larger than {limit_bytes // 1_000_000} MB.",
        where="file",
        how="Split it, or save the pictures smaller.",
    )
