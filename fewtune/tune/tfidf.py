"""TF-IDF + logistic regression: no pretrained model at all. Every other rung has to beat it.

One tokenizer serves all scripts: words where spaces part them, single characters for Han and
kana, each with their pairs, so that Chinese is counted by characters and English by words. The
same tokenizer file and ONNX's TfIdfVectorizer count the same n-grams in the bundle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.augment.policy import Policies, Policy
from fewtune.backbones.bert_onnx import IR_VERSION, OPSET
from fewtune.interfaces import Candidate, Cost, Fitted, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.augmented import AUGMENT_HELP, AugmentedTexts
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.linear_head import LinearHead, class_indices, fit_linear_heads
from fewtune.types import Dataset, FloatArray, Graph, IntArray, LeftOut, Resampling, Split

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from tokenizers import Tokenizer

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
_TOKEN = r"\p{Han}|\p{Hiragana}|\p{Katakana}|[\p{L}\p{M}\p{N}_']+|\p{So}|[!?]"
_MAX_TERMS = 50_000
MAX_TOKENS = 4096
_UNKNOWN = "[UNK]"


class TfidfTuner(Tuner):
    """Offers the one rung that needs no pretrained model."""

    name = "tfidf"
    tasks = ("text-classification",)
    settings = {
        "C": "inverse strength of the regularisation, as in scikit-learn",
        "temperature": "what the logits are divided by before they become probabilities",
        "augment": AUGMENT_HELP,
    }

    def __init__(self, policies: Policies) -> None:
        """Choose among these augmentations."""
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """The rung, unless a certain pretrained model is asked for."""
        if recipe.model != "auto" and recipe.method == "auto":
            return [], [LeftOut(self.name, f"it uses no pretrained model, and {recipe.model} was asked for")]
        # Views have not made this rung any better: it learns from them only where they are asked for.
        (policy,) = self._policies.of(dataset, recipe, auto=())
        return [TfidfCandidate(recipe.settings, policy)], []


@dataclass(frozen=True, slots=True)
class Terms:
    """Texts as counts of n-grams.

    Attributes:
        tokenizer: text to token ids, 0 for unknown tokens.
        ngrams: (1 or 2 token ids) of each column.
        counts: (n, columns) how often each occurs.
    """

    tokenizer: Tokenizer
    ngrams: tuple[tuple[int, ...], ...]
    counts: csr_matrix

    @classmethod
    def of(cls, texts: AugmentedTexts, most: int = _MAX_TERMS) -> Terms:
        """Those of all texts and their views, the `most` commonest; without labels, so that folds may share them."""
        tokenizer = _trained_tokenizer(texts.texts, most)
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts.texts))]
        # An example and its views count once: what they alone have is no commoner for being repeated.
        grams = [set(_ngrams(row)) for row in ids[: texts.examples]]
        for owner, row in zip(texts.owners[texts.examples :].tolist(), ids[texts.examples :], strict=True):
            grams[owner].update(_ngrams(row))
        occurs = Counter(gram for some in grams for gram in some)
        # In large data an n-gram of one example teaches nothing and costs a column.
        least = 1 if texts.examples < 2000 else 2
        common = [gram for gram, count in occurs.most_common(most) if count >= least]
        # Texts of punctuation alone have no n-grams; the unknown token then fills the one column, with zeros.
        ngrams = tuple(sorted(common, key=lambda gram: (len(gram), gram))) or ((0,),)
        return cls(tokenizer, ngrams, _count(ids, ngrams))

    def count(self, texts: Sequence[str]) -> csr_matrix:
        """(n, columns) counts for other texts."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        return _count(ids, self.ngrams)


