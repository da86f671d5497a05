"""README.md of a bundle: what the model does, how good it is, how to run it, what it may be used for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fewtune.bundle.manifest import Manifest
from fewtune.types import LeftOut

_METRIC_NAMES = {
    "accuracy": "Accuracy",
    "precision_macro": "Precision (macro)",
    "recall_macro": "Recall (macro)",
    "f1_macro": "F1 (macro)",
    "f1_weighted": "F1 (weighted)",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "map": "mAP at IoU 0.5 to 0.95",
    "map_50": "mAP at IoU 0.5",
    "miou": "Mean IoU",
    "dice": "Dice",
    "pixel_accuracy": "Pixel accuracy",
    "chrf": "chrF",
    "bleu": "BLEU",
    "exact_match": "Exact match",
    "placeholders_kept": "Placeholders kept",
    "glossary_kept": "Glossary kept",
    "rouge_l": "ROUGE-L",
    "perplexity": "Perplexity",
}
# What a model does whose answers are not classes.
_DOES = {
    "object-detection": "Finds things in pictures and says where they are",
    "segmentation": "Says of every pixel of a picture what it belongs to",
    "translation": "Translates",
    "text-generation": "Replies to prompts in the manner of the examples",
}
_SHARES = {
    *("accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted"),
    *("map", "map_50", "miou", "dice", "pixel_accuracy", "exact_match", "placeholders_kept", "rouge_l"),
    "glossary_kept",
}
_OF_THE_ORIGINAL = "These are the scores of the model that it was made smaller from; what that cost stands below."
_CLASS_METRIC_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1", "ap": "AP", "iou": "IoU"}
_NO_METRICS = {"per_class", "support", "confusion", "gain_over_baseline", "how"}
_MOST_CLASSES = 50
_MOST_NAMED = 20

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

_BLEND_SNIPPET = """```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

bundle = json.load(open("bundle.json", encoding="utf-8"))
blended = 0
for graph in bundle["graphs"]:
    tokenizer, session = Tokenizer.from_file(graph["tokenizer"]), onnxruntime.InferenceSession(graph["file"])
    ids = np.array([tokenizer.encode("Write a text here.").ids], dtype=np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    logits = session.run(["logits"], {node.name: inputs[node.name] for node in session.get_inputs()})[0]
    blended += graph["weight"] * (logits - np.log(np.exp(logits).sum()))
print(bundle["labels"][blended.argmax()])
```"""

_PICTURE_SNIPPET = """```python
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

bundle, seen = json.load(open("bundle.json", encoding="utf-8")), json.load(open("preprocess.json"))
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
side, size = min(picture.size) * seen["crop"], (seen["size_px"],) * 2
left, top = ((length - side) / 2 for length in picture.size)
filter = Image.Resampling[seen["interpolation"].upper()]
square = picture.resize(size, filter, box=(left, top, left + side, top + side))
pixels = (np.asarray(square, np.float32) / 255 - np.float32(seen["mean"])) / np.float32(seen["std"])
session = onnxruntime.InferenceSession("model.onnx")
logits = session.run(["logits"], {"pixels": pixels.transpose(2, 0, 1)[None]})[0]
print(bundle["labels"][logits.argmax()])
```"""

_TRANSLATOR_SNIPPET = """```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
inputs = tokenizer(["a sentence"], return_tensors="pt")
print(tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True))
```"""

_SENTENCE_TRANSFORMERS_SNIPPET = """```python
import json

from sentence_transformers import SentenceTransformer

labels = json.load(open("config.json", encoding="utf-8"))["id2label"]
logits = SentenceTransformer(".").encode(["Write a text here."])
print(labels[str(logits[0].argmax())])
```"""

_TIMM_SNIPPET = """```python
import timm
import torch
from PIL import Image, ImageOps

model = timm.create_model("local-dir:.", pretrained=True).eval()
seen = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
with torch.no_grad():
    logits = model(seen(picture)[None])
print(model.pretrained_cfg["label_names"][logits.argmax()])
```"""

_NETWORK_SNIPPETS = {
    "image-classification": """```python
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForImageClassification

model = AutoModelForImageClassification.from_pretrained(".")
processor = AutoImageProcessor.from_pretrained(".")
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
with torch.no_grad():
    logits = model(**processor(picture, return_tensors="pt")).logits
print(model.config.id2label[int(logits.argmax())])
```""",
    "object-detection": """```python
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForObjectDetection

model = AutoModelForObjectDetection.from_pretrained(".")
processor = AutoImageProcessor.from_pretrained(".")
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
# Laid on grey of the shape that the model reads: things keep their own.
width, height = processor.size["width"], processor.size["height"]
share = max(picture.width / width, picture.height / height)
laid = Image.new("RGB", (round(share * width), round(share * height)), (127, 127, 127))
laid.paste(picture)
with torch.no_grad():
    given = model(**processor(laid, return_tensors="pt"))
(found,) = processor.post_process_object_detection(given, threshold=0.5, target_sizes=[laid.size[::-1]])
for label, score, box in zip(found["labels"], found["scores"], found["boxes"]):
    print(model.config.id2label[int(label)], round(float(score), 3), [round(side, 1) for side in box.tolist()])
```""",
    "segmentation": """```python
import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

model = AutoModelForSemanticSegmentation.from_pretrained(".")
processor = AutoImageProcessor.from_pretrained(".")
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
# As large as it was taught on, laid on the mean colour up to multiples of 32 pixels.
seen = [max(1, round(side * processor.size["height"] / max(picture.size))) for side in picture.size]
width, height = (-(-side // 32) * 32 for side in seen)
laid = Image.new("RGB", (width, height), tuple(round(255 * mean) for mean in processor.image_mean))
laid.paste(picture.resize(seen, Image.Resampling.BILINEAR))
with torch.no_grad():
    logits = model(**processor(laid, size={"height": height, "width": width}, return_tensors="pt")).logits
share = picture.width / seen[0], picture.height / seen[1]
whole = round(height * share[1]), round(width * share[0])
(mask,) = torch.nn.functional.interpolate(logits, whole, mode="bilinear").argmax(dim=1)
mask = mask[: picture.height, : picture.width]
print({model.config.id2label[int(label)]: int((mask == label).sum()) for label in mask.unique()})
```""",
}

_TRANSFORMERS_SNIPPET = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained("."), AutoModelForCausalLM.from_pretrained(".")
messages = [{"role": "user", "content": "Write a prompt here."}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
written = model.generate(**inputs, max_new_tokens=100)
print(tokenizer.decode(written[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```"""


