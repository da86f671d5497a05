"""What no augmentation may change: numbers, placeholders, addresses, code, negations, named labels."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# CJK ideographs, and with them the kana: scripts that put no spaces between words.
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"

# Letters, digits and the underscore of scripts that have spaces: a number must not swallow the Chinese beside it.
_CHAR = rf"[^\W{HAN}{KANA}]"
_SPANS = (
    r"```.*?```|`[^`\n]+`",  # code
    r"(?:https?|ftp)://[^\s<>\"'，。；！？、）】」]+|www\.[^\s<>\"'，。；！？、）】」]+",
    r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",  # e-mail
    r"</?[A-Za-z][^<>\n]{0,200}>",  # tags
    r"\{\{[^{}\n]{0,100}\}\}|\$?\{[^{}\n]{0,100}\}|\[\[[^\[\]\n]{0,100}\]\]",  # {x}, {{x}}, ${X}, [[x]]
    rf"\$[A-Za-z_]{_CHAR}*|%[A-Za-z_]+%|%\(\w+\)[a-zA-Z]|%[-+#0]?\d*(?:\.\d+)?[a-zA-Z](?![a-zA-Z])",  # $VAR, %s, %.2f
    r"(?<!\w)['’](?:s|re|ve|ll|d|m)\b",  # what stands for a word at the end of another, parted from it
    r"[@#][\w-]+",  # mentions and hashtags
    rf"{_CHAR}*[\d_]{_CHAR}*(?:[.,:/-]{_CHAR}+)*[%‰°]?",  # numbers, versions, dates, snake_case
)


def _marks() -> str:
    r"""Combining marks, which `\w` leaves out: accents, vowel signs."""
    return "".join(chr(code) for code in range(0x300, sys.maxunicode >> 4) if unicodedata.category(chr(code))[0] == "M")


_MARKS = _marks()
_LETTER = rf"[^\W\d_{HAN}{KANA}]"
_WORD = rf"{_LETTER}+(?:(?:[{_MARKS}\u200c\u200d]+|['’-](?={_LETTER})){_LETTER}*)*"
_OTHER = rf"[{KANA}]+|\s+|."
# Four groups: a protected span, a word, a run of Han characters, and anything else. Japanese words are not told apart.
TOKEN = re.compile(f"({'|'.join(_SPANS)})|({_WORD})|([{HAN}]+)|({_OTHER})", re.DOTALL)

NEGATIONS = frozenset(
    "no not never none nobody nothing neither nor nowhere cannot without hardly barely scarcely rarely seldom "
    "ain't aint cant dont doesnt didnt wont isnt arent wasnt werent hasnt havent hadnt couldnt wouldnt shouldnt "
    "unless except lack lacks lacked lacking "
    "nicht kein keine keinen keiner nie ohne ne pas jamais sans rien não nem sem nunca jamás sin ni nada "
    "non senza mai niet geen nooit zonder не нет ни без никогда".split()
)
_CHINESE_NEGATIONS = frozenset("不没沒无無非别別未勿莫否毋甭")


@lru_cache(maxsize=65_536)
def negates(word: str) -> bool:
    """Whether a word is a negation, or holds one: not, never, doesn't, n't, not-so-good; 不, 没有, 无法."""
    parts = word.lower().split("-")
    negated = any(part in NEGATIONS or part.endswith(("n't", "n’t")) for part in parts)
    return negated or not _CHINESE_NEGATIONS.isdisjoint(word)


def negations(text: str) -> int:
    """How many words of a text are negations, or hold one; in Chinese, how many characters are."""
    tokens = TOKEN.findall(text)
    words = sum(negates(word) for _, word, _, _ in tokens if word)
    return words + sum(char in _CHINESE_NEGATIONS for _, _, han, _ in tokens for char in han)


def phrases(names: Sequence[str]) -> re.Pattern[str] | None:
    """A pattern with one group that finds any of `names` where it stands as a word; None where there are none."""
    wanted = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not wanted:
        return None
    # Scripts without spaces have no edges of words.
    edged = [name if re.match(f"[{HAN}{KANA}]", name) else rf"(?<!\w){name}(?!\w)" for name in map(re.escape, wanted)]
    return re.compile(f"({'|'.join(edged)})", re.IGNORECASE)
