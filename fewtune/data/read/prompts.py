"""Prompts with their replies, or chats, from the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewtune.data.conversation import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    Turns,
    in_order,
    turns_from,
    without_greeting,
)
from fewtune.data.read import read_table
from fewtune.errors import DataError, nearest
from fewtune.types import Dataset, Example, Table

_PROMPTS = ("prompt", "instruction", "question", "input", "text")
_REPLIES = ("response", "completion", "reply", "answer", "output")
_CHATS = ("messages", "conversations", "conversation", "chat")
_SYSTEMS = ("system", "system_prompt")
_GROUPS = ("group", "group_id")
_JSON_ENDINGS = (".jsonl", ".ndjson", ".jsonlines")
_PEEKED_BYTES = 65_536
_EMPTY = "rows without a prompt or a reply"
_GREETINGS = "greetings of the assistant before the first prompt"
_DISORDER = "replies before which user and assistant do not take turns"
_HOW = 'Write lines such as {"prompt": "...", "response": "..."} or {"messages": [{"role": "user", ...}, ...]}.'


def holds_prompts(source: Any) -> bool:
    """Whether data looks like prompts with replies or chats: by the keys of its first row."""
    first: Any = None
    if isinstance(source, str | Path):
        first = _first_line(Path(source).expanduser())
    elif isinstance(source, Sequence) and source:
        first = source[0]
    keys = {str(key).strip().lower() for key in first} if isinstance(first, dict) else set()
    return bool(keys & set(_CHATS)) or ("prompt" in keys and bool(keys & set(_REPLIES)))


def _first_line(path: Path) -> Any:
    if path.suffix.lower() not in _JSON_ENDINGS or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return json.loads(file.readline(_PEEKED_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError):
        return None


def read_prompts(source: Any, *, prompt: str, reply: str, group: str, task: str) -> Dataset:
    """Read examples: every reply of a chat is one, with the turns before it.

    Args:
        source: whatever `read_table` reads.
        prompt, reply, group: column names; empty: found by their names.
        task: the task's name.

    Raises:
        DataError: it cannot be read, has no column of that kind, or no reply at all.
    """
    table = read_table(source)
    chats = "" if prompt else _column(table, "", _CHATS)
    group = _column(table, group, _GROUPS)
    groups = table.column(group) if group else [""] * len(table.rows)
    if chats:
        notes = [f"chats from column {chats!r}: each reply of the assistant is an example"]
        examples, left_out = _from_chats(table, chats, groups)
    else:
        prompt, reply = _needed(table, prompt, _PROMPTS, "prompt"), _needed(table, reply, _REPLIES, "response")
        notes = [f"prompts from column {prompt!r}, replies from column {reply!r}"]
        examples, left_out = _from_pairs(table, prompt, reply, groups)
    notes += [f"left out {len(some)} {what} ({', '.join(some[:5])})" for what, some in left_out.items() if some]
    if not examples:
        raise DataError("No row has both a prompt and a reply.", where=table.source, how=_HOW)
    return Dataset(task, tuple(examples), (), table.source, table.sha256, (*table.notes, *notes))


def prompts_of(table: Table, prompt: str) -> tuple[tuple[Conversation, ...], str]:
    """What is to be replied to, row by row, and a note that says where it was found.

    Raises:
        DataError: there is no such column, or a chat has nothing to reply to.
    """
    chats = "" if prompt else _column(table, "", _CHATS)
    if chats:
        found = []
        for text, place in zip(table.column(chats), table.places, strict=True):
            turns = without_greeting(_turns(text, place))
            found.append(Conversation(turns[:-1] if turns and turns[-1][0] == ASSISTANT else turns))
        return tuple(found), f"chats from column {chats!r}"
    if len(table.columns) == 1 and not prompt:
        prompt = "".join(table.columns)
    prompt = _needed(table, prompt, _PROMPTS, "prompt")
    system = _systems(table)
    rows = zip(system, table.column(prompt), strict=True)
    return tuple(Conversation(_opened(before, text)) for before, text in rows), f"prompts from column {prompt!r}"


LeftOut = dict[str, list[str]]


def _from_pairs(table: Table, prompt: str, reply: str, groups: Sequence[str]) -> tuple[list[Example], LeftOut]:
    """The examples, and what was left out with its places."""
    examples: list[Example] = []
    empty: list[str] = []
    columns = (_systems(table), table.column(prompt), table.column(reply), groups, table.places)
    for system, text, wanted, group, place in zip(*columns, strict=True):
        if text.strip() and wanted.strip():
            examples.append(_example(_opened(system, text), wanted.strip(), place, group))
        else:
            empty.append(place)
    return examples, {_EMPTY: empty}


def _from_chats(table: Table, column: str, groups: Sequence[str]) -> tuple[list[Example], LeftOut]:
    """The examples, and what was left out with its places."""
    examples: list[Example] = []
    left_out: LeftOut = {_EMPTY: [], _GREETINGS: [], _DISORDER: []}
    for text, group, place in zip(table.column(column), groups, table.places, strict=True):
        said = _turns(text, place)
        turns = without_greeting(said)
        replies = [i for i, turn in enumerate(turns) if turn[0] == ASSISTANT]
        fitting = [i for i in replies if in_order(turns[:i])]
        # A chat's replies have most of their words in common: they stay together.
        examples += [_example(turns[:i], turns[i][1], place, group or place) for i in fitting]
        if not replies:
            left_out[_EMPTY].append(place)
        elif len(turns) < len(said):
            left_out[_GREETINGS].append(place)
        left_out[_DISORDER] += [place] * (len(replies) - len(fitting))
    return examples, left_out


def _example(turns: Turns, reply: str, place: str, group: str) -> Example:
    return Example(Conversation(turns, reply), reply, place, group or None)


def _opened(system: str, prompt: str) -> Turns:
    user = ((USER, prompt.strip()),)
    return ((SYSTEM, system.strip()), *user) if system.strip() else user


def _systems(table: Table) -> list[str]:
    column = _column(table, "", _SYSTEMS)
    return table.column(column) if column else [""] * len(table.rows)


def _turns(text: str, place: str) -> Turns:
    try:
        messages = json.loads(text) if text else []
    except ValueError as error:
        raise DataError(f"The chat is not JSON ({error}).", where=place, how=_HOW) from None
    if not isinstance(messages, list):
        raise DataError("The chat is no list of messages.", where=place, how=_HOW)
    return turns_from(messages, where=place)


def _column(table: Table, given: str, names: Sequence[str]) -> str:
    """The column of that name, or of one of the usual ones; empty where there is none of them."""
    if given and given not in table.columns:
        raise DataError(f"There is no column {given!r}.", where=table.source, how=nearest(given, table.columns))
    by_lower = {column.lower(): column for column in reversed(table.columns)}
    return given or next((by_lower[name] for name in names if name in by_lower), "")


def _needed(table: Table, given: str, names: Sequence[str], what: str) -> str:
    found = _column(table, given, names)
    if not found:
        raise DataError(
            f"There is no column for the {what}: the columns are {', '.join(map(repr, table.columns))}.",
            where=table.source,
            how=f"Name it with {'--text' if what == 'prompt' else '--label'}. {_HOW}",
        )
    return found
