"""Words in both languages. The page holds both, and its style sheet shows one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Phrase:
    """The same said in English and in Chinese, both as safe HTML."""

    en: Markup
    zh: Markup

    def __html__(self) -> str:
        """Both languages, each marked as what it is; once where they are equal."""
        if self.en == self.zh:
            return self.en
        return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh-Hans">{}</span>').format(
            self.en, self.zh
        )


Part = Phrase | Markup | str | int


def say(en: str, zh: str, **parts: Part) -> Phrase:
    """Fill the `{parts}` of two templates, phrases each in its language and all else escaped."""
    return Phrase(
        Markup(en).format(**{name: _in(part, "en") for name, part in parts.items()}),
        Markup(zh).format(**{name: _in(part, "zh") for name, part in parts.items()}),
    )


def _in(part: Part, language: str) -> Markup:
    return getattr(part, language) if isinstance(part, Phrase) else escape(part)


def english(text: str) -> Phrase:
    """A text that exists in English only, marked as such in the Chinese page."""
    return Phrase(escape(text), Markup('<span lang="en">{}</span>').format(text))


def sentences(*phrases: Phrase) -> Phrase:
    """One paragraph: English sentences are parted by a space, Chinese ones by nothing."""
    return joined(phrases, " ", "")


def listed(parts: Iterable[Part]) -> Phrase:
    """Parts one after the other: with commas, or with the Chinese enumeration comma."""
    return joined(parts, ", ", "、")


def joined(parts: Iterable[Part], en: str, zh: str) -> Phrase:
    """Parts one after the other, with a mark between them."""
    kept = list(parts)
    return Phrase(Markup(en).join(_in(part, "en") for part in kept), Markup(zh).join(_in(part, "zh") for part in kept))


def named(name: str) -> Markup:
    """A label, file or candidate inside a sentence: cut where it is long, and isolated if it runs right to left."""
    return Markup('<bdi class="name">{}</bdi>').format(shortened(name, _LONGEST_NAME))


def code(text: str) -> Markup:
    """What is typed or read by machines."""
    return Markup("<code>{}</code>").format(text)


def shortened(text: str, longest: int) -> str:
    """A text on one line, cut at so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "…"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage; a dash where it is not known."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}%"


def whole_percent(value: float) -> str:
    """A fraction as a percentage without decimals, for axes."""
    return percent(value, 0)


def plain(value: float | None, digits: int = 3) -> str:
    """A number; a dash where it is not known."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """Seconds with as many digits as say something."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def of_hundred(value: float) -> str:
    """A fraction as so many of a hundred."""
    return f"{100 * value:.0f}"
