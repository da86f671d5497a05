"""What a causal language model reads and writes: the turns of a conversation, and the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fewtune.errors import DataError

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
Turns = tuple[tuple[str, str], ...]
_ROLES = {
    **dict.fromkeys((SYSTEM, "developer"), SYSTEM),
    **dict.fromkeys((USER, "human"), USER),
    **dict.fromkeys((ASSISTANT, "gpt", "model", "bot"), ASSISTANT),
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is to be replied to.

    Attributes:
        turns: (role, text) each: perhaps "system", then "user" and "assistant" by turns; the last one is the user's.
        reference: the reply that is wanted; None where it is not known. It is never shown to the model that
            writes a reply: its probability is measured.
    """

    turns: Turns
    reference: str | None = None

    def __str__(self) -> str:
        """The text of a single turn; else a line a turn."""
        if len(self.turns) == 1:
            return self.turns[0][1]
        return "\n".join(f"{role}: {text}" for role, text in self.turns)


@dataclass(frozen=True, slots=True)
class Generated:
    """A reply.

    Attributes:
        text: what the model wrote; None where it was only asked for the reference's probability.
        log_prob: natural logarithm of the reference's probability, its end included; None without a reference.
        tokens: of the reference, its end included; 0 without one.
    """

    text: str | None
    log_prob: float | None = None
    tokens: int = 0

    def __str__(self) -> str:
        """The text."""
        return self.text or ""


def conversation_from(messages: Sequence[Any], *, where: str) -> Conversation:
    """Chat messages, such as {"role": "user", "content": "..."}, that end with the user's.

    Raises:
        DataError: one has no role or no text.
    """
    return Conversation(without_greeting(turns_from(messages, where=where)))


def in_order(turns: Turns) -> bool:
    """Whether turns go as a `Conversation`'s do."""
    roles = [role for role, _ in turns[bool(turns) and turns[0][0] == SYSTEM :]]
    return len(roles) % 2 == 1 and roles == [USER if i % 2 == 0 else ASSISTANT for i in range(len(roles))]


def without_greeting(turns: Turns) -> Turns:
    """Turns without what the assistant says before the user's first: no chat template has a place for it."""
    opening = turns[:1] if turns and turns[0][0] == SYSTEM else ()
    rest = turns[len(opening) :]
    return opening + rest[bool(rest) and rest[0][0] == ASSISTANT :]


def turns_from(messages: Sequence[Any], *, where: str) -> Turns:
    """(role, text) of chat messages; "from" and "value", "human" and "gpt" are understood too.

    What one says in several messages is one turn, and who says nothing has none.

    Raises:
        DataError: one has no role that is known, or no text.
    """
    turns: list[tuple[str, str]] = []
    for number, message in enumerate(messages, start=1):
        found = message if isinstance(message, Mapping) else {}
        role = _ROLES.get(str(found.get("role", found.get("from", ""))).lower())
        text = found.get("content", found.get("value"))
        if role is None or not isinstance(text, str):
            raise DataError(
                f"Message {number} has no {'role that is known' if role is None else 'text'}.",
                where=where,
                how='Write messages such as {"role": "user", "content": "..."}; roles are system, user, assistant.',
            )
        if turns and turns[-1][0] == role and text.strip():
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text.strip()}")
        elif text.strip():
            turns.append((role, text.strip()))
    return tuple(turns)
