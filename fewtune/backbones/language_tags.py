"""How multilingual translation models name languages."""

from __future__ import annotations

from collections.abc import Iterable

# ISO 639-1, ISO 639-3 (the code of a macrolanguage's commonest member after it), and the English name.
_TABLE = """
af afr Afrikaans|am amh Amharic|ar ara,arb Arabic|az aze,azj Azerbaijani|be bel Belarusian|bg bul Bulgarian
bn ben Bengali|bs bos Bosnian|ca cat Catalan|cs ces Czech|cy cym Welsh|da dan Danish|de deu German|el ell Greek
en eng English|eo epo Esperanto|es spa Spanish|et est,ekk Estonian|eu eus Basque|fa fas,pes Persian|fi fin Finnish
fr fra French|ga gle Irish|gl glg Galician|gu guj Gujarati|ha hau Hausa|he heb Hebrew|hi hin Hindi|hr hrv Croatian
hu hun Hungarian|hy hye Armenian|id ind Indonesian|ig ibo Igbo|is isl Icelandic|it ita Italian|ja jpn Japanese
jv jav Javanese|ka kat Georgian|kk kaz Kazakh|km khm Khmer|kn kan Kannada|ko kor Korean|ky kir Kyrgyz|lo lao Lao
lt lit Lithuanian|lv lav,lvs Latvian|mk mkd Macedonian|ml mal Malayalam|mn mon,khk Mongolian|mr mar Marathi
ms msa,zsm Malay|mt mlt Maltese|my mya Burmese|nb nob Norwegian|ne nep,npi Nepali|nl nld Dutch|nn nno Norwegian
no nor,nob Norwegian|or ori,ory Odia|pa pan Punjabi|pl pol Polish|ps pus,pbt Pashto|pt por Portuguese|ro ron Romanian
ru rus Russian|sd snd Sindhi|si sin Sinhala|sk slk Slovak|sl slv Slovenian|so som Somali|sq sqi,als Albanian
sr srp Serbian|sv swe Swedish|sw swa,swh Swahili|ta tam Tamil|te tel Telugu|th tha Thai|tl tgl Tagalog|tr tur Turkish
uk ukr Ukrainian|ur urd Urdu|uz uzb,uzn Uzbek|vi vie Vietnamese|xh xho Xhosa|yo yor Yoruba|zh zho,cmn Chinese
zu zul Zulu
"""
_KNOWN = {
    short: (tuple(long.split(",")), name)
    for short, long, name in (entry.split(" ", 2) for entry in _TABLE.strip().replace("\n", "|").split("|"))
}
# Where a language is written in several scripts, the commonest comes first.
_SCRIPTS = ("Latn", "Hans", "Cyrl", "Arab")


def english_name(language: str) -> str:
    """What English calls a language, by its BCP 47 code; empty where it is not known here."""
    return _KNOWN.get(language.split("-")[0].lower(), ((), ""))[1]


def tag_of(language: str, tags: Iterable[str]) -> str:
    """Which of a model's tags is a language's; empty where none is.

    Args:
        language: a BCP 47 code.
        tags: such as `__de__` (M2M100), `deu_Latn` (NLLB), `de_DE` (mBART) or `>>deu<<` (OPUS-MT).
    """
    short = language.split("-")[0].lower()
    codes = (short, *_KNOWN.get(short, ((), ""))[0])
    fitting = []
    for tag in tags:
        code, _, script = tag.strip("_<>").partition("_")
        if code in codes:
            place = _SCRIPTS.index(script) if script in _SCRIPTS else len(_SCRIPTS)
            fitting.append((-codes.index(code), place, tag))
    return min(fitting)[2] if fitting else ""
