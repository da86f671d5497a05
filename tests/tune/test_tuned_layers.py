"""Packed layers compute what Transformers computes for each text alone, and their weights come back by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from fewtune.backbones.text_encoder import encoder_from  # noqa: E402
from fewtune.tune import layers as module  # noqa: E402
from fewtune.tune.layers import TunedLayers, pack  # noqa: E402
from fewtune.tune.tuned import token_ids  # noqa: E402
from tests.backbones.test_text_encoder import TEXTS, reference, tiny_bert  # noqa: E402

MANY = [*TEXTS, *(" ".join(["small", "test"][: i % 3]) for i in range(40))]


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "computes_in_bfloat16", lambda: False)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_packing_changes_nothing(tmp_path: Path, in_float32: None, pooling: str) -> None:
    folder = tiny_bert(tmp_path / "bert")
    if pooling == "cls":
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    parts = encoder_from(str(folder)).parts
    whole = TunedLayers(parts, count=2, embeddings=True)
    assert np.abs(whole.features(token_ids(parts, MANY)) - reference(folder, MANY, pooling)).max() < 1e-5


@pytest.mark.parametrize("below", [0, 1])
def test_the_layers_go_on_where_the_trunk_ends(tmp_path: Path, in_float32: None, below: int) -> None:
    folder = tiny_bert(tmp_path / "bert")
    encoder = encoder_from(str(folder))
    hidden = encoder.hidden_states(MANY, below, threads=1)
    features = TunedLayers(encoder.parts, count=2 - below).features(hidden)
    # The trunk is in 8-bit integers and hands float16 on.
    assert (features * reference(folder, MANY, "mean")).sum(axis=1).min() > 0.995


def test_a_row_holds_texts_side_by_side_that_do_not_see_each_other() -> None:
    generator = np.random.default_rng(0)
    texts = [generator.normal(size=(length, 8)).astype(np.float32) for length in (30, 20, 20, 10, 70)]
    packed = pack(texts, pooling="mean")
    assert packed.tokens.shape == (3, 70, 8)
    flat = packed.tokens.flatten(0, 1)
    for text, weights in zip(texts, packed.pool, strict=True):
        owned = weights > 0
        assert torch.equal(flat[owned], torch.from_numpy(text))
        assert float(weights.sum()) == pytest.approx(1)
        allowed = (packed.mask[:, 0] == 0).flatten(0, 1)[owned]
        assert (allowed.sum(dim=1) == len(text)).all()


def test_weights_come_back_under_their_own_names(tmp_path: Path) -> None:
    parts = encoder_from(str(tiny_bert(tmp_path / "bert"))).parts
    tensors = TunedLayers(parts, count=1).tensors()
    assert all(name.startswith("encoder.layer.1.") for name in tensors)
    for name, value in tensors.items():
        assert np.array_equal(value, parts.weights.tensors[name])  # type: ignore[arg-type]
    assert len(TunedLayers(parts, count=2, embeddings=True).tensors()) == len(parts.weights.tensors)
