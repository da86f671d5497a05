"""Translate with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.data.glossary import Glossary
from fewtune.data.protection import NO_TERMS, marked, protect, unprotected
from fewtune.errors import BundleError, RecipeError
from fewtune.progress import Step
from fewtune.runtime.decoding import decode
from fewtune.runtime.greedy import StepNetwork, Words
from fewtune.runtime.passages import Cut, cut
from fewtune.runtime.seq2seq_graph import Seq2SeqGraph
from fewtune.runtime.shortlist import Shortlist, read_shortlist
from fewtune.runtime.structured import StructuredRuntime
from fewtune.runtime.subwords import Frame, Marks, Subwords, Vocabulary

SETTINGS_FILE = "translation.json"
SHORTLIST_FILE = "shortlist.safetensors"
TARGET_TOKENIZER_FILE = "tokenizer-target.json"
# Words of a passage at most: the students were trained on sentences.
LONGEST = 128


@dataclass(frozen=True, slots=True)
class TranslationSettings:
    """What a bundle says of its translator.

    Attributes:
        languages: BCP 47 codes of source and target.
        marks: words that stand for protected spans; none where nothing is protected.
        size: words of the target's vocabulary.
        end: id of the end of a sentence.
        never: ids that no translation uses.
        length_factor: a translation has at most so many times the words of its source.
        glossary: terms with their translations, which every translation holds to.
        before, after: ids before and after a source's words; nothing after: the end of the source's vocabulary.
        start, longest, beams, length_penalty, stops_early: as `Words` has them.
    """

    languages: tuple[str, str]
    marks: Marks
    size: int
    end: int
    never: tuple[int, ...]
    length_factor: float
    glossary: tuple[tuple[str, str], ...] = ()
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    start: tuple[int, ...] = ()
    longest: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    stops_early: bool = False

    def to_json(self) -> bytes:
        """As JSON."""
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()

    def words(self, shortlist: Shortlist | None) -> Words:
        """What translations may use."""
        return Words(
            shortlist,
            self.size,
            self.end,
            np.array(self.never, np.int64),
            self.length_factor,
            self.start,
            self.longest,
            self.beams,
            self.length_penalty,
            self.stops_early,
        )

    def frame(self, source: Vocabulary) -> Frame:
        """What stands round the words."""
        return Frame(self.before, self.after or (source.end,), self.end)


def settings_of(
    languages: tuple[str, str], subwords: Subwords, words: Words, glossary: Glossary
) -> TranslationSettings:
    """What a bundle says of a translator with these vocabularies and words."""
    return TranslationSettings(
        languages,
        subwords.marks,
        words.size,
        words.end,
        tuple(int(i) for i in words.never),
        words.length_factor,
        glossary.terms,
        subwords.frame.before,
        subwords.frame.after,
        words.start,
        words.longest,
        words.beams,
        words.length_penalty,
        words.stops_early,
    )


def settings_from_json(content: bytes, *, where: str) -> TranslationSettings:
    """The inverse of `TranslationSettings.to_json`. Raises BundleError where it is of another form."""
    try:
        given = json.loads(content)
        marks = Marks(**{name: tuple(map(int, ids)) for name, ids in given.pop("marks").items()})
        source, target = given.pop("languages")
        terms = tuple((str(term), str(translation)) for term, translation in given.pop("glossary", ()))
        ids = {name: tuple(map(int, given.pop(name, ()))) for name in ("never", "before", "after", "start")}
        return TranslationSettings((source, target), marks, glossary=terms, **ids, **given)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{SETTINGS_FILE} cannot be read ({error}).", where=where, how="Fit it again.") from None


def read_settings(bundle: Path) -> TranslationSettings:
    """What a bundle says of its translator. Raises BundleError where it cannot be read."""
    try:
        content = (bundle / SETTINGS_FILE).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{SETTINGS_FILE} cannot be read ({error}).", where=str(bundle), how="Fit it again."
        ) from None
    return settings_from_json(content, where=str(bundle))


class Translator:
    """Texts to translations: protects, cuts, decodes, puts together again."""

    def __init__(self, network: StepNetwork, subwords: Subwords, words: Words, glossary: Glossary = NO_TERMS) -> None:
        """Translate with this network; without marks in `subwords` nothing is protected, a glossary's terms neither."""
        self._network, self._subwords, self._words, self._glossary = network, subwords, words, glossary

    def with_glossary(self, glossary: Glossary) -> Translator:
        """The same, held to another glossary."""
        return Translator(self._network, self._subwords, self._words, glossary)

    @property
    def protects(self) -> bool:
        """Whether anything is protected."""
        return len(self._subwords.marks) > 0

    def translate(self, texts: Sequence[str], *, step: Step | None = None) -> list[str]:
        """A translation of each text; an empty one stays empty."""
        cuts = [self._cut(text) for text in texts]
        sources = [self._subwords.encode_source(passage.text) for whole in cuts for passage in whole.passages]
        share = _Share(step, len(texts) / max(1, len(sources))) if step is not None else None
        found = iter(decode(self._network, sources, self._words, step=share))
        return [whole.joined([self._subwords.decode_target(next(found)) for _ in whole.passages]) for whole in cuts]

    def _cut(self, text: str) -> Cut:
        whole = protect(text, self._subwords.lacks, self._glossary) if self.protects else unprotected(text)
        return cut(whole, self._fits)

    def _fits(self, text: str) -> bool:
        marks = sum(number is not None for _, number in marked(text))
        if marks > len(self._subwords.marks):
            return False
        # No word has less than a character, so that short texts need not be counted.
        return len(text) < LONGEST or len(self._subwords.encode_source(text).ids) <= LONGEST


