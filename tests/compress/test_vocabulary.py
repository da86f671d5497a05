"""A pruned vocabulary reads what it kept exactly as before, and the rest letter by letter."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fewtune.compress.vocabulary import Vocabulary, VocabularyPruning
from fewtune.interfaces import ImpossibleError, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import Example
from tests.compress.conftest import content, unigram, word_piece

SEEN = ["where my refund", "谢谢 好"]
KINDS = {"unigram": unigram, "word piece": word_piece}


def pruned(tokenizer_json: bytes, strength: float = 0.98) -> tuple[Tokenizer, Tokenizer, list[int]]:
    vocabulary = Vocabulary.read(tokenizer_json)
    kept = vocabulary.needed(SEEN, strength)
    return (
        Tokenizer.from_str(tokenizer_json.decode()),
        Tokenizer.from_str(vocabulary.with_only(kept).decode()),
        kept,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_other_scripts_go_and_what_the_data_need_stays(kind: str) -> None:
    before, after, _ = pruned(KINDS[kind]())
    gone = set(before.get_vocab()) - set(after.get_vocab())
    assert any("возврат" in piece for piece in gone)
    assert not any(set(piece) & set("refund谢好") for piece in gone)
    for text in SEEN:
        assert before.encode(text).tokens == after.encode(text).tokens


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(alphabet=st.sampled_from("wherfundmoys в谢好很!3 ,ж"), max_size=12))
def test_texts_whose_pieces_are_all_kept_are_read_as_before(kind: str, text: str) -> None:
    before, after, kept = pruned(KINDS[kind](), 0.6)
    full = before.encode(text)
    if set(full.ids) <= set(kept):
        again = after.encode(text)
        assert again.tokens == full.tokens
        assert again.ids == [kept.index(i) for i in full.ids]
        assert again.attention_mask == full.attention_mask
    assert all(0 <= i < len(kept) for i in after.encode(text).ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_computes_the_same_vectors(kind: str) -> None:
    tokenizer_json = KINDS[kind]()
    whole = content(tokenizer_json)
    smaller = VocabularyPruning().compress(whole, [Example(text) for text in SEEN], None, RunContext(Path()))
    name, (file,) = "tokenizer.json", whole.graphs
    assert len(smaller.graphs[file]) < len(whole.graphs[file])
    assert len(smaller.assets[name]) < len(whole.assets[name])
    texts = ["where refund", "谢 my money where", "好", ""]
    before, after = (
        TextGraph(some.graphs[file], some.assets[name], threads=1).run(texts, "features") for some in (whole, smaller)
    )
    assert np.array_equal(before, after)
    assert smaller.backbone["config"]["vocab_size"] == len(Vocabulary.read(smaller.assets[name]).pieces)
    assert smaller.backbone["languages"] == ["en", "zh"]


def test_what_is_unknown_costs_the_same_as_before() -> None:
    vocabulary = Vocabulary.read(unigram())
    kept = vocabulary.needed(SEEN, 0.5)
    assert vocabulary.scores[kept].min() == vocabulary.scores.min()


def test_special_tokens_are_renumbered() -> None:
    description = json.loads(unigram())
    description["added_tokens"] = [
        {
            "id": len(description["model"]["vocab"]),
            "content": "<mask>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    ]
    description["model"]["vocab"].append(["<mask>", 0.0])
    description["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    _, after, kept = pruned(json.dumps(description).encode())
    assert after.encode("where").ids[0] == after.token_to_id("<s>")
    assert after.token_to_id("<mask>") == len(kept) - 1
    assert after.padding is not None
    assert after.padding["pad_id"] == after.token_to_id("<pad>")


def test_all_of_it_may_be_needed() -> None:
    seen = [Example("where refund money ere my"), Example("谢谢很好 возврат деньги воз ь")]
    whole = content(unigram())
    with pytest.raises(ImpossibleError, match="all of the vocabulary"):
        VocabularyPruning().compress(whole, seen, 1.0, RunContext(Path()))


def test_obstacles() -> None:
    whole = content(unigram())
    assert VocabularyPruning().obstacle(whole) == ""
    counted = dataclasses.replace(whole, graphs={"model.onnx": b"no table"})
    assert "table of embeddings" in VocabularyPruning().obstacle(counted)
    other = dataclasses.replace(whole, assets={"tokenizer.json": b'{"model": {"type": "BPE"}}'})
    assert "neither" in VocabularyPruning().obstacle(other)
