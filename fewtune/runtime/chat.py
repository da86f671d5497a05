"""How the turns of a conversation become one text for the model; its chat template, made fixed pieces."""

from __future__ import annotations

from dataclasses import dataclass

from fewtune.data.conversation import SYSTEM, Turns, in_order
from fewtune.errors import DataError


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What stands around and between the turns.

    Attributes:
        opening: before a first turn that is the user's.
        system_opening, after_system: before and behind a system's text; None where the model knows none.
        reply: between a user's turn and the assistant's.
        again: between an assistant's turn and the user's next.
    """

    opening: str
    system_opening: str | None
    after_system: str
    reply: str
    again: str

    def prompt(self, turns: Turns) -> str:
        """The text up to where the reply begins.

        Raises:
            DataError: the turns are not in the order that `Conversation` asks for, or the model knows no system's text.
        """
        text, rest = self.opening, turns
        if turns and turns[0][0] == SYSTEM:
            if self.system_opening is None:
                raise DataError(
                    "The model's chat template has no place for a system message.",
                    where=turns[0][1][:60],
                    how="Put what it says before the first prompt.",
                )
            text, rest = self.system_opening + turns[0][1] + self.after_system, turns[1:]
        if not in_order(turns):
            raise DataError(
                f"The turns go {', '.join(role for role, _ in turns) or 'nowhere'}.",
                how="They should go user, assistant, ..., user; one system message may stand before them.",
            )
        for i, (_, content) in enumerate(rest):
            text += content + (self.reply if i % 2 == 0 else self.again)
        return text
