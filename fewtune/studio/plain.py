"""Sentences as the page takes them: plain text in both languages, and nothing of this machine in them."""

from __future__ import annotations

import re
from typing import Literal

from markupsafe import Markup

from fewtune.report.phrase import Phrase

# What the command line calls what the page calls otherwise, or has no field for.
_OPTIONS = {
    "label": ("Label column", "“标签列”"),
    "text": ("Text column", "“文本列”"),
    "budget": ("time to spend", "“可用时间”"),
    "method": ("method", "“方法”"),
    "model": ("model", "模型"),
    "set": ("setting", "设置"),
    "out": ("folder of the bundle", "模型文件夹"),
    "seed": ("seed", "随机种子"),
}
_OPTION = re.compile(rf"--({'|'.join(_OPTIONS)})(?![\w-])")
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[\\/](?:[^\\/\s'\":;,()]+[\\/])+")


def in_both(sentence: Phrase | str) -> dict[str, str]:
    """A sentence in English and in Chinese, without the marks that a page of HTML has and without options."""
    if isinstance(sentence, str):
        return {"en": _named(sentence, "en"), "zh": _named(sentence, "en")}
    return {"en": _named(_text(sentence.en), "en"), "zh": _named(_text(sentence.zh), "zh")}


def _text(markup: Markup) -> str:
    return Markup(re.sub(r"<[^>]*>", "", markup)).unescape()


def plain(text: str) -> str:
    """What the library says to somebody at a terminal, without folders of this machine and without options."""
    return _PATH.sub("", _named(text, "en"))


def _named(text: str, language: Literal["en", "zh"]) -> str:
    """Options as the page calls them."""
    return _OPTION.sub(lambda found: _OPTIONS[found[1]][language == "zh"], text)
