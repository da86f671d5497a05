"""Synonyms of English words: the part of speech is made out, and the synonym is put into the word's inflection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fewtune.augment.wordnet import WordNet, open_wordnet

# Words with a grammatical task: WordNet knows some of them as other words ("a" as a vitamin, "in" as an inch).
FUNCTION_WORDS = frozenset(
    "a an the i you he she it we they me him her us them my your his its our their this that these those who whom "
    "whose which what when where why how am is are was were be been being have has had having do does did doing "
    "will would can could shall should may might must and or but if because as until while of at by for with about "
    "against between into through during before after above below to from up down in out on off over under again "
    "then once here there all any both each few more most other some such only own same so than too very just also "
    "one two three many much like well even still yet let".split()
)
# After these a word that could be either is a verb, or is none.
_BEFORE_VERBS = frozenset("to will would can could shall should may might must i you we they please".split())
_BEFORE_NOUNS = frozenset("the a an this that these those my your his her its our their some any every each of".split())
# A part of speech is certain where so large a share of a word's uses is of it.
_CERTAIN = 0.75
# Ending, what stands for it in the lemma, and the name of the inflection (morphy(7WN), "Rules of Detachment").
_ENDINGS: dict[str, tuple[tuple[str, str, str], ...]] = {
    part: tuple((ending, lemma, form) for ending, lemma, form in (rule.split(",") for rule in rules.split()))
    for part, rules in {
        "noun": "ies,y,s ches,ch,s shes,sh,s xes,x,s ses,s,s s,,s",
        "verb": "ies,y,s es,e,s es,,s s,,s ied,y,ed ed,e,ed ed,,ed ing,e,ing ing,,ing",
        "adj": "ier,y,er er,,er er,e,er iest,y,est est,,est est,e,est",
        "adv": "",
    }.items()
}


class Reading(NamedTuple):
    """One way to understand a word: a lemma, its part of speech, and how it is inflected ("", s, ed, ing, er, est)."""

    lemma: str
    part: str
    form: str


@lru_cache(maxsize=65_536)
def english_synonyms(word: str, before: str) -> tuple[str, ...]:
    """Synonyms of a word in small letters, inflected as it is.

    Args:
        word: in small letters.
        before: the word before it, in small letters, which tells verbs from nouns; "" where there is none.

    Returns:
        None of them where WordNet is not installed, the word's part of speech is not certain, or it has none.
    """
    wordnet = open_wordnet()
    if wordnet is None or word in FUNCTION_WORDS or len(word) < 3:
        return ()
    reading = _certain(wordnet, list(_readings(wordnet, word)), before)
    if reading is None:
        return ()
    found = (inflected(wordnet, lemma, reading) for lemma in wordnet.synonyms(reading.lemma, reading.part))
    return tuple(form for form in dict.fromkeys(found) if form and form != word)


@lru_cache(maxsize=65_536)
def every_synonym(word: str) -> tuple[str, ...]:
    """Single words that share any sense of any part of speech with a word, as lemmas; `word` is in any case."""
    wordnet = open_wordnet()
    if wordnet is None:
        return ()
    readings = [(reading.lemma, reading.part) for reading in _readings(wordnet, word.lower())]
    found = (other for lemma, part in readings for other in wordnet.every_synonym(lemma, part))
    return tuple(dict.fromkeys(other for other in found if other.lower() != word.lower()))


@lru_cache(maxsize=65_536)
def likely_part(word: str, before: str) -> str:
    """The part of speech that a word most likely has: noun, verb, adj, adv, or "" for one with a grammatical task.

    Args:
        word: in small letters.
        before: the word before it, in small letters; "" where there is none.
    """
    if word in FUNCTION_WORDS:
        return ""
    wordnet = open_wordnet()
    readings = _fitting(list(_readings(wordnet, word)), before) if wordnet is not None else []
    if wordnet is None or not readings:
        return "adv" if word.endswith("ly") else "verb" if word.endswith(("ing", "ed")) else "noun"
    return max(readings, key=lambda reading: wordnet.uses(reading.lemma, reading.part)).part


def in_wordnet(word: str) -> bool:
    """Whether WordNet is installed and has a word, which is in small letters, in any inflection."""
    wordnet = open_wordnet()
    return wordnet is not None and next(_readings(wordnet, word), None) is not None


def _readings(wordnet: WordNet, word: str) -> Iterator[Reading]:
    for part in _ENDINGS:
        if wordnet.knows(word, part):
            yield Reading(word, part, "")
        elif word in wordnet.lemmas_of[part]:
            # The form of "took" or "mice" is not told by its ending; that of "running" or "happier" is.
            form = next((form for form in ("ing", "ed", "est", "er") if word.endswith(form)), "irregular")
            yield Reading(wordnet.lemmas_of[part][word], part, form)
        else:
            yield from _regular(wordnet, word, part)


def _regular(wordnet: WordNet, word: str, part: str) -> Iterator[Reading]:
    for ending, lemma_ending, form in _ENDINGS[part]:
        lemma = word.removesuffix(ending) + lemma_ending
        if word.endswith(ending) and wordnet.knows(lemma, part):
            yield Reading(lemma, part, form)
            return


def _certain(wordnet: WordNet, readings: list[Reading], before: str) -> Reading | None:
    """The reading that is most likely meant; None where that is not certain, or its inflection is not regular."""
    readings = _fitting(readings, before)
    uses = [wordnet.uses(reading.lemma, reading.part) + 1 for reading in readings]
    if not uses or max(uses) < _CERTAIN * sum(uses):
        return None
    reading = readings[uses.index(max(uses))]
    return None if reading.form == "irregular" else reading


def _fitting(readings: list[Reading], before: str) -> list[Reading]:
    """Those that can stand after `before`; all where none can."""
    if before in _BEFORE_VERBS:
        return [reading for reading in readings if reading.part == "verb"] or readings
    if before in _BEFORE_NOUNS:
        return [reading for reading in readings if reading.part != "verb"] or readings
    return readings


def inflected(wordnet: WordNet, lemma: str, reading: Reading) -> str:
    """`lemma` in the inflection of a reading; empty where that is irregular, or not known."""
    form = reading.form
    if not form:
        return lemma
    irregular = wordnet.irregular[reading.part].get(lemma, ())
    known = [word for word in irregular if word.endswith(form)]
    if known:
        return known[0]
    if form == "ed" and any(not word.endswith("ing") for word in irregular):
        return ""
    if form == "s" and reading.part == "noun" and irregular:
        return irregular[0]
    return _regularly(lemma, form)


def _regularly(lemma: str, form: str) -> str:
    after_consonant_y = re.search(r"[^aeiou]y$", lemma) is not None
    if form == "s":
        if after_consonant_y:
            return lemma[:-1] + "ies"
        return lemma + ("es" if lemma.endswith(("s", "x", "z", "ch", "sh")) else "s")
    if form == "ing":
        if lemma.endswith("ie"):
            return lemma[:-2] + "ying"
        return (lemma[:-1] if re.search(r"[^eoy]e$", lemma) else lemma) + "ing"
    if form in ("er", "est") and len(re.findall("[aeiouy]+", lemma.removesuffix("e"))) > 1 + after_consonant_y:
        return ""
    stem = lemma[:-1] + "i" if after_consonant_y else lemma.removesuffix("e")
    return stem + form
