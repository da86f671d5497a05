"""Pictures with boxes around what is to be found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewtune.bundle.write import write_atomically
from fewtune.data.boxes import Boxes, Detections
from fewtune.data.picture import facts
from fewtune.data.read.boxes import to_dataset
from fewtune.data.read.detection import holds_boxes, read_boxes
from fewtune.report.phrase import Phrase, say
from fewtune.report.wording import note
from fewtune.studio import limits
from fewtune.studio.examples import clean
from fewtune.studio.kinds.kind import Read
from fewtune.studio.kinds.pictures import DrawnKind, link
from fewtune.studio.shapes import SURE, Shape, coco, shapes_of

ANNOTATIONS = "annotations.json"


class BoxKind(DrawnKind):
    """Boxes as COCO JSON, Pascal VOC or YOLO have them."""

    task = "object-detection"
    draws = "boxes"

    def is_drawn(self, inner: Path) -> bool:
        """By what the files look like."""
        return holds_boxes(inner)

    def read_drawn(self, inner: Path, unpacked: Path, folder: Path) -> Read:
        """Pictures with their boxes."""
        given = read_boxes(inner, for_test=False, inside=unpacked)
        dataset = to_dataset(given, self.task)
        names = [picture.name for picture in given.pictures]
        read = self.kept([(str(some.input), name, None) for some, name in zip(dataset, names, strict=True)], folder)
        shapes = {clean(name): _shapes(some.target, dataset.labels) for some, name in zip(dataset, names, strict=True)}
        drawn = [replace(some, shapes=shapes[some.name]) for some in read.examples]
        ignored = sum(int(some.target.ignored.sum()) for some in dataset)
        told = [_ignored(ignored)] if ignored else []
        return Read(drawn, (*map(note, dataset.notes), *told, *read.notes))

    def write_data(self, project: Path, place: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
        """A folder with the pictures, by links where there can be some, and COCO's JSON."""
        (place / "images").mkdir(parents=True)
        listed = []
        for row in rows:
            source = Path(self.place(project, row["input"]))
            name = f"{row['id']}{source.suffix}"
            link(source, place / "images" / name)
            listed.append((row["id"], name, facts(str(source)).upright_size, shapes_of(row["shapes"])))
        write_atomically(place / ANNOTATIONS, json.dumps(coco(listed, labels), ensure_ascii=False).encode())

    def proposed(self, answer: Detections, labels: Sequence[str]) -> list[Shape]:
        """The boxes that are sure enough."""
        found = zip(answer.boxes_xyxy, answer.labels, answer.scores, strict=True)
        return [
            {"label": labels[int(label)], "box": [round(float(edge), 1) for edge in box]}
            for box, label, score in found
            if score >= SURE
        ]


def _ignored(count: int) -> Phrase:
    return say(
        "left out {count} boxes that are crowds or difficult", "略去 {count} 个表示密集群体或难以辨认的框", count=count
    )


def _shapes(boxes: Boxes, labels: Sequence[str]) -> list[Shape]:
    asked_for = ~boxes.ignored
    rows = zip(boxes.boxes_xyxy[asked_for], boxes.labels[asked_for], strict=True)
    return [
        {
            "label": clean(labels[int(label)]).strip()[: limits.NAME_CHARACTERS],
            "box": [round(float(edge), 2) for edge in box],
        }
        for box, label in rows
    ]
