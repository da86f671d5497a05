"""Texts and their translations, whatever file they came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fewtune.types import Table

_NAMES = {
    "en": "english inglês inglés englisch anglais inglese 英文 英语",
    "pt": "portuguese português portugues 葡萄牙语 葡文",
    "es": "spanish español espanol castellano 西班牙语",
    "fr": "french français francais 法语 法文",
    "de": "german deutsch 德语 德文",
    "it": "italian italiano 意大利语",
    "nl": "dutch nederlands 荷兰语",
    "zh": "chinese 中文 汉语 简体中文 繁體中文",
    "ja": "japanese 日本語 日语 日文",
    "ko": "korean 한국어 韩语 韩文",
    "ru": "russian русский 俄语 俄文",
    "ar": "arabic العربية 阿拉伯语",
    "pl": "polish polski",
    "cs": "czech čeština",
    "uk": "ukrainian українська",
    "tr": "turkish türkçe",
    "sv": "swedish svenska",
    "da": "danish dansk",
    "fi": "finnish suomi",
    "nb": "norwegian norsk bokmål",
    "hu": "hungarian magyar",
    "ro": "romanian română",
    "bg": "bulgarian български",
    "el": "greek ελληνικά",
    "he": "hebrew עברית",
    "hi": "hindi हिन्दी",
    "vi": "vietnamese tiếng-việt",
    "id": "indonesian bahasa-indonesia",
    "ca": "catalan català",
    "et": "estonian eesti",
    "lt": "lithuanian lietuvių",
    "lv": "latvian latviešu",
    "sk": "slovak slovenčina",
    "sl": "slovenian slovenščina",
    "hr": "croatian hrvatski",
    "sr": "serbian српски",
    "fa": "persian فارسی",
    "th": "thai ไทย",
}
_CODES = {name: code for code, names in _NAMES.items() for name in [code, *names.split()]}
_TAG = re.compile(r"^([a-zA-Z]{2})(?:[-_][a-zA-Z]{4})?(?:[-_](?:[a-zA-Z]{2}|\d{3}))?$")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that each hold a text and its translation.

    Attributes:
        table: as it was read.
        source, target: names of the two columns.
        group: name of the column of what belongs together, a document; None where there is none.
        languages: BCP 47 codes of source and target; empty where they are not known.
        notes: what was decided while reading, in words.
    """

    table: Table
    source: str
    target: str
    group: str | None
    languages: tuple[str, str]
    notes: tuple[str, ...]


def language_code(name: str) -> str:
    """The language that a column, a file's ending or a tag names: "pt" for pt, pt-BR, pt_PT, Portuguese; else empty."""
    wanted = name.strip().casefold()
    if wanted in _CODES:
        return _CODES[wanted]
    tag = _TAG.match(name.strip())
    return tag[1].lower() if tag and tag[1].lower() in _CODES else ""


def language_columns(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Columns that are named after languages, with their codes; in the order of the header."""
    return [(column, code) for column in columns if (code := language_code(column))]
