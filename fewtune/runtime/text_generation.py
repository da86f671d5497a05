"""Write replies with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewtune.bundle.manifest import Manifest
from fewtune.data.conversation import USER, Conversation, Generated, conversation_from
from fewtune.errors import BundleError, DataError
from fewtune.progress import Step
from fewtune.runtime.causal_graph import CausalGraph
from fewtune.runtime.chat import ChatFormat
from fewtune.runtime.structured import StructuredRuntime

SETTINGS_FILE = "generation.json"
_HOW = "Upgrade onnxruntime and tokenizers; if that does not help, fit the bundle again."


@dataclass(frozen=True, slots=True)
class Writing:
    """How replies are written.

    Attributes:
        chat: what stands around and between the turns.
        ends: ids of the tokens that end a reply; the first ends a reference.
        max_new_tokens: longer replies are cut.
        max_tokens: that the model reads, prompt and reply together.
    """

    chat: ChatFormat
    ends: tuple[int, ...]
    max_new_tokens: int
    max_tokens: int

    def to_json(self) -> bytes:
        """As a bundle holds it."""
        return (json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n").encode()


def writing_from_json(content: bytes, *, where: str) -> Writing:
    """The inverse of `Writing.to_json`.

    Raises:
        BundleError: it is not what `to_json` writes.
    """
    try:
        values = json.loads(content)
        chat = ChatFormat(**values.pop("chat"))
        return Writing(chat, tuple(int(end) for end in values.pop("ends")), **values)
    except (TypeError, ValueError, KeyError) as error:
        how = "Fit or copy the bundle again."
        raise BundleError(f"{SETTINGS_FILE} is malformed ({error!r}).", where=where, how=how) from None


class Writer:
    """A model with its tokenizer that replies to conversations."""

    def __init__(self, model: bytes | Path, tokenizer_json: bytes, writing: Writing, *, threads: int) -> None:
        """Open the graph; `model` is its content or its file."""
        from tokenizers import Tokenizer

        self._graph = CausalGraph(model, threads=threads)
        self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        self._writing = writing

    def answers(self, conversations: Sequence[Conversation], *, step: Step | None = None) -> list[Generated]:
        """A reply to each, and the probability of its reference where it has one.

        Raises:
            DataError: a conversation's turns are out of order, or it is longer than the model reads.
        """
        prompts = [self._ids(some) for some in conversations]
        known = [i for i, some in enumerate(conversations) if some.reference is not None]
        replies = [self._reply(conversations[i], prompts[i]) for i in known]
        found = dict(zip(known, self._graph.log_probs([prompts[i] for i in known], replies), strict=True))
        writing = self._writing
        written = self._graph.generate(prompts, most=writing.max_new_tokens, ends=writing.ends, step=step)
        texts = [self._tokenizer.decode(ids).strip() for ids in written]
        return [
            Generated(text, float(found[i].sum()), len(found[i])) if i in found else Generated(text)
            for i, text in enumerate(texts)
        ]

    def _ids(self, conversation: Conversation) -> list[int]:
        text = self._writing.chat.prompt(conversation.turns)
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        self._check(len(ids) + self._writing.max_new_tokens, conversation)
        return ids

    def _reply(self, conversation: Conversation, prompt: Sequence[int]) -> list[int]:
        ids = self._tokenizer.encode(conversation.reference or "", add_special_tokens=False).ids
        self._check(len(prompt) + len(ids) + 1, conversation)
        return [*ids, self._writing.ends[0]]

    def _check(self, tokens: int, conversation: Conversation) -> None:
        if tokens > self._writing.max_tokens:
            raise DataError(
                f"Prompt and reply take {tokens} tokens, and the model reads {self._writing.max_tokens}.",
                where=str(conversation)[:60],
                how="Shorten the prompt.",
            )


class TextGenerationRuntime(StructuredRuntime):
    """A bundle for text generation, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graph; the files must have been verified.

        Raises:
            BundleError: a file is missing or malformed, or this ONNX Runtime cannot run the graph.
        """
        contract = manifest.graph("decoder")
        for name in (contract.tokenizer, SETTINGS_FILE):
            if name not in manifest.files:
                raise BundleError(f"The bundle has no {name}.", where=str(folder), how=_HOW)
        writing = writing_from_json((folder / SETTINGS_FILE).read_bytes(), where=str(folder))
        try:
            tokenizer = (folder / contract.tokenizer).read_bytes()
            self._writer = Writer(folder / contract.file, tokenizer, writing, threads=threads)
        except Exception as error:  # ONNX Runtime and tokenizers raise many kinds, bare Exception among them
            message = f"{contract.file} cannot be opened here ({type(error).__name__}: {error})."
            raise BundleError(message, where=str(folder), how=_HOW) from error

    def checked(self, inputs: Any) -> list[Any]:
        """Prompts, lists of messages or conversations. Raises TypeError where it is one prompt, or something else."""
        if isinstance(inputs, str | bytes | Mapping) or not isinstance(inputs, Sequence):
            raise TypeError(f"give a list of prompts, not a {type(inputs).__name__}")
        return [_conversation(some) for some in inputs]

    def answers(self, inputs: Sequence[Any], *, step: Step | None = None) -> list[Generated]:
        """A reply to each conversation; raises DataError where one cannot be replied to."""
        return self._writer.answers(inputs, step=step)


def _conversation(some: Any) -> Conversation:
    if isinstance(some, Conversation):
        return some
    if isinstance(some, str):
        return Conversation(((USER, some),))
    if isinstance(some, Sequence) and not isinstance(some, bytes):
        return conversation_from(some, where="messages")
    raise TypeError(f"a prompt is a text or a list of messages, not a {type(some).__name__}")
