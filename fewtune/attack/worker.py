"""The other side of `process.py`: runs TextAttack in its own environment, and does jobs that arrive a JSON line each.

This file is run by its path, with the interpreter of an environment where fewtune need not be installed, so it
imports nothing of fewtune. TextAttack's recipes run as they are; what they would download, or only import for
parts that are not used here, is stood in for: the stand-ins ask the process that sent the job. Nothing is
pickled, no port is opened, and a connection to anywhere is refused.

From fewtune: {"job": "attack" | "augment", ...}, and {"answer": ...} to a question.
To fewtune: {"ready": versions}, {"ask": what, ...}, and at a job's end {"done": ...} or {"failed": why}.
"""

from __future__ import annotations

import base64
import importlib
import importlib.machinery
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import cache, lru_cache
from types import ModuleType, SimpleNamespace
from typing import Any

# What TextAttack imports for parts that are not used here; some of it is under the GPL or large.
_ABSENT = frozenset(
    "bert_score datasets flair langdetect language_tool_python lemminflect Levenshtein nltk num2words OpenHowNet "
    "pandas pinyin tensorflow_hub terminaltables transformers".split()
)


class Channel:
    """JSON objects, one a line, over the standard input and output that the process was started with."""

    def __init__(self) -> None:
        """Take both for the messages alone: whatever is printed goes to standard error."""
        self._input = sys.stdin.buffer
        self._output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self._output.write(json.dumps(message).encode() + b"\n")
        self._output.flush()

    def receive(self) -> dict[str, Any]:
        """The next message. Raises EOFError where the other side is gone."""
        line = self._input.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def ask(self, what: str, **details: Any) -> Any:
        """The answer to a question."""
        self.send({"ask": what, **details})
        return self.receive()["answer"]


class _Absent(ModuleType):
    """A module that can be imported, and whose classes can be inherited from, but not used."""

    __path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__
        if name.islower():
            return importlib.import_module(f"{module}.{name}")

        def refuse(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"{module}.{name} is not used here, and so not installed")

        return type(name, (), {"__init__": refuse})


class _AbsentFinder(importlib.machinery.PathFinder):
    """Finds the modules that are stood in for before any that are installed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(fullname, cls, is_package=True)  # pyright: ignore
        return None

    @staticmethod
    def create_module(spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        del module


class _Synset:
    """A set of synonyms, as far as TextAttack asks."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def lemma_names(self, lang: str = "eng") -> list[str]:
        del lang
        return list(self._words)

    def lemmas(self) -> list[Any]:
        return [SimpleNamespace(name=lambda word=word: word) for word in self._words]


class _WordNet:
    """NLTK's reader of WordNet, as far as TextAttack asks."""

    def __init__(self, channel: Channel) -> None:
        self._ask = lru_cache(maxsize=65_536)(lambda word: channel.ask("synonyms", word=word))

    def langs(self) -> list[str]:
        return ["eng"]

    def synsets(self, word: str, lang: str = "eng") -> list[_Synset]:
        del lang
        found = self._ask(word)
        return [_Synset(found)] if found else []


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise PermissionError(f"attacks use no network: {arguments[-1] if event == 'socket.connect' else arguments[0]}")


def _stand_in(channel: Channel) -> None:
    """Put in place what TextAttack would download, before it is imported."""
    sys.meta_path.insert(0, _AbsentFinder)
    import nltk  # pyright: ignore
    import nltk.corpus  # pyright: ignore
    import tensorflow_hub  # pyright: ignore

    nltk.download = lambda *_, **__: True
    nltk.pos_tag = lambda words, **_: list(zip(words, channel.ask("parts", words=list(words)), strict=True))
    nltk.corpus.wordnet = _WordNet(channel)
    stop_words = cache(lambda: channel.ask("stop_words"))
    nltk.corpus.stopwords = SimpleNamespace(words=lambda *_: stop_words())
    tensorflow_hub.load = lambda *_: lambda texts: SimpleNamespace(numpy=lambda: _vectors(channel, texts))


def _vectors(channel: Channel, texts: Iterable[str]) -> Any:
    """(n, width) float32 vectors of n texts."""
    import numpy as np

    found = channel.ask("vectors", texts=list(texts))
    return np.frombuffer(base64.b64decode(found["bytes"]), np.dtype("<f4")).reshape(-1, found["width"])


def _embedding(channel: Channel) -> Any:
    """Word vectors, as far as TextAttack asks. A word is its own index."""
    from textattack.shared import AbstractWordEmbedding  # pyright: ignore

    class Embedding(AbstractWordEmbedding):
        def __init__(self) -> None:
            self._near = lru_cache(maxsize=16_384)(lambda word, most: channel.ask("neighbours", word=word, most=most))
            self._cosine = lru_cache(maxsize=65_536)(lambda *pair: channel.ask("cosine", pair=pair))

        def __getitem__(self, index: str) -> None:
            raise NotImplementedError

        def word2index(self, word: str) -> str:
            if self._cosine(word, word) is None:
                raise KeyError(word)
            return word

        def index2word(self, index: str) -> str:
            return index

        def nearest_neighbours(self, index: str, topn: int) -> list[str]:
            return self._near(index, topn)

        def get_cos_sim(self, a: str, b: str) -> float:
            return self._cosine(a, b)

        def get_mse_dist(self, a: str, b: str) -> float:
            # The squared distance of unit vectors.
            return 2 - 2 * self._cosine(a, b)

    return Embedding()


