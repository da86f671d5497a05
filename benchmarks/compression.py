"""Compression beside what it starts from and what others do: size, speed and drop of the metric, in one run each.

`encoder` rows (compressed_encoders.py): the embedded encoders in PyTorch float32, in ours (8-bit integers, and with
the vocabulary pruned as well), in ONNX Runtime's plain dynamic quantisation, and in sentence-transformers'
`export_dynamic_quantized_onnx_model`, which is Optimum's, where they are installed (requirements.txt).
`layers`: which matrices of an encoder integers hurt, each group alone, and why.
`bundle` rows (compressed_bundles.py): `fewtune compress` on bundles, measured on the test files: structured pruning and
students of texts, 8-bit integers for pictures, boxes, masks and translations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import compressed_bundles
import compressed_encoders

from fewtune.errors import UserError

DRAWS = 3
ENGLISH, CHINESE = ("trec6", "sst2", "banking77"), ("chnsenticorp_htl_zh", "thucnews10_zh")
PRUNED = ("trec6", "sst2")
# Of the neurons; of the heads two thirds of that.
STRENGTHS = (0.5, 0.65)
STUDENTS = ("static", "tfidf")
PICTURES = ("hymenoptera", "sign_digits")
STRUCTURED = ("det_bccd", "seg_camvid", "mt_pydocs_en_ptbr")

Measurement = tuple[dict[str, Any], Callable[[], dict[str, Any]]]


def measurements(data: Path, quick: bool) -> Iterator[Measurement]:
    """All rows; one that cannot be had here says why, and the others go on."""
    for key, measure in _rows(data, quick):
        yield key, partial(_told, measure)


def _told(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return measure()
    except UserError as error:
        return {"failed": str(error)}


def _rows(data: Path, quick: bool) -> Iterator[Measurement]:
    """One draw first, then the others; `quick`: the first alone, with two of the English sets."""
    for seed in range(1 if quick else DRAWS):
        for model, sets in (("all-MiniLM-L6-v2", ENGLISH), ("multilingual-e5-small", CHINESE)):
            for name in sets[: 2 if quick else None]:
                key = {"encoder": name, "model": model, "draw": seed}
                yield key, partial(compressed_encoders.measure, data / f"text_{name}", model, seed)
        for name in PRUNED[: 1 if quick else None]:
            for strength in STRENGTHS:
                key = {"bundle": name, "way": f"structure:{strength}", "draw": seed}
                yield key, partial(compressed_bundles.structure, data / f"text_{name}", strength, seed)
        for name in PRUNED[: 1 if quick else None]:
            for student in STUDENTS:
                key = {"bundle": name, "way": student, "draw": seed}
                yield key, partial(compressed_bundles.student, data / f"text_{name}", student, seed)
        if seed:
            continue
        key = {"layers": "all-MiniLM-L6-v2", "draw": 0}
        yield key, partial(compressed_encoders.layers, data / "text_trec6", "all-MiniLM-L6-v2")
        for name in PICTURES[: 1 if quick else None]:
            key = {"bundle": name, "way": "int8", "draw": 0}
            yield key, partial(compressed_bundles.pictures, data / f"imgcls_{name}")
        for name in STRUCTURED:
            key = {"bundle": name, "way": "int8", "draw": 0}
            yield key, partial(compressed_bundles.structured, data / name, name)


def table(rows: list[dict[str, Any]]) -> str:
    """Encoders first, then bundles; drops are points of the metric's full scale."""
    failed = [f"{row['key']}: {row['failed']}" for row in rows if "failed" in row]
    rows = [row for row in rows if "failed" not in row]
    encoders = compressed_encoders.table([row for row in rows if "encoder" in row["key"]])
    layers = compressed_encoders.layers_table([row for row in rows if "layers" in row["key"]])
    bundles = compressed_bundles.table([row for row in rows if "bundle" in row["key"]])
    return "\n".join([compressed_encoders.machine(), *encoders, "", *layers, "", *bundles, *failed])
