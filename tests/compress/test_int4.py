"""A language model's layers in 4 bits: what a fit in 4 bits writes, and a bundle that still replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import fewtune
from fewtune import pipeline
from fewtune.backbones.llama_onnx import quantised
from fewtune.bundle.export_causal import unpack_blocks
from fewtune.compress.int4 import Int4
from fewtune.compress.path import Wishes, _content
from tests.backbones.tiny_llama import WORDS, save_tiny_llama
from tests.compress.test_path import more

__all__ = ["more"]


def fit(place: Path, bits: int) -> Path:
    pairs = [{"prompt": f"{a} {b}", "response": f"the {a}"} for a in WORDS[:4] for b in WORDS[6:12]]
    data = place / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    settings = {"max_new_tokens": 4, "bits": bits}
    model = fewtune.fit(
        data, model=str(save_tiny_llama(place / "llama")), method="none", out=place / "whole", settings=settings
    )
    return model.bundle


def test_blocks_of_8_bits_become_blocks_of_4(tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    bundle, data = fit(tmp_path, 8), tmp_path / "pairs.jsonl"
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(to="int4", max_drop=0.9), data=str(data))
    assert found.trades[1].name == "int4"
    assert found.metric == "perplexity"
    assert found.kept, found.words
    sizes = [(some / "model.onnx").stat().st_size for some in (bundle, tmp_path / "small")]
    assert sizes[1] < sizes[0]
    model = fewtune.load(tmp_path / "small")
    assert model.manifest.backbone["bits"] == 4
    assert model.predict([f"{WORDS[0]} {WORDS[6]}"])[0].text is not None
    small = _content(model.bundle, model.manifest)
    assert "blocks of 8 bits" in Int4().obstacle(small)


def test_weights_move_by_half_a_step_at_most() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    narrow, scales = quantised(unpack_blocks(*quantised(matrix, 8)), 4)
    steps = np.abs(scales).reshape(6, 2).repeat(32, axis=1)
    # On the side that has a step less, a block's second largest value may lie a whole step out.
    assert (np.abs(unpack_blocks(narrow, scales) - matrix) <= 1.02 * steps).all()