def model_card(manifest: Manifest, name: str) -> str:
    """Write the card of a bundle in Markdown.

    Args:
        manifest: all but the card's own entry.
        name: of the bundle.
    """
    if not _sorts(manifest):
        run = _run_structured(manifest)
    else:
        run = _run_pictures(manifest) if _noun(manifest) == "pictures" else _run_texts(manifest)
    return _card(manifest, name, run, _files(manifest))


def _run_texts(manifest: Manifest) -> list[str]:
    return [
        "```bash\nfewtune predict . texts.csv        # adds the columns prediction and confidence\n```",
        '```python\nimport fewtune\n\nfewtune.load(".").predict(["Write a text here."])\n```',
        "Without fewtune, from this folder:",
        _SNIPPET if len(manifest.graphs) == 1 else _BLEND_SNIPPET,
    ]


def _run_pictures(manifest: Manifest) -> list[str]:
    run = [
        "```bash\nfewtune predict . photos/        # a CSV of path, prediction and confidence\n```",
        '```python\nimport fewtune\n\nfewtune.load(".").predict(["photos/new.jpg"])\n```',
    ]
    alone = ["Without fewtune, from this folder:", _PICTURE_SNIPPET] if len(manifest.graphs) == 1 else []
    return run + alone


def _run_structured(manifest: Manifest) -> list[str]:
    given = "photos/" if _noun(manifest) == "pictures" else "texts.csv"
    one = "photos/new.jpg" if _noun(manifest) == "pictures" else "Write a text here."
    return [
        f"```bash\nfewtune predict . {given}\n```",
        f'```python\nimport fewtune\n\nfewtune.load(".").predict(["{one}"])\n```',
    ]


