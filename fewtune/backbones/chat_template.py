"""A model's chat template, made fixed pieces, so that a bundle needs no template language.

The template is run as Transformers runs it, in Jinja's sandbox, on conversations of marked turns; what
stands around the marks are the pieces. They are then held against the template on one more conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fewtune.data.conversation import ASSISTANT, SYSTEM, USER, Turns
from fewtune.errors import RecipeError
from fewtune.runtime.chat import ChatFormat

PLAIN = ChatFormat(opening="", system_opening="", after_system="\n\n", reply="\n", again="\n\n")
_MARKS = tuple(f"turn{number}mark" for number in range(4))
Render = Callable[[Turns], str]


def chat_format(template: str | None, *, special: dict[str, str], where: str) -> ChatFormat:
    """The pieces of a chat template; without one, lines.

    Args:
        template: in Jinja.
        special: names of special tokens (`bos_token`, `eos_token`, ...) to their texts.
        where: for messages.

    Raises:
        RecipeError: the template cannot be run, or depends on more than the order of the turns.
    """
    if not template:
        return PLAIN
    render = _renderer(template, special, where)
    zero, one, two, three = _MARKS
    opening, reply = _around(render(((USER, one),)), [one], where)
    _, _, again, _ = _around(render(((USER, one), (ASSISTANT, two), (USER, three))), [one, two, three], where)
    try:
        system_opening, after_system, _ = _around(render(((SYSTEM, zero), (USER, one))), [zero, one], where)
    except RecipeError:
        system_opening, after_system = None, ""
    found = ChatFormat(opening, system_opening, after_system, reply, again)
    turns = ((USER, "one"), (ASSISTANT, "two"), (USER, "three"), (ASSISTANT, "four"), (USER, "five"))
    if found.prompt(turns) != render(turns):
        raise RecipeError("The model's chat template is more than fixed pieces around the turns.", where=where)
    return found


def _around(text: str, marks: Sequence[str], where: str) -> list[str]:
    """What stands before, between and behind the marks."""
    pieces = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise RecipeError("The model's chat template does not keep the turns in their order.", where=where)
        pieces.append(before)
    return [*pieces, text]


def _renderer(template: str, special: dict[str, str], where: str) -> Render:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals.update(raise_exception=refuse, strftime_now=lambda form: "")

    def render(turns: Turns) -> str:
        messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
        try:
            compiled = environment.from_string(template)
            return compiled.render(messages=messages, add_generation_prompt=True, **special)
        except Exception as error:  # a template can raise whatever Python can
            raise RecipeError(f"The model's chat template cannot be run ({error}).", where=where) from None

    return render