class _Share:
    """A step that counts passages as parts of texts."""

    def __init__(self, step: Step, share: float) -> None:
        self._step, self._share = step, share

    def advance(self, amount: float = 1) -> None:
        self._step.advance(amount * self._share)


class TranslationRuntime(StructuredRuntime):
    """A bundle for translation, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the bundle's graphs and vocabularies.

        Raises:
            BundleError: one of them cannot be opened.
        """
        where = str(folder)
        try:
            settings = read_settings(folder)
            graphs = {graph.role: graph for graph in manifest.graphs}
            source = Vocabulary((folder / graphs["encoder"].tokenizer).read_bytes())
            shared = graphs["decoder"].tokenizer == graphs["encoder"].tokenizer
            target = source if shared else Vocabulary((folder / graphs["decoder"].tokenizer).read_bytes())
            listed = folder / SHORTLIST_FILE
            shortlist = read_shortlist(listed.read_bytes(), where=str(listed)) if listed.is_file() else None
            network = Seq2SeqGraph(folder / graphs["encoder"].file, folder / graphs["decoder"].file, threads=threads)
        except BundleError:
            raise
        except Exception as error:  # ONNX Runtime and tokenizers raise many kinds
            raise BundleError(f"The translator cannot be opened ({error}).", where=where, how="Fit it again.") from None
        self.languages = settings.languages
        self._translator = Translator(
            network,
            Subwords(source, target, settings.marks, settings.frame(source)),
            settings.words(shortlist),
            Glossary(settings.glossary),
        )

    def use_glossary(self, glossary: Glossary) -> None:
        """Hold translations to this glossary from now on, in place of the bundle's own.

        Raises:
            RecipeError: the bundle protects nothing, and so cannot hold to one.
        """
        if not self._translator.protects:
            raise RecipeError(
                "This bundle cannot hold to a glossary: it protects nothing.",
                where="--glossary",
                how="Fit it again with --glossary, or with --set protect=1.",
            )
        self._translator = self._translator.with_glossary(glossary)

    def checked(self, inputs: Any) -> list[str]:
        """The texts as a list. Raises TypeError where it is one text, or holds something else."""
        if isinstance(inputs, str):
            raise TypeError("predict takes a list of texts: write predict([text])")
        texts = list(inputs)
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"inputs[{position}] is a {type(text).__name__}, not a text")
        return texts

    def answers(self, inputs: Sequence[str], *, step: Step | None = None) -> list[str]:
        """A translation of each text."""
        return self._translator.translate(inputs, step=step)