def _sorts(manifest: Manifest) -> bool:
    """Whether its answers are classes."""
    return manifest.task.endswith("classification")


def _noun(manifest: Manifest) -> str:
    of_pictures = manifest.task.startswith("image") or manifest.task in ("object-detection", "segmentation")
    return "pictures" if of_pictures else "texts"


def sentence_transformers_card(manifest: Manifest, name: str) -> str:
    """Write the card of an export for sentence-transformers in Markdown.

    Args:
        manifest: of the bundle that is exported.
        name: of the export.
    """
    files = (
        "The layout of sentence-transformers: the encoder, its pooling, and the linear head as the last module, "
        "so that `encode` gives the logits of the classes in the order of `id2label` in config.json."
    )
    return _card(manifest, name, ["From this folder:", _SENTENCE_TRANSFORMERS_SNIPPET], files)


def timm_card(manifest: Manifest, name: str) -> str:
    """Write the card of an export for timm in Markdown.

    Args:
        manifest: of the bundle that is exported.
        name: of the export.
    """
    files = "A folder that timm loads: weights in float32, the batch norms within the convolutions before them."
    return _card(manifest, name, ["From this folder:", _TIMM_SNIPPET], files)


def network_card(manifest: Manifest, name: str, untouched: Sequence[str]) -> str:
    """Write the card of an export of a network for pictures for Transformers in Markdown.

    Args:
        manifest: of the bundle that is exported.
        name: of the export.
        untouched: names of the weights that only training reads, which a bundle does not hold.
    """
    files = (
        "A folder that Transformers loads: weights in float32 with what was learnt in them, and what prepares pictures."
    )
    if untouched:
        files += f" Weights that only training reads begin anew: {', '.join(map(escape, untouched))}."
    return _card(manifest, name, ["From this folder:", _NETWORK_SNIPPETS[manifest.task]], files)


def transformers_card(manifest: Manifest, name: str) -> str:
    """Write the card of an export of a causal language model for Transformers in Markdown.

    Args:
        manifest: of the bundle that is exported.
        name: of the export.
    """
    files = (
        "A folder that Transformers loads: weights in float32 with what was learnt in them, tokenizer, chat template."
    )
    return _card(manifest, name, ["From this folder:", _TRANSFORMERS_SNIPPET], files)


def translator_card(manifest: Manifest, name: str) -> str:
    """Write the card of an export of a translation model for Transformers in Markdown.

    Args:
        manifest: of the bundle that is exported.
        name: of the export.
    """
    files = (
        "A folder that Transformers loads: weights in float32 with what was learnt in them, and the tokenizer. It "
        "translates sentences; what fewtune protects in a text, and its glossary, Transformers does not know of."
    )
    return _card(manifest, name, ["From this folder:", _TRANSLATOR_SNIPPET], files)


