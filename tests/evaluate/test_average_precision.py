"""Average precision: what faster-coco-eval gives, and what weights do."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest

from fewtune.data.boxes import Boxes, Detections
from fewtune.evaluate.average_precision import average_precision, match_class, precision_recall
from fewtune.tasks.object_detection import ObjectDetection
from fewtune.types import Dataset, Example

LABELS = ("a", "b", "c")


def made_up(seed: int, count: int = 25, ignored: float = 0.1) -> tuple[list[Boxes], list[Detections]]:
    """Boxes, and detections that are some of them shifted, some of another class, and some out of the blue."""
    generator = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(count):
        m = int(generator.integers(0, 9))
        corner = generator.uniform(0, 150, (m, 2))
        boxes = np.concatenate([corner, corner + generator.uniform(8, 60, (m, 2))], axis=1)
        labels = generator.integers(0, 2 + (seed % 2), m)
        truths.append(Boxes(boxes, labels, generator.random(m) < ignored))
        shifted = np.repeat(boxes, 2, axis=0) + generator.normal(0, 4, (2 * m, 4))
        shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 1)
        blue = generator.uniform(0, 150, (3, 2))
        everything = np.concatenate([shifted, np.concatenate([blue, blue + 30], axis=1)])
        guessed = np.concatenate([np.repeat(labels, 2), generator.integers(0, 3, 3)])
        wrong = generator.random(len(guessed)) < 0.1
        guessed = np.where(wrong, generator.integers(0, 3, len(guessed)), guessed)
        order = generator.permutation(len(guessed))
        scores = np.sort(generator.random(len(guessed)))[::-1]
        found.append(Detections(everything[order], guessed[order].astype(np.int64), scores))
    return truths, found


def coco_says(truths: list[Boxes], found: list[Detections]) -> tuple[float, float]:
    coco = pytest.importorskip("faster_coco_eval")
    content = {"images": [{"id": i + 1} for i in range(len(truths))], "categories": [{"id": k} for k in (1, 2, 3)]}
    annotations, results = [], []
    for i, (truth, some) in enumerate(zip(truths, found, strict=True), 1):
        for (x, y, right, bottom), label, ignored in zip(truth.boxes_xyxy, truth.labels, truth.ignored, strict=True):
            box = [x, y, right - x, bottom - y]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(label) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(ignored),
                }
            )
        for (x, y, right, bottom), label, score in zip(some.boxes_xyxy, some.labels, some.scores, strict=True):
            results.append(
                {"image_id": i, "category_id": int(label) + 1, "bbox": [x, y, right - x, bottom - y], "score": score}
            )
    with redirect_stdout(io.StringIO()):
        truth = coco.COCO({**content, "annotations": annotations})
        evaluation = coco.COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
        evaluation.run()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def dataset_of(truths: list[Boxes]) -> Dataset:
    return Dataset("object-detection", tuple(Example("", truth) for truth in truths), LABELS, "", "")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ignored", [0.0, 0.15])
def test_weights_of_one_give_what_faster_coco_eval_gives(seed: int, ignored: float) -> None:
    truths, found = made_up(seed, ignored=ignored)
    measured = ObjectDetection().measure(dataset_of(truths), LABELS, found, np.ones((1, len(truths))))
    whole, half = coco_says(truths, found)
    assert measured.metrics["map"][0] == pytest.approx(whole, abs=1e-6)
    assert measured.metrics["map_50"][0] == pytest.approx(half, abs=1e-6)
    if not seed % 2:
        assert np.isnan(measured.per_class["c"]["ap"][0])


def test_a_weight_of_two_is_the_picture_twice_and_of_none_is_without_it() -> None:
    truths, found = made_up(1, 12)
    weights = np.array([[2, 1, 0, *[1] * 9]], float)
    task = ObjectDetection()
    weighted = task.measure(dataset_of(truths), LABELS, found, weights)
    again = [0, 0, 1, *range(3, 12)]
    twice = task.measure(
        dataset_of([truths[i] for i in again]), LABELS, [found[i] for i in again], np.ones((1, len(again)))
    )
    assert weighted.metrics["map"][0] == pytest.approx(twice.metrics["map"][0], abs=1e-3)


def test_curve_and_mean_agree() -> None:
    truths, found = made_up(3)
    matched = match_class(truths, found, 0)
    recalls, precision = precision_recall(matched)
    assert recalls[0] == 0
    assert recalls[-1] == 1
    assert precision.mean() == pytest.approx(average_precision(matched, np.ones((1, len(truths))))[0, 0])


def test_nothing_found_is_nothing_and_nothing_wanted_is_no_number() -> None:
    truths = [Boxes(np.array([[0.0, 0, 9, 9]]), np.array([0]), np.array([False]))]
    measured = ObjectDetection().measure(dataset_of(truths), LABELS, [Detections()], np.ones((2, 1)))
    assert measured.metrics["map"].tolist() == [0.0, 0.0]
    assert np.isnan(measured.per_class["b"]["ap"]).all()
