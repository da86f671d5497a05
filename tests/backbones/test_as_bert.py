"""Encoders of BERT's family give the vectors that Transformers gives, frozen and in the layers that are tuned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("lightning")

from fewtune.backbones.text_encoder import encoder_from  # noqa: E402
from fewtune.errors import RecipeError  # noqa: E402
from fewtune.runtime.text_graph import TextGraph  # noqa: E402
from fewtune.tune import layers  # noqa: E402
from fewtune.tune.layers import TunedLayers  # noqa: E402
from fewtune.tune.tuned import token_ids  # noqa: E402
from tests.backbones.test_text_encoder import TEXTS, tiny_bert  # noqa: E402

COMMON = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE = {**COMMON, "intermediate_size": 64, "max_position_embeddings": 30}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SHAPE,
    "roberta": {**SHAPE, "pad_token_id": 0, "type_vocab_size": 1},
    "xlm-roberta": {**SHAPE, "pad_token_id": 0, "type_vocab_size": 1},
    "camembert": {**SHAPE, "pad_token_id": 0, "type_vocab_size": 1},
    "electra": {**SHAPE, "embedding_size": 32},
    "distilbert": {"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
}


def save(folder: Path, kind: str, **changes: Any) -> Any:
    """A checkpoint with a head, as fine-tuned ones are published, and the encoder in it."""
    tiny_bert(folder)
    config = transformers.AutoConfig.for_model(kind, **(CONFIGS[kind] | changes))
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return getattr(model, model.base_model_prefix)


def expected(model: Any, ids: list[np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        means = [model(torch.from_numpy(row)[None]).last_hidden_state[0].mean(dim=0) for row in ids]
    return np.stack([(mean / mean.norm()).numpy() for mean in means])


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_vectors_are_transformers(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "computes_in_bfloat16", lambda: False)
    model = save(tmp_path / "model", kind)
    parts = encoder_from(str(tmp_path / "model")).parts
    wanted = expected(model, token_ids(parts, TEXTS))
    frozen = TextGraph(parts.graph(), parts.tokenizer_json, threads=1).run(TEXTS, "features")
    assert (frozen * wanted).sum(axis=1).min() > 0.99
    tuned = TunedLayers(parts, count=2, embeddings=True).features(token_ids(parts, TEXTS))
    assert np.abs(tuned - wanted).max() < 1e-5


def test_names_of_old_checkpoints_are_known(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tiny_bert(tmp_path / "bert")
    plain = encoder_from(str(folder)).parts.weights.tensors
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file(old, folder / "model.safetensors")
    found = encoder_from(str(folder)).parts.weights.tensors
    assert found.keys() == plain.keys()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"num_hidden_layers": 5}, "not an encoder"),
        ({"hidden_size": 64}, "32 wide"),
        ({"is_decoder": True}, "decoder"),
    ],
)
def test_what_is_no_encoder_of_the_family_is_refused(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    folder = tiny_bert(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(RecipeError, match=what):
        encoder_from(str(folder)).load()