def _card(manifest: Manifest, name: str, run: Sequence[str], files: str) -> str:
    left_out = [LeftOut(**some) for some in manifest.left_out]
    parts = [
        f"# {escape(name)}",
        _what(manifest),
        "## Run it",
        *run,
        "## How good it is",
        _in_words(manifest.scores, _noun(manifest)),
        "" if manifest.compression is None else _OF_THE_ORIGINAL,
        _scores_table(manifest.scores),
        _per_class_table(manifest),
        _unsure_table(manifest),
        *_smaller(manifest),
        "## How it was made",
        _origin(manifest),
        _rungs_table(manifest),
        "\n".join(f"- {some.fate}: {escape(some.name)}: {escape(some.why)}" for some in left_out),
        "## Limits",
        _limits(manifest),
        "## Licences",
        "\n".join(f"- {escape(entry['part'])}: {escape(entry['licence'])}" for entry in manifest.licences),
        "## Files",
        files,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """User content as Markdown that shows it and does nothing else."""
    flat = " ".join(str(text).split())
    for mark in "\\`*_{}[]()#+!|~$":
        flat = flat.replace(mark, "\\" + mark)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _what(manifest: Manifest) -> str:
    labels = ", ".join(escape(label) for label in manifest.labels[:_MOST_NAMED])
    labels += ", ..." if len(manifest.labels) > _MOST_NAMED else ""
    network = "network" if _noun(manifest) == "pictures" else "encoder" if _sorts(manifest) else "model"
    base = (
        f", on the pretrained {network} {escape(manifest.model)}" if manifest.model else ", without a pretrained model"
    )
    if not _sorts(manifest):
        kinds = f": {labels}" if labels else ""
        does = _DOES.get(manifest.task, f"Made for {escape(manifest.task)}")
        return f"{does}{kinds}. Method: {escape(manifest.method)}{base}."
    sorts = f"Sorts {_noun(manifest)} into {len(manifest.labels)} classes ({labels})."
    return f"{sorts} Method: {escape(manifest.method)}{base}."


def _in_words(scores: Mapping[str, Any], noun: str) -> str:
    measured = f"Measured {escape(scores['how'])}."
    accuracy = scores.get("accuracy")
    if accuracy is None or accuracy["value"] is None:
        return measured
    words = f"About {100 * accuracy['value']:.0f} of 100 new {noun} of the same kind get the right class"
    if accuracy["low"] is not None and accuracy["high"] is not None:
        low, high = 100 * accuracy["low"], 100 * accuracy["high"]
        words += f"; with {accuracy['level']:.0%} confidence between {low:.0f} and {high:.0f}"
    return f"{words}. {measured} It stands on {accuracy['n']} {noun} that differ from each other."


def _scores_table(scores: Mapping[str, Any]) -> str:
    rows = ["| metric | value | interval |", "|---|---|---|"]
    for key, score in scores.items():
        if key not in _NO_METRICS:
            form = _percent if key in _SHARES else _plain
            rows.append(f"| {_METRIC_NAMES.get(key, key)} | {form(score['value'])} | {_ends(score, form)} |")
    return "\n".join(rows)


def _per_class_table(manifest: Manifest) -> str:
    per_class, trained = manifest.scores["per_class"], manifest.data["per_class"]
    if not per_class or len(manifest.labels) > _MOST_CLASSES:
        return ""
    keys = list(next(iter(per_class.values())))
    heads = ["class", "trained on", "scored on", *(_CLASS_METRIC_NAMES.get(key, key) for key in keys)]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for label in manifest.labels:
        if label not in per_class:
            continue
        scores, counts = per_class[label], (trained.get(label, 0), manifest.scores["support"].get(label, 0))
        cells = [escape(label), *map(str, counts), *(_with_ends(scores[key]) for key in keys)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _origin(manifest: Manifest) -> str:
    data, machine = manifest.data, manifest.machine
    metric = _METRIC_NAMES.get(manifest.primary_metric, manifest.primary_metric)
    rule = "the least expected log loss" if _sorts(manifest) else f"the best {metric}"
    chosen = f"The candidates were compared by {escape(manifest.resampling)}; {rule} was taken. "
    if len(manifest.rungs) == 1:
        chosen = f"One candidate was tried ({escape(manifest.resampling)}). "
    again = "the same model" if manifest.compression is None else "the model that this one was made smaller from"
    return (
        f"From {data['examples']} labelled examples ({escape(data['name'])}), in {manifest.seconds:.1f} s and "
        f"{manifest.peak_memory_mb:.0f} MB on {escape(machine['processor'])} with {_threads(machine['threads'])}. "
        f"{chosen}`recipe.toml` makes {again} again from the same data."
    )


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _rungs_table(manifest: Manifest) -> str:
    metric = manifest.primary_metric
    by_loss = any(rung["expected_log_loss"] is not None for rung in manifest.rungs)
    heads = ["candidate", _METRIC_NAMES.get(metric, metric), *(["expected log loss"] if by_loss else []), "seconds", ""]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    form = _percent if metric in _SHARES else _plain
    for rung in manifest.rungs:
        cells = [escape(rung["name"]), _with_ends(rung["scores"][metric], form)]
        cells += [_plain(rung["expected_log_loss"])] if by_loss else []
        cells += [f"{rung['seconds']:.1f}", "taken" if rung.get("tune_seconds") is not None else ""]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _smaller(manifest: Manifest) -> list[str]:
    """What it was made smaller by, and what that was measured to cost."""
    found = manifest.compression
    if found is None:
        return []
    metric = _METRIC_NAMES.get(found.metric, found.metric)
    rows = [f"| model | MB | ms an answer (p95) | answers a second | {metric} | |", "|---|---|---|---|---|---|"]
    form = _percent if found.metric in _SHARES else _plain
    for trade in found.trades:
        size, score = trade.footprint, "" if trade.score is None else form(trade.score)
        times = f"{size.p50_ms:.1f} ({size.p95_ms:.1f})"
        taken = "taken" if trade.name == (found.name or found.trades[0].name) else ""
        rows.append(
            f"| {escape(trade.name)} | {size.size_mb:.1f} | {times} | {size.per_second:.0f} | {score} | {taken} |"
        )
    measured = f"Measured in one run, {escape(found.measured_on)}, with {_threads(found.threads)}."
    made = f"It was made smaller ({escape(found.name)}). " if found.kept else ""
    how = f"{made}{escape(found.words)} {measured}"
    return ["## What being smaller costs", how, "\n".join(rows)]


def _limits(manifest: Manifest) -> str:
    tokens, noun = manifest.backbone.get("max_tokens"), _noun(manifest)
    always = "It answers with one of its classes" if _sorts(manifest) else "It answers"
    lines = [
        f"- {always} whatever it is given; {noun} of another kind get an answer too." + _marked(manifest),
        f"- The scores hold for {noun} that come from where the training data came from.",
    ]
    if tokens:
        lines.append(f"- It reads the first {tokens} tokens of a text.")
    languages = manifest.backbone.get("languages") or []
    if languages and "*" not in languages:
        lines.append(f"- Its encoder was trained on {', '.join(map(escape, languages))}.")
    return "\n".join(lines)


def _marked(manifest: Manifest) -> str:
    if manifest.answer_rules.scope_threshold is None:
        return ""
    return " The distance to its classes in feature space (scope.safetensors) tells most of them."


def _unsure_table(manifest: Manifest) -> str:
    """What each share of errors costs, and what more labels would bring."""
    rows = ["| errors allowed | unsure below | answered | errors among the answers |", "|---|---|---|---|"]
    for some in manifest.answer_rules.thresholds:
        if some.below is None or some.answered is None or some.error is None:
            rows.append(f"| {some.target_error:.0%} | not to be had with these labels | | |")
            continue
        cells = [f"{some.target_error:.0%}", f"{some.below:.3f}"]
        cells += [_with_ends(asdict(score)) for score in (some.answered, some.error)]
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows) if len(rows) > 2 else ""
    words = escape(manifest.learning_curve.words) if manifest.learning_curve else ""
    return "\n\n".join(part for part in (table, words) if part)


def _files(manifest: Manifest) -> str:
    rows = [f"- {escape(name)}: {_size(entry.bytes)}" for name, entry in manifest.files.items()]
    rows.append(f"- all of these: {_size(sum(entry.bytes for entry in manifest.files.values()))}")
    rows.append("- private/, where it is there: holds training content; leave it out when you pass the model on")
    return "\n".join(rows)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _ends(score: Mapping[str, Any], form: Callable[[float | None], str]) -> str:
    if score["low"] is None or score["high"] is None:
        return "not known"
    return f"{form(score['low'])} to {form(score['high'])} ({score['level']:.0%})"


def _with_ends(score: Mapping[str, Any], form: Callable[[float | None], str] = _percent) -> str:
    if score["low"] is None or score["high"] is None:
        return form(score["value"])
    return f"{form(score['value'])} ({form(score['low'])} to {form(score['high'])})"
