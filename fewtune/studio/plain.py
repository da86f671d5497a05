"""Sentences as the page takes them: plain text in both languages, and nothing of this machine in them."""

from __future__ import annotations

import re

from markupsafe import Markup

from fewtune.report.phrase import Phrase

# What the command line calls what the page calls otherwise.
_OPTIONS = {"--label": "Label column", "--text": "Text column"}
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\":;,()]+[\\/])+")


def in_both(sentence: Phrase | str) -> dict[str, str]:
    """A sentence in English and in Chinese, without the marks that a page of HTML has."""
    if isinstance(sentence, str):
        return {"en": sentence, "zh": sentence}
    return {"en": _text(sentence.en), "zh": _text(sentence.zh)}


def _text(markup: Markup) -> str:
    return Markup(re.sub(r"<[^>]*>", "", markup)).unescape()


def plain(text: str) -> str:
    """What the library says to somebody at a terminal, without folders of this machine and without options."""
    for option, name in _OPTIONS.items():
        text = text.replace(option, name)
    return _PATH.sub("", text)