def _entity(words: Sequence[str], index: int, stop_words: frozenset[str]) -> str:
    """What flair's tagger would say of a word: whether it is a name or a place on TextAttack's own lists."""
    from textattack.shared.data import NAMED_ENTITIES, PERSON_NAMES  # pyright: ignore

    word = words[index]
    if not word[:1].isupper() or word.lower() in stop_words:
        return "O"
    places = _places(tuple(NAMED_ENTITIES["country"] + NAMED_ENTITIES["nationality"] + NAMED_ENTITIES["city"]))
    for length in (3, 2, 1):
        for start in range(max(0, index - length + 1), index + 1):
            if " ".join(words[start : start + length]).lower() in places and start + length <= len(words):
                return "S-LOC"
    first = word in _names(tuple(PERSON_NAMES["first"]))
    before = words[index - 1] if index else ""
    if before in _names(tuple(PERSON_NAMES["first"])) and word in _names(tuple(PERSON_NAMES["last"])):
        return "E-PER"
    return "S-PER" if first else "O"


@cache
def _places(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


@cache
def _names(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


def _patch(channel: Channel) -> None:
    """Replace what TextAttack asks of downloaded models once it is imported."""
    import jieba  # pyright: ignore
    from nltk.corpus import stopwords  # pyright: ignore
    from textattack.shared import AttackedText, WordEmbedding  # pyright: ignore
    from textattack.transformations.word_swaps import word_swap_homoglyph_swap  # pyright: ignore

    # jieba would keep its table in a folder that all users share, and read from there what anyone put.
    jieba.dt.FREQ, jieba.dt.total = jieba.dt.gen_pfdict(jieba.dt.get_dict_file())
    jieba.dt.initialized = True
    # The wheel lacks a file of look-alikes that only a recipe which is not used here would read.
    word_swap_homoglyph_swap.open = lambda *_, **__: io.StringIO()
    embedding = _embedding(channel)
    WordEmbedding.counterfitted_GLOVE_embedding = staticmethod(lambda: embedding)
    stop_words = cache(lambda: frozenset(stopwords.words()))
    AttackedText.ner_of_word_index = lambda text, index, *_: SimpleNamespace(
        value=_entity(text.words, index, stop_words()), score=1.0
    )


class Attacks:
    """Attacks texts by TextAttack's recipes, built once each."""

    def __init__(self, channel: Channel) -> None:
        """Ask for probabilities over `channel`."""
        self._channel = channel
        self._recipes: dict[str, Any] = {}

    def _model(self) -> Any:
        import torch
        from textattack.models.wrappers import ModelWrapper  # pyright: ignore

        channel = self._channel

        class Bundle(ModelWrapper):
            def __init__(self) -> None:
                self.model = self

            def __call__(self, texts: Sequence[str]) -> Any:
                found = torch.tensor(channel.ask("probabilities", texts=list(texts)), dtype=torch.float64)
                return found / found.sum(dim=1, keepdim=True)

        return Bundle()

    def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        """Attack one text; see `attack.py`."""
        import textattack  # pyright: ignore

        if job["recipe"] not in self._recipes:
            self._recipes[job["recipe"]] = getattr(textattack.attack_recipes, job["recipe"]).build(self._model())
        attack = self._recipes[job["recipe"]]
        attack.goal_function.query_budget = job["queries"] or float("inf")
        # The text's own randomness, and no memory of others: which were attacked before changes nothing.
        textattack.shared.utils.set_seed(job["seed"])
        attack.clear_cache()
        result = attack.attack(job["text"], job["label"])
        final = result.perturbed_result
        before, after = result.original_result.attacked_text.words, final.attacked_text.words
        return {
            "text": final.attacked_text.text,
            "broken": isinstance(result, textattack.attack_results.SuccessfulAttackResult),
            "label": int(final.output),
            "queries": int(final.num_queries),
            "words": len(before),
            "changed": _changed(before, after),
        }


def _changed(before: Sequence[str], after: Sequence[str]) -> int:
    """How many words of a text are others in another text, or not there; words that were added count too."""
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for step, a, b, c, d in steps if step != "equal")


def _augment(job: dict[str, Any]) -> list[str]:
    """Views of one text; see `augmentation.py`."""
    import textattack  # pyright: ignore
    from textattack.constraints import PreTransformationConstraint  # pyright: ignore

    words = textattack.shared.utils.words_from_text
    fixed = frozenset(word for piece in job["fixed"] for word in (piece, *words(piece)))

    class Fixed(PreTransformationConstraint):
        def _get_modifiable_indices(self, current_text: Any) -> set[int]:
            return {index for index, word in enumerate(current_text.words) if word not in fixed}

    textattack.shared.utils.set_seed(job["seed"])
    augmenter = getattr(textattack.augmentation.recipes, job["augmenter"])(
        pct_words_to_swap=job["share"], transformations_per_example=job["count"]
    )
    for part in (augmenter, *vars(augmenter).values()):
        if isinstance(part, textattack.augmentation.Augmenter) and hasattr(part, "pre_transformation_constraints"):
            part.pre_transformation_constraints.append(Fixed())
    return augmenter.augment(job["text"])


def _serve(channel: Channel) -> None:
    jobs: dict[str, Callable[[dict[str, Any]], Any]] = {"attack": Attacks(channel), "augment": _augment}
    while True:
        job = channel.receive()
        try:
            done = {"done": jobs[job["job"]](job)}
        except EOFError:
            raise
        except Exception as error:
            done = {"failed": f"{type(error).__name__}: {error}"}
        channel.send(done)


def main() -> None:
    """Do jobs until standard input ends."""
    # Ctrl-C is for the process that sends the jobs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    sys.addaudithook(_refuse_network)
    _stand_in(channel)
    try:
        import textattack  # noqa: F401  # pyright: ignore

        _patch(channel)
    except Exception as error:
        channel.send({"failed": f"{type(error).__name__}: {error}"})
        return
    channel.send({"ready": True})
    with suppress(EOFError, BrokenPipeError):
        _serve(channel)


if __name__ == "__main__":
    main()
