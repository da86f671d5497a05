"""Which languages texts are in, roughly: by script, and for Latin script by the commonest words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_SAMPLE = 2000
_SCRIPTS = (
    ("HIRAGANA", "ja"),
    ("KATAKANA", "ja"),
    ("CJK", "zh"),
    ("HANGUL", "ko"),
    ("CYRILLIC", "ru"),
    ("ARABIC", "ar"),
    ("HEBREW", "he"),
    ("GREEK", "el"),
    ("DEVANAGARI", "hi"),
    ("BENGALI", "bn"),
    ("THAI", "th"),
    ("LATIN", "Latn"),
)
_COMMON_WORDS = {
    "en": "the of and to in is you that it he was for on are with as his they at be this have from or had by what "
    "how my not do can i we your there has been would who which when where does did will me its so but all a an",
    "es": "el la de que y en un ser se no por con su para como estar tener le lo todo pero más hacer este esta los "
    "las una del al es muy mi sin sobre cuando qué cómo está son",
    "pt": "o a de que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou "
    "quando muito já eu também só pelo pela até isso está são você",
    "fr": "le la les de des du et un une est que qui dans pour pas sur plus par je vous avec au ce il elle nous mais "
    "ne se sont cette très être à où été mon",
    "de": "der die das und ist nicht ein eine zu den mit von für auf im sich des dem auch es an werden aus er hat "
    "dass sie nach bei um ich wir wie kann mein sehr",
    "it": "il lo la di che e un una per non con del della sono è gli le in da si come più anche ma nel alla questo "
    "molto ho mi ha perché",
    "nl": "de het een en van ik te dat die in is niet je er aan met voor op zijn was maar als dan om ook mijn bij "
    "naar wat geen heeft wordt",
}


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "")
    return next((language for script, language in _SCRIPTS if name.startswith(script)), "")


@lru_cache(maxsize=1)
def _word_languages() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for language, words in _COMMON_WORDS.items():
        for word in words.split():
            table[word] = (*table.get(word, ()), language)
    return table


def main_languages(texts: Sequence[str]) -> dict[str, float]:
    """The share of texts in each language, commonest first.

    Args:
        texts: any number; at most 2,000 are looked at, evenly spaced.

    Returns:
        BCP 47 code to share of the texts that hold letters. A text in Latin script whose words
        tell nothing counts as the commonest Latin language of the rest, else as "und-Latn".
    """
    sample = texts[:: max(1, len(texts) // _SAMPLE)]
    found = Counter(language for language in map(_language, sample) if language)
    unsure = found.pop("und-Latn", 0)
    known = [(language, count) for language, count in found.most_common() if language in _COMMON_WORDS]
    if unsure:
        found[known[0][0] if known else "und-Latn"] += unsure
    total = max(1, found.total())
    return {language: count / total for language, count in found.most_common()}


def _language(text: str) -> str:
    """The language of one text; empty where it holds no letters."""
    scripts = Counter(filter(None, (_script(char) for char in text[:500])))
    if not scripts:
        return ""
    # A Han character says about as much as four letters of an alphabet; kana decide for Japanese.
    if scripts["ja"] >= 0.1 * (scripts["zh"] + scripts["ja"]) and scripts["ja"]:
        return "ja"
    scripts["Latn"] = scripts["Latn"] // 4 if scripts["zh"] else scripts["Latn"]
    script = scripts.most_common(1)[0][0]
    return _latin_language(text) if script == "Latn" else script


def _latin_language(text: str) -> str:
    votes: Counter[str] = Counter()
    for word in text[:500].lower().replace("'", " ").split():
        for language in _word_languages().get(word.strip('.,;:!?()"-'), ()):
            votes[language] += 1
    if not votes:
        return "und-Latn"
    best = max(votes.values())
    leaders = [language for language, count in votes.items() if count == best]
    return "en" if "en" in leaders else leaders[0]