def _trained_tokenizer(texts: Sequence[str], most: int) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({_UNKNOWN: 0}, unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    # Inverted, "removed" drops what lies between the tokens.
    split = pre_tokenizers.Split(Regex(_TOKEN), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = split
    normalise, words = tokenizer.normalizer.normalize_str, split.pre_tokenize_str
    seen = Counter(word for text in texts for word, _ in words(normalise(text)))
    vocabulary = {_UNKNOWN: 0}
    for word, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:most]:
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer.model = models.WordLevel(vocabulary, unk_token=_UNKNOWN)
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _ngrams(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Tokens and pairs of neighbours; an unknown token is in none."""
    for position, token in enumerate(ids):
        if token:
            yield (token,)
            if position + 1 < len(ids) and ids[position + 1]:
                yield (token, ids[position + 1])


def _count(ids: Sequence[Sequence[int]], ngrams: Sequence[tuple[int, ...]]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    column_of = {gram: column for column, gram in enumerate(ngrams)}
    starts, columns, values = [0], [], []
    for row in ids:
        found = Counter(column_of[gram] for gram in _ngrams(row) if gram in column_of)
        columns += sorted(found)
        values += [found[column] for column in sorted(found)]
        starts.append(len(columns))
    return csr_matrix((np.array(values, np.float32), columns, starts), shape=(len(ids), len(ngrams)))


def inverse_document_frequency(counts: csr_matrix) -> FloatArray:
    """(columns,) smoothed idf of a part of the data; 0 for columns that do not occur there."""
    rows, columns = counts.shape  # type: ignore[misc]
    occurs = np.bincount(counts.indices, minlength=columns)
    idf = np.log((1 + rows) / (1 + occurs)) + 1
    return np.where(occurs > 0, idf, 0.0).astype(np.float32)


def weighted(counts: csr_matrix, idf: FloatArray) -> csr_matrix:
    """Rows of log(1 + count) idf, scaled to length 1."""
    rows = counts.copy()
    rows.data = np.log1p(rows.data) * idf[rows.indices]
    squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    lengths = np.sqrt(np.maximum(squares, 1e-12))
    rows.data = (rows.data / np.repeat(lengths, np.diff(rows.indptr))).astype(np.float32)
    return rows


class TfidfCandidate(Candidate):
    """TF-IDF with a linear head, which may learn from views of the training texts too."""

    name = method = "tfidf"
    model = ""

    def __init__(self, settings: Mapping[str, Any], policy: Policy | None = None) -> None:
        """Try all strengths, or the one that `settings` fixes."""
        self._strengths = [float(settings["C"])] if "C" in settings else list(STRENGTHS)
        self._policy = policy
        self._terms: Terms | None = None

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
        """Not foreseen: it is the cheapest rung there is."""
        del dataset, run

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every strength on every fold.

        The vocabulary is chosen from all texts and their views, those of the validated examples included, but without
        their labels; what terms weigh is counted on the training part alone.
        """
        texts = AugmentedTexts.of(dataset, self._policy, run)
        terms = self._count_terms(texts)
        targets = class_indices(dataset)[texts.owners]

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            rows, weight = texts.training_rows(split.train)
            idf = inverse_document_frequency(terms.counts[rows])
            validated = weighted(terms.counts[split.valid], idf)
            heads = self._heads(weighted(terms.counts[rows], idf), targets[rows], weight, len(dataset.labels))
            for head in heads:
                yield head.log_probs(validated)

        shape = (len(dataset), len(dataset.labels))
        augment = {"augment": self._policy.full_name} if self._policy else {}
        settings = [{"C": strength, **augment} for strength in self._strengths]
        return cross_fit(resampling, shape, settings, fit_fold, run=run, name=f"Folds of {self.name}")

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit on all texts and write counting, weighting and head as one graph."""
        started = time.perf_counter()
        texts = AugmentedTexts.of(dataset, self._policy, run)
        terms = self._count_terms(texts)
        rows, weight = texts.training_rows(np.arange(len(dataset)))
        idf = inverse_document_frequency(terms.counts[rows])
        chosen = TfidfCandidate(settings)
        targets = class_indices(dataset)[texts.owners[rows]]
        (head,) = chosen._heads(weighted(terms.counts[rows], idf), targets, weight, len(dataset.labels))
        head = head.at(float(settings.get("temperature", 1.0)))

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(weighted(terms.count(texts), idf))

        return Fitted(
            graphs={"model.onnx": term_graph(terms.ngrams, idf, head)},
            contracts=(term_contract(len(dataset.labels)),),
            assets={"tokenizer.json": terms.tokenizer.to_str().encode()},
            backbone={"name": "", "max_tokens": MAX_TOKENS, "terms": len(terms.ngrams)},
            reference=reference,
            seconds=time.perf_counter() - started,
        )

    def _count_terms(self, texts: AugmentedTexts) -> Terms:
        if self._terms is None:
            self._terms = Terms.of(texts)
        return self._terms

    def _heads(
        self, rows: csr_matrix, targets: IntArray, sample_weight: FloatArray, classes: int
    ) -> Iterator[LinearHead]:
        return fit_linear_heads(rows, targets, sample_weight, classes, self._strengths)


def term_contract(classes: int) -> Graph:
    """What `model.onnx` takes and gives."""
    return Graph(
        role="classifier",
        file="model.onnx",
        inputs={"input_ids": "int64 [batch, tokens]: ids of tokenizer.json, padded at the end with 0"},
        outputs={"logits": f"float32 [batch, {classes}]: softmax gives the labels' probabilities"},
    )


def term_graph(ngrams: Sequence[tuple[int, ...]], idf: FloatArray, head: LinearHead) -> bytes:
    """Counting, weighting and head as one serialised ONNX model.

    Args:
        ngrams: the token ids of each column, single ones first.
        idf: (columns,).
        head: of as many columns.
    """
    from onnx import TensorProto, helper, numpy_helper

    singles = [gram for gram in ngrams if len(gram) == 1]
    pairs = [gram for gram in ngrams if len(gram) == 2]
    vectorizer = helper.make_node(
        "TfIdfVectorizer",
        ["input_ids"],
        ["counts"],
        mode="TF",
        min_gram_length=1,
        max_gram_length=2,
        max_skip_count=0,
        ngram_counts=[0, len(singles)],
        ngram_indexes=list(range(len(ngrams))),
        pool_int64s=[token for gram in (*singles, *pairs) for token in gram],
    )
    nodes = [
        vectorizer,
        helper.make_node("Add", ["counts", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["dampened"]),
        helper.make_node("Mul", ["dampened", "idf"], ["weighted"]),
        helper.make_node("ReduceL2", ["weighted", "axis"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["floored"]),
        helper.make_node("Div", ["weighted", "floored"], ["rows"]),
        helper.make_node("Gemm", ["rows", "classifier.weight", "classifier.bias"], ["logits"]),
    ]
    constants = {
        "one": np.float32(1),
        "tiny": np.float32(1e-6),
        "axis": np.array([1], np.int64),
        "idf": idf,
        "classifier.weight": np.asarray(head.weight, np.float32),
        "classifier.bias": np.asarray(head.bias, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tfidf",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(head.bias)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fewtune")
    return model.SerializeToString(deterministic=True)
