"""A student in its own format: read again it is the same, and it still translates as it was tuned to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import pipeline
from fewtune.backbones.marian_shortlist import read_marian_shortlist, with_words
from fewtune.backbones.seq2seq import read_translator
from fewtune.errors import RecipeError
from tests import marian
from tests.tasks.test_translation import MANY

QUICK = {"epochs": 1, "rehearsal": 0, "learning_rate": 3e-3}


@pytest.mark.parametrize("smaller", ["none", "float16"])
def test_what_is_written_is_read_again(tmp_path: Path, smaller: str) -> None:
    pytest.importorskip("sacrebleu")
    torch = pytest.importorskip("torch")
    from fewtune.backbones.seq2seq_network import Seq2SeqNetwork

    student = marian.write_student(tmp_path / "student", int8=True)
    options = {"model": str(student), "method": "full", "settings": QUICK, "compress": smaller}
    fewtune.fit(MANY, task="translation", out=tmp_path / "a", budget="2m", **options)
    files = pipeline.export(tmp_path / "a", tmp_path / "out", form="marian")
    assert {"model.enpt.bin", "vocab.enpt.spm", "lex.50.50.enpt.s2t.bin"} <= set(files)
    before, after = read_translator(student), read_translator(tmp_path / "out")
    assert after.scales == before.scales
    assert any((after.weights.tensors[name] != value).any() for name, value in before.weights.tensors.items())
    # What is read lies on the steps that the network learnt with: rounded once more it is the same.
    network = Seq2SeqNetwork(after.weights)
    network.round_to_int8(after.scales)
    for name in after.scales:
        np.testing.assert_allclose(network._used(name).detach().numpy(), after.weights.tensors[name], atol=1e-6)
    ids, mask = torch.tensor([[3, 4, 0]]), torch.ones(1, 3, dtype=torch.bool)
    plain = Seq2SeqNetwork(after.weights)(ids, mask, ids)
    torch.testing.assert_close(network(ids, mask, ids), plain, atol=1e-4, rtol=1e-4)
    with pytest.raises(fewtune.UserError, match="something at this place"):
        pipeline.export(tmp_path / "a", tmp_path / "out", form="marian")
    pipeline.export(tmp_path / "a", tmp_path / "out", form="marian", overwrite=True)


def test_rounding_hides_small_changes_and_passes_the_gradient() -> None:
    torch = pytest.importorskip("torch")
    from fewtune.backbones.marian_onnx import MarianWeights
    from fewtune.backbones.seq2seq_network import Seq2SeqNetwork

    tensors = marian.tensors(60)
    network = Seq2SeqNetwork(MarianWeights(tensors, marian.HEADS, marian.ENCODER, marian.DECODER))
    name = "encoder_l1_self_Wq"
    network.round_to_int8([name])
    given = torch.from_numpy(tensors[name])
    used = network._used(name)
    step = given.abs().max() / 127
    assert (used - given).abs().max() <= step / 2 + 1e-6
    assert len(torch.unique(used / step)) < used.numel()
    used.sum().backward()
    assert network._parts[name].grad is not None
    assert (network._parts[name].grad == 1).all()


def test_a_shortlist_takes_more_words(tmp_path: Path) -> None:
    path = tmp_path / "lex.bin"
    content = marian.shortlist(60)
    path.write_bytes(with_words(content, 0, [30, 31, 1]))
    found = read_marian_shortlist(path, sources=60, targets=60)
    path.write_bytes(content)
    before = read_marian_shortlist(path, sources=60, targets=60)
    assert set(found.of([0])) == set(before.of([0])) | {30, 31}
    assert all((found.of([word]) == before.of([word])).all() for word in range(1, 60))


def test_what_has_no_such_format_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    student = marian.write_student(tmp_path / "student")
    fewtune.fit(MANY, task="translation", out=tmp_path / "a", model=str(student), method="none")
    with pytest.raises(RecipeError, match="8-bit integers"):
        pipeline.export(tmp_path / "a", tmp_path / "out", form="marian")
    texts = [(f"good {i}", "a") for i in range(8)] + [(f"bad {i}", "b") for i in range(8)]
    fewtune.fit(texts, out=tmp_path / "b", method="tfidf")
    with pytest.raises(RecipeError, match="Only Marian's students"):
        pipeline.export(tmp_path / "b", tmp_path / "out", form="marian")
    assert not (tmp_path / "out").exists()
