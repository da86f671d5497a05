"""A made-up bundle.json and private files with everything that a report can show."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.evaluate.intervals import WILSON, WILSON_EFFECTIVE, wilson

TICKETS = ("account", "billing", "delivery", "praise", "technical")


def score(value: float, n: int, *, method: str = WILSON, level: float = 0.95) -> dict[str, Any]:
    low, high = wilson(min(1.0, max(0.0, value)), n, level)
    return {"value": value, "low": low, "high": high, "n": n, "level": level, "interval_method": method}


def make_answers(labels: Sequence[str], count: int, *, name: str = "tickets.csv") -> list[dict[str, Any]]:
    """Lines of out_of_fold.jsonl: right as often as they claim; a few were never validated."""
    generator, lines = random.Random(0), []
    for i in range(count):
        truth = labels[min(int(generator.expovariate(1.3) * len(labels) / 3), len(labels) - 1)]
        confidence = min(0.999, generator.betavariate(5, 1))
        prediction = truth if generator.random() < confidence else generator.choice(labels)
        text = f"Where is parcel {i}? It left on Monday.\n包裹 {i} 还没有到。"
        line = {"place": f"{name}:{i + 2}", "text": text, "label": truth}
        if i % 50 != 7:
            line |= {"prediction": prediction, "confidence": round(confidence, 6)}
        lines.append(line)
    return lines


def make_scores(answers: Sequence[Mapping[str, Any]], labels: Sequence[str], how: str) -> dict[str, Any]:
    """Scores as bundle.json holds them."""
    seen = [line for line in answers if "prediction" in line]
    counts = Counter((line["label"], line["prediction"]) for line in seen)
    support, called = Counter(line["label"] for line in seen), Counter(line["prediction"] for line in seen)
    per_class = {}
    for label in labels:
        hits = counts[label, label]
        precision, recall = hits / max(1, called[label]), hits / max(1, support[label])
        f1 = 2 * hits / max(1, called[label] + support[label])
        per_class[label] = {
            "precision": score(precision, called[label]),
            "recall": score(recall, support[label]),
            "f1": score(f1, called[label] + support[label], method=WILSON_EFFECTIVE),
        }
    n = len(seen)
    means = {
        key: sum(c[key]["value"] for c in per_class.values()) / len(labels) for key in ("precision", "recall", "f1")
    }
    right = sum(counts[label, label] for label in labels) / n
    return {
        "accuracy": score(right, n),
        **{f"{key}_macro": score(value, n, method=WILSON_EFFECTIVE) for key, value in means.items()},
        "f1_weighted": score(right, n, method=WILSON_EFFECTIVE),
        "log_loss": {**score(0.41, n), "low": 0.35, "high": 0.47, "interval_method": "Student t over groups"},
        "ece": {**score(0.04, n), "interval_method": "basic bootstrap over groups (Davison & Hinkley 1997)"},
        "per_class": per_class,
        "support": {label: support[label] for label in labels},
        "confusion": [[counts[truth, said] for said in labels] for truth in labels],
        "gain_over_baseline": score(max(0.05, right - 0.3), n),
        "how": how,
    }


def make_facts(
    labels: Sequence[str] = TICKETS, examples: int = 300, *, test: str = "", answers: Sequence[dict] = ()
) -> dict[str, Any]:
    """bundle.json with every key that a report looks at."""
    answers = answers or make_answers(labels, examples)
    scores = make_scores(answers, labels, "out of fold (5-fold cross-validation, stratified, grouped)")
    accuracy = scores["accuracy"]["value"]
    encoder = "multilingual-e5-small"

    def rung(name: str, method: str, model: str, loss: float, seconds: float) -> dict[str, Any]:
        worse = {**scores, "accuracy": score(max(0.0, accuracy - (loss - 0.4) / 2), examples)}
        return {
            "name": name,
            "method": method,
            "model": model,
            "settings": {"C": 1.0},
            "scores": worse,
            "expected_log_loss": loss,
            "seconds": seconds,
            "predicted_seconds": None if method == "tfidf" else seconds * 1.1,
            "resampling": "5-fold cross-validation, stratified, grouped",
            "tune_seconds": 1.2 if method == "partial" else None,
        }

    return {
        "task": "text-classification",
        "method": "partial",
        "model": encoder,
        "labels": list(labels),
        "backbone": {"name": encoder, "licence": "MIT", "languages": ["*"], "max_tokens": 512},
        "recipe": {
            "data": "tickets.csv",
            "task": "text-classification",
            "text": "",
            "test": test,
            "model": encoder,
            "method": "partial",
            "budget": "5m",
            "seed": 0,
            "threads": 2,
            "settings": {"layers": 2, "learning_rate": 3e-4, "temperature": 0.83},
        },
        "primary_metric": "accuracy",
        "scores": scores,
        "resampling": "5-fold cross-validation, stratified, grouped, repeated 2 times",
        "rungs": [
            rung("tfidf", "tfidf", "", 0.91, 3.4),
            rung(f"head:{encoder}", "head", encoder, 0.52, 6.2),
            rung(f"partial:{encoder}", "partial", encoder, 0.4, 71.0),
            rung(f"partial:{encoder} + tfidf", "blend", f"{encoder} + ", 0.43, 0.1),
        ],
        "left_out": [
            {"name": "head:all-MiniLM-L6-v2", "why": "it reads en, and the data is also in zh"},
            {
                "name": f"lora:{encoder}",
                "why": "it would take about 190 s, and 12 s of the budget were left; a --budget longer by about 5 min "
                "tries it",
            },
            {"name": f"full:{encoder}", "why": "the budget was spent"},
            {"name": f"contrastive:{encoder}", "why": "its loss was not finite"},
        ],
        "notes": ["text from column 'text' (by its name)", "read as GB18030, since it is not UTF-8"],
        "data": {
            "name": "tickets.csv",
            "sha256": "eadb1670" * 8,
            "examples": examples,
            "per_class": dict(Counter(line["label"] for line in answers)),
        },
        "licences": [
            {"part": "the code around the weights (fewtune)", "licence": "Apache-2.0"},
            {"part": f"the pretrained weights ({encoder})", "licence": "MIT"},
            {"part": "what was learnt from the data", "licence": "the data's owner decides"},
        ],
        "versions": {"numpy": "2.4.6", "onnxruntime": "1.32.0", "torch": "2.14.1"},
        "machine": {"processor": "AMD EPYC", "system": "Linux", "cores": 2, "threads": 2},
        "seconds": 93.4,
        "peak_memory_mb": 1460.2,
        "graphs": [],
        "fewtune_version": "0.1.0",
        "format_version": 1,
        "files": {"model.onnx": {"sha256": "0" * 64, "bytes": 67_000_000}},
        "private_files": {},
        **_more(labels, examples, accuracy),
    }


def _more(labels: Sequence[str], examples: int, accuracy: float) -> dict[str, Any]:
    """What newer bundles say as well."""
    shares = (0.2, 0.4, 0.6, 0.8, 1.0)
    per_class = examples // len(labels)
    return {
        "answer_rules": {
            "thresholds": [
                {"target_error": 0.01, "below": None, "answered": None, "error": None},
                {
                    "target_error": 0.05,
                    "below": 0.87,
                    "answered": score(0.52, examples),
                    "error": score(0.048, examples // 2),
                },
                {"target_error": 0.2, "below": 0.0, "answered": score(1.0, examples), "error": score(0.15, examples)},
            ],
            "true_label_probabilities": [0.01, 0.2, 0.7, 0.9],
            "scope_threshold": 0.31,
        },
        "learning_curve": {
            "rung": "partial:multilingual-e5-small",
            "metric": "accuracy",
            "points": [
                {"examples": int(examples * share), "score": score(accuracy - 0.2 * (1 - share) ** 2, examples)}
                for share in shares
            ],
            "forecast": [
                {
                    "examples": int(examples * (1 + more)),
                    "more_per_class": max(1, int(per_class * more)),
                    "value": accuracy + 0.03 * more,
                    "low": accuracy + 0.01 * more,
                    "high": accuracy + 0.05 * more,
                    "gain_low": 0.01 * more,
                    "gain_high": 0.05 * more,
                    "level": 0.8,
                }
                for more in (0.25, 0.5, 1.0)
            ],
            "words": "",
            "method": "",
        },
        "comparisons": [
            {
                "rung": "partial:multilingual-e5-small",
                "against": "tfidf",
                "metric": "accuracy",
                "difference": {**score(0.21, examples), "low": 0.12, "high": 0.3},
                "declared": True,
                "words": "",
            },
            {
                "rung": "partial:multilingual-e5-small",
                "against": "head:multilingual-e5-small",
                "metric": "log_loss",
                "difference": {**score(-0.02, examples), "low": -0.09, "high": 0.05},
                "declared": False,
                "words": "",
            },
        ],
        "findings": [
            {
                "level": "warning",
                "code": "same-text-two-labels",
                "what": "2 texts stand under several labels, such as 'billing' and 'technical'.",
                "how": "Decide for one label, and delete the other rows.",
                "places": ["tickets.csv:12", "tickets.csv:88"],
                "count": 4,
            },
            {
                "level": "info",
                "code": "languages",
                "what": "The texts are in: en 58%, zh 42%.",
                "how": "Nothing need be done.",
                "places": [],
                "count": 1,
            },
        ],
    }


def make_label_issues(labels: Sequence[str] = TICKETS, count: int = 6) -> list[dict[str, Any]]:
    """Lines of label_issues.jsonl."""
    return [
        {
            "place": f"tickets.csv:{i + 30}",
            "text": "You charged me twice for the same order, please send one of the payments back.",
            "label": labels[i % len(labels)],
            "suggested": labels[(i + 1) % len(labels)],
            "score": 0.01 * (i + 1),
            "reason": f"the model, not having seen it, gave {labels[i % len(labels)]!r} {i + 1}% and 'x' 80%",
        }
        for i in range(count)
    ]


def as_lines(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON lines, as a bundle holds them."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8", "surrogatepass")
