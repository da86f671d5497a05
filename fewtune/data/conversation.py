"""What a causal language model reads and writes: the turns of a conversation, and the reply."""

from __future__ import annotations

from dataclasses import dataclass

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
Turns = tuple[tuple[str, str], ...]


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
