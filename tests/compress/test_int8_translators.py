"""A translator in integers: all of it where that does no harm, else all but what they hurt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fewtune
from fewtune import pipeline
from fewtune.backbones.seq2seq import translator_from
from fewtune.bundle.read import read_manifest
from fewtune.compress import int8_matrices, int8_translators
from fewtune.compress.int8_matrices import matrices_in_integers, matrix_groups
from fewtune.compress.int8_translators import translator_in_integers
from fewtune.compress.path import Wishes, _content
from fewtune.data.protection import NO_TERMS
from fewtune.interfaces import Content, RunContext
from fewtune.runtime.translation import SETTINGS_FILE, SHORTLIST_FILE, settings_of
from fewtune.types import Example
from tests import marian
from tests.compress.test_path import more
from tests.tasks.test_translation import MANY, table

__all__ = ["more"]
RUN = RunContext(Path(), threads=1)
EXAMPLES = [Example(source) for source, _ in MANY[:12]]
# The two matrices and the bias of a feed-forward layer, as (in, out).
STUDENT = ("decoder_l1_ffn_W1", "decoder_l1_ffn_b1", "decoder_l1_ffn_W2")
T5 = "decoder.block.0.layer.2.DenseReluDense"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices of a few hundred weights count, too; a few sentences will do."""
    monkeypatch.setattr(int8_matrices, "_LEAST_WEIGHTS", 100)
    monkeypatch.setattr(int8_translators, "_MOST_PASSAGES", 4)


def translator(folder: Path) -> Content:
    parts = translator_from(str(folder)).load().directed(("en", "pt"))
    marks = parts.marks()
    (source, _), (encoder, decoder) = parts.tokenizers(marks), parts.graphs()
    settings = settings_of(("en", "pt"), parts.subwords(marks), parts.words(marks), NO_TERMS)
    # What random weights say does not end by itself.
    assets = {"tokenizer.json": source, SETTINGS_FILE: replace(settings, longest=8).to_json()}
    if parts.shortlist is not None:
        assets[SHORTLIST_FILE] = parts.shortlist.to_bytes()
    graphs = {"encoder.onnx": encoder, "decoder.onnx": decoder}
    return Content("translation", graphs, parts.contracts("tokenizer.json"), assets, {})


def with_outliers(content: Content, names: Sequence[str]) -> Content:
    """The same function, but that half the neurons of a layer of ReLUs are a thousand times larger on the way."""
    out = names[-1]

    def changed(graph: bytes) -> bytes:
        model = onnx.load_from_string(graph)
        for tensor in model.graph.initializer:
            if tensor.name in names:
                values = numpy_helper.to_array(tensor).copy()
                half = values.shape[0 if tensor.name == out else -1] // 2
                if tensor.name == out:
                    values[:half] /= 1000
                else:
                    values[..., :half] *= 1000
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return model.SerializeToString()

    return replace(content, graphs={name: changed(graph) for name, graph in content.graphs.items()})


def moved(content: Content, smaller: Content) -> float:
    said = int8_translators._said(content, EXAMPLES, RUN)
    wanted, given = (int8_translators._sureness(some, said, RUN) for some in (content, smaller))
    return float(np.abs(wanted - given).mean())


def kept_in_float(content: Content, smaller: Content) -> set[str]:
    names = {name for group in matrix_groups(content) for name in group}
    stored = {
        tensor.name for graph in smaller.graphs.values() for tensor in onnx.load_from_string(graph).graph.initializer
    }
    return names & stored


# Random weights: the student is sure of nothing, the T5 of everything.
@pytest.mark.parametrize(("kind", "most"), [("student", 0.002), ("t5", 0.25)])
def test_what_integers_hurt_is_found_and_stays_in_float(
    tmp_path: Path, kind: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_translators, "_MOST_SHIFT", most)
    if kind == "student":
        plain, names = translator(marian.write_student(tmp_path)), STUDENT
    else:
        pytest.importorskip("transformers")
        from tests.tiny_seq2seq import save_t5

        plain, names = translator(save_t5(tmp_path)), (f"{T5}.wi.weight.turned", f"{T5}.wo.weight.turned")
    whole = translator_in_integers(plain, EXAMPLES, RUN)
    assert moved(plain, whole) < most
    assert whole.notes == ()
    assert kept_in_float(plain, whole) == set()

    hurt = with_outliers(plain, names)
    assert moved(plain, hurt) < most / 10, "the function is another one"
    assert moved(hurt, matrices_in_integers(hurt)) > most, "integers do not hurt it"
    smaller = translator_in_integers(hurt, EXAMPLES, RUN)
    assert names[-1] in kept_in_float(hurt, smaller)
    assert len(kept_in_float(hurt, smaller)) < len(matrix_groups(hurt)) / 2
    assert moved(hurt, smaller) <= most
    (note,) = smaller.notes
    assert names[-1].removesuffix(".turned") in note
    assert translator_in_integers(hurt, EXAMPLES, RUN).graphs == smaller.graphs


def test_every_word_of_a_translation_is_asked_for_once(tmp_path: Path) -> None:
    """With the words before it given: the probabilities are those that the translation was chosen by."""
    content = translator(marian.write_student(tmp_path))
    said = int8_translators._said(content, EXAMPLES, RUN)
    sure = int8_translators._sureness(content, said, RUN)
    assert len(sure) == sum(some.counts.sum() for some in said)
    # The likeliest of the sentence's own words: at least one of as many. Where it gets too long, its end is forced.
    assert (sure >= 1 / max(len(some.output_ids) for some in said)).mean() > 0.8
    end = {
        int(some.output_ids[row[counts][-1]])
        for some in said
        for row, counts in zip(some.wanted, some.counts, strict=True)
    }
    assert end == {0}


def test_matrices_that_read_the_same_stand_together(tmp_path: Path) -> None:
    groups = matrix_groups(translator(marian.write_student(tmp_path)))
    assert ("encoder_l1_self_Wk", "encoder_l1_self_Wq", "encoder_l1_self_Wv") in groups
    assert ("decoder_l1_context_Wk", "decoder_l1_context_Wv") in groups
    assert ("Wemb",) in groups


def test_a_bundle_says_which_matrices_stay_in_float(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: Callable[..., None]
) -> None:
    more()
    pytest.importorskip("sacrebleu")
    student = marian.write_student(tmp_path / "student")
    data = table(tmp_path / "pairs.csv", MANY)
    bundle = tmp_path / "a"
    fewtune.fit(data, out=bundle, model=str(student), method="none", compress="none")
    assert {SETTINGS_FILE, SHORTLIST_FILE} <= set(_content(bundle, read_manifest(bundle)).assets)
    # Even what hurts least is too much: groups are left in float until there are no more to leave.
    monkeypatch.setattr(int8_translators, "_MOST_SHIFT", 0.0)
    found = pipeline.compress(bundle, tmp_path / "b", Wishes(to="int8", max_drop=0.9), data=str(data))
    (trade,) = found.trades[1:]
    assert trade.failed == ()
    assert any("matrices stay in float: " in note for note in trade.notes)
