"""README.md of a bundle: what the model does, how good it is, how to run it, what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.bundle.manifest import Manifest

_METRIC_NAMES = {
    "accuracy": "Accuracy",
    "precision_macro": "Precision (macro)",
    "recall_macro": "Recall (macro)",
    "f1_macro": "F1 (macro)",
    "f1_weighted": "F1 (weighted)",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
_SHARES = {"accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted"}

_SNIPPET = """```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

labels = json.load(open("bundle.json", encoding="utf-8"))["labels"]
tokenizer, session = Tokenizer.from_file("tokenizer.json"), onnxruntime.InferenceSession("model.onnx")
ids = np.array([tokenizer.encode("Write a text here.").ids], dtype=np.int64)
inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
logits = session.run(["logits"], {node.name: inputs[node.name] for node in session.get_inputs()})[0]
print(labels[logits.argmax()])
```"""


def model_card(manifest: Manifest, name: str) -> str:
    """Write the card in Markdown.

    Args:
        manifest: all but the card's own entry.
        name: of the bundle.
    """
    parts = [
        f"# {escape(name)}",
        _what(manifest),
        "## Run it",
        "```bash\nfewtune predict . texts.csv        # adds the columns prediction and confidence\n```",
        '```python\nimport fewtune\n\nfewtune.load(".").predict(["Write a text here."])\n```',
        "Without fewtune, from this folder:",
        _SNIPPET,
        "## How good it is",
        f"{escape(str(manifest.scores['how']))}.",
        _scores_table(manifest.scores),
        _per_class_table(manifest),
        "## How it was made",
        _origin(manifest),
        _rungs_table(manifest),
        "## Limits",
        _limits(manifest),
        "## Licences",
        "\n".join(f"- {escape(entry['part'])}: {escape(entry['licence'])}" for entry in manifest.licences),
        "## Files",
        _files(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """User content as Markdown that shows it and does nothing else."""
    flat = " ".join(str(text).split())
    for mark in "\\`*_{}[]()#+!|":
        flat = flat.replace(mark, "\\" + mark)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _what(manifest: Manifest) -> str:
    labels = ", ".join(escape(label) for label in manifest.labels[:20]) + (", ..." if len(manifest.labels) > 20 else "")
    base = f", on the pretrained encoder {escape(manifest.model)}" if manifest.model else ", without a pretrained model"
    return f"Sorts texts into {len(manifest.labels)} classes ({labels}). Method: {manifest.method}{base}."


def _scores_table(scores: Mapping[str, Any]) -> str:
    rows = ["| metric | value | 95 % interval |", "|---|---|---|"]
    for key, name in _METRIC_NAMES.items():
        score = scores[key]
        form = _percent if key in _SHARES else _plain
        rows.append(f"| {name} | {form(score['value'])} | {form(score['low'])} to {form(score['high'])} |")
    return "\n".join(rows)


def _per_class_table(manifest: Manifest) -> str:
    if len(manifest.labels) > 50:
        return ""
    rows = ["| class | examples | precision | recall | F1 |", "|---|---|---|---|---|"]
    for label in manifest.labels:
        scores = manifest.scores["per_class"][label]
        cells = [
            f"{_percent(scores[key]['value'])} ({_percent(scores[key]['low'])} to {_percent(scores[key]['high'])})"
            for key in ("precision", "recall", "f1")
        ]
        rows.append(f"| {escape(label)} | {manifest.scores['support'][label]} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _origin(manifest: Manifest) -> str:
    data, machine = manifest.data, manifest.machine
    return (
        f"From {data['examples']} labelled examples ({escape(data['name'])}), in {manifest.seconds:.0f} s and "
        f"{manifest.peak_memory_mb:.0f} MB on {escape(machine['processor'])} with {machine['threads']} threads. "
        f"The candidates were compared by {escape(manifest.resampling)}; the least expected log loss was taken. "
        "`recipe.toml` makes the same model again from the same data."
    )


def _rungs_table(manifest: Manifest) -> str:
    rows = ["| candidate | accuracy | log loss | seconds |", "|---|---|---|---|"]
    for rung in manifest.rungs:
        accuracy, loss = rung["scores"]["accuracy"], rung["scores"]["log_loss"]
        rows.append(
            f"| {escape(rung['name'])} | {_percent(accuracy['value'])} ({_percent(accuracy['low'])} to "
            f"{_percent(accuracy['high'])}) | {_plain(loss['value'])} | {rung['seconds']:.1f} |"
        )
    return "\n".join(rows)


def _limits(manifest: Manifest) -> str:
    tokens = manifest.backbone.get("max_tokens")
    lines = [
        "- It answers with one of its classes whatever it is given; texts of another kind get an answer too.",
        "- The scores hold for texts that come from where the training data came from.",
    ]
    if tokens:
        lines.append(f"- It reads the first {tokens} tokens of a text.")
    languages = manifest.backbone.get("languages") or []
    if languages and "*" not in languages:
        lines.append(f"- Its encoder was trained on {', '.join(map(escape, languages))}.")
    return "\n".join(lines)


def _files(manifest: Manifest) -> str:
    rows = [f"- {escape(name)}: {entry.bytes / 1e6:.2f} MB" for name, entry in manifest.files.items()]
    return "\n".join([*rows, "- private/: holds training content; leave it out when you pass the model on"])


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"
