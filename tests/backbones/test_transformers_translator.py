"""Transformers' translation models: the graphs give what `generate` gives, and what cannot be read is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune.backbones.language_tags import tag_of
from fewtune.backbones.seq2seq import translator_from
from fewtune.backbones.t5_onnx import buckets
from fewtune.backbones.transformers_translator import TransformersParts
from fewtune.errors import RecipeError
from fewtune.runtime.decoding import decode
from fewtune.runtime.greedy import Source, Words
from fewtune.runtime.subwords import Marks
from tests.tiny_seq2seq import MODELS, save_opus, save_t5

TEXTS = ["the cat sees the dog.", "o gato vê o dog", "Anna", "Bert sees Carl (1), a dog, the cat", "cat dog"]


def generated(model: Any, source: Source, words: Words) -> list[int]:
    """What Transformers says, without what a translation begins and ends with."""
    import torch

    limit = words.limit(source)
    forced = words.start[1] if len(words.start) > 1 else None
    found = model.generate(
        input_ids=torch.tensor([source.ids]),
        decoder_start_token_id=next(iter(words.start)),
        forced_bos_token_id=forced,
        max_new_tokens=limit + len(words.start) - 1,
        num_beams=words.beams,
        length_penalty=words.length_penalty,
        early_stopping=words.stops_early,
        suppress_tokens=[i for i in words.never.tolist() if i != forced],
        do_sample=False,
    )[0].tolist()
    found = found[len(words.start) :]
    return found[: found.index(words.end)] if words.end in found else found


@pytest.mark.parametrize("kind", MODELS)
def test_graphs_say_what_generate_says(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    from transformers import AutoModelForSeq2SeqLM

    folder = MODELS[kind](tmp_path / "model")
    parts = translator_from(str(folder)).parts.directed(("en", "pt"))
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    subwords, graph = parts.subwords(Marks()), parts.graph(threads=1)
    sources = [subwords.encode_source(text) for text in TEXTS]
    plain = replace(parts.words(Marks()), beams=1)
    for words in (
        plain,
        replace(plain, beams=3),
        replace(plain, beams=2, length_penalty=2.0),
        replace(plain, beams=3, stops_early=True, length_penalty=0.5),
    ):
        found = decode(graph, sources, words)
        assert found == [generated(model, source, words) for source in sources], words
    assert len({tuple(ids) for ids in found}) > 1
    assert decode(graph, sources, plain) == decode(parts.network().steps(), sources, plain)


@pytest.mark.parametrize(("kind", "settings"), [("opus", {"share_encoder_decoder_embeddings": True}), ("t5", {})])
def test_words_are_those_of_transformers(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    folder = MODELS[kind](tmp_path / "model", **settings)
    parts = translator_from(str(folder)).parts
    subwords = parts.subwords(Marks())
    if kind == "opus":
        numbers = json.loads((folder / "vocab.json").read_text())
        expected = [numbers[piece] for piece in ["▁the", "▁cat", "▁", "(", "1", ")"]] + [0]
        text = "the  cat (1)"
    else:
        from transformers import AutoTokenizer

        text = TEXTS[3]
        expected = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False)["input_ids"] + [1]
    assert list(subwords.encode_source(text).ids) == expected
    assert subwords.decode_target(subwords.encode_target(text)[:-1]) == " ".join(text.split())


def test_a_gated_t5_with_an_output_layer_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForSeq2SeqLM

    folder = save_t5(tmp_path / "model", feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    parts = translator_from(str(folder)).parts.directed(("en", "pt"))
    assert isinstance(parts, TransformersParts)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    words = replace(parts.words(Marks()), beams=1)
    sources = [parts.subwords(Marks()).encode_source(text) for text in TEXTS]
    assert decode(parts.graph(threads=1), sources, words) == [generated(model, source, words) for source in sources]
    # An output layer that is not the table of words has rows of its own.
    own = dict(parts.weights.tensors)
    own["lm_head.weight"] = np.asarray(torch.randn(model.lm_head.weight.shape).numpy())
    aliases = {name: other for name, other in parts.weights.aliases.items() if name != "lm_head.weight"}
    untied = replace(parts, weights=replace(parts.weights, tensors=own, aliases=aliases))
    by_graph = decode(untied.graph(threads=1), sources, words)
    assert by_graph == decode(untied.network().steps(), sources, words)
    assert by_graph != decode(parts.graph(threads=1), sources, words)


@pytest.mark.parametrize("both_ways", [True, False])
def test_distances_share_rows_as_in_t5(both_ways: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.models.t5.modeling_t5 import T5Attention

    for farthest, count in ((128, 32), (12, 8)):
        distances = torch.arange(-farthest, farthest + 1 if both_ways else 1)
        expected = T5Attention._relative_position_bucket(distances, both_ways, count, farthest)
        found = buckets(farthest, count, both_ways=both_ways)
        assert (found if both_ways else found[::-1]).tolist() == expected.tolist()


def test_languages_are_found_by_their_tags() -> None:
    nllb = ["eng_Latn", "por_Latn", "zho_Hant", "zho_Hans", "arb_Arab", "ary_Arab"]
    assert [tag_of(code, nllb) for code in ("en", "pt-BR", "zh", "ar", "xx")] == [
        "eng_Latn",
        "por_Latn",
        "zho_Hans",
        "arb_Arab",
        "",
    ]
    assert tag_of("de", ["__de__", "__en__"]) == "__de__"
    assert tag_of("de", ["de_DE", "en_XX"]) == "de_DE"
    assert tag_of("de", [">>deu<<", ">>nld<<"]) == ">>deu<<"


def test_what_is_asked_of_a_model_of_many_languages(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    nllb = translator_from(str(MODELS["nllb"](tmp_path / "nllb"))).parts
    directed = nllb.directed(("en", "pt"))
    assert isinstance(directed, TransformersParts)
    code = {name: directed.special[name] for name in ("eng_Latn", "por_Latn")}
    assert directed.frame().before == (code["eng_Latn"],)
    assert directed.words(Marks()).start == (2, code["por_Latn"])
    with pytest.raises(RecipeError, match="no language fr") as caught:
        nllb.directed(("en", "fr"))
    assert "deu_Latn" in caught.value.how
    asked = {"translation_en_to_pt": {"prefix": "the cat: "}}
    t5 = translator_from(str(save_t5(tmp_path / "t5", task_specific_params=asked))).parts.directed(("en", "pt"))
    before = t5.subwords(Marks()).encode_source("dog").ids
    assert t5.subwords(Marks()).decode_target(before[:-1]) == "the cat: dog"


def test_what_is_no_translation_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RecipeError, match="'bert' are not read"):
        translator_from(str(folder))
    opus = save_opus(tmp_path / "opus")
    (opus / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RecipeError, match="cannot be read"):
        _ = translator_from(str(opus)).parts
    (opus / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match="no weights"):
        _ = translator_from(str(opus)).parts
