"""What leaves the studio: the bundle as a zip, the data for other programs, and the commands that do the same."""

from __future__ import annotations

import csv
import io
import json
import shlex
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import MANIFEST, PRIVATE
from fewtune.data.mask import encode_mask
from fewtune.data.picture import facts
from fewtune.data.read.masks import CLASSES, MASKS
from fewtune.studio.examples import every
from fewtune.studio.kinds.boxes import ANNOTATIONS
from fewtune.studio.kinds.kind import listing
from fewtune.studio.kinds.masks import class_masks
from fewtune.studio.labels import label_counts
from fewtune.studio.masks import resized, segmented
from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import Run
from fewtune.studio.shapes import coco, label_studio, shapes_of
from fewtune.studio.smaller import newest_smaller

_LISTING = "labels.csv"


def file_stem(project: Project) -> str:
    """What files are called that are taken away."""
    return project.name.removeprefix("p-")


def zip_bundle(bundle: Path, folder: Path, *, with_private: bool) -> Path:
    """A bundle as a zip in `folder`, with a folder of its name at the top; without private/ unless asked for."""
    manifest = read_manifest(bundle)
    names = [*manifest.files, MANIFEST]
    if with_private:
        private = (f"{PRIVATE}/{name}" for name in manifest.private_files)
        names += [name for name in private if (bundle / name).is_file()]
    path = folder / f"{uuid.uuid4().hex}.zip"
    with _whole(path), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            archive.write(bundle / name, f"{bundle.name}/{name}")
    return path


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """A file that goes where the block that writes it fails."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def zip_pictures(project: Project, folder: Path) -> Path:
    """The pictures with a listing of paths and labels, as `fewtune fit` reads it."""
    path = folder / f"{uuid.uuid4().hex}.zip"
    with _whole(path), zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        if project.kind.draws == "boxes":
            archive.writestr(ANNOTATIONS, coco_json(project))
        elif project.kind.draws == "masks":
            _write_masks(project, archive)
        else:
            archive.writestr(_LISTING, "".join(csv_lines(project)))
        for row in every(project.database):
            archive.write(project.kind.place(project.folder, row["input"]), project.kind.exported(dict(row)))
    return path


def _write_masks(project: Project, archive: zipfile.ZipFile) -> None:
    """An index PNG for every picture on which was painted, and the names of the classes."""
    rows = [dict(row) for row in every(project.database) if row["mask"] is not None]
    classes, ids_of = class_masks(rows, sorted(project.kind.labels_used(rows)))
    archive.writestr(CLASSES, "".join(f"{name}\n" for name in classes))
    for row in rows:
        png = encode_mask(resized(ids_of(row), _size(project, row)))
        archive.writestr(f"{MASKS}/{Path(project.kind.exported(row)).stem}.png", png)


def _size(project: Project, row: Mapping[str, Any]) -> tuple[int, int]:
    return facts(project.kind.place(project.folder, row["input"])).upright_size


def coco_json(project: Project) -> str:
    """The pictures on which was drawn, with their boxes or masks, as COCO has them."""
    names = [label["name"] for label in label_counts(project.database)]
    listed = []
    for row in every(project.database):
        if row["shapes"] is not None:
            size, shapes = _size(project, dict(row)), shapes_of(row["shapes"])
            if row["mask"] is not None:
                shapes = segmented(row["mask"], shapes, size)
            listed.append((row["id"], project.kind.exported(dict(row)), size, shapes))
    return json.dumps(coco(listed, names), ensure_ascii=False, indent=1) + "\n"


def csv_lines(project: Project) -> Iterator[str]:
    """Inputs and labels as CSV, a line at a time; no label is an empty one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def line(values: tuple[str, str]) -> str:
        text.seek(0)
        text.truncate()
        writer.writerow(values)
        return text.getvalue()

    yield line((project.kind.column, "label"))
    for pair in listing(project.kind, map(dict, every(project.database))):
        yield line(pair)


def label_studio_parts(project: Project) -> Iterator[str]:
    """Tasks as Label Studio imports them (https://labelstud.io/guide/tasks), a task at a time.

    Raises:
        StudioRefusal: 404 for masks.
    """
    if project.kind.draws == "masks":
        raise StudioRefusal(404, "no-form", "Masks cannot be taken away for Label Studio.", how="Take COCO JSON.")
    return _label_studio_parts(project)


def _label_studio_parts(project: Project) -> Iterator[str]:
    yield "["
    for position, row in enumerate(every(project.database)):
        task = _label_studio_task(project, dict(row))
        yield ("," if position else "") + "\n" + json.dumps(task, ensure_ascii=False)
    yield "\n]\n"


def _label_studio_task(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    kind = project.kind
    task: dict[str, Any] = {"id": row["id"], "data": {kind.label_studio: kind.exported(row)}}
    if row["shapes"] is not None:
        task["annotations"] = [{"result": label_studio(shapes_of(row["shapes"]), _size(project, row))}]
    elif row["label"] is not None:
        choice = {
            "from_name": "label",
            "to_name": kind.label_studio,
            "type": "choices",
            "value": {"choices": [row["label"]]},
        }
        task["annotations"] = [{"result": [choice]}]
    return task


def commands(project: Project, run: Run | None) -> dict[str, str]:
    """What to type, and what to write in Python, to do the same without the studio."""
    stem = file_stem(project)
    is_pictures = project.kind.column == "path"
    data = f"{stem}.zip" if is_pictures else f"{stem}.csv"
    new = "new.jpg" if is_pictures else "new.csv"
    budget, method = (run.wish["budget"], run.wish["method"]) if run else ("300s", "auto")
    options = f" --budget {budget}" + ("" if method == "auto" else f" --method {method}")
    bundle = f"{stem}.fewtune"
    shell = [
        f"fewtune fit {shlex.quote(data)}{options}",
        f"fewtune predict {shlex.quote(bundle)} {new}",
    ]
    smaller = newest_smaller(run) if run else None
    if smaller is not None:
        wish = "".join(f" --{name.replace('_', '-')} {value}" for name, value in smaller.wish.items())
        shell.append(f"fewtune compress {shlex.quote(bundle)} --out {shlex.quote(smaller.bundle.name)}{wish}")
    if not is_pictures:
        shell.append(f"fewtune serve {shlex.quote(bundle)}")
    arguments = f", budget={budget!r}" + ("" if method == "auto" else f", method={method!r}")
    example = "photo.jpg" if is_pictures else "a new text"
    python = [
        "import fewtune",
        "",
        f"model = fewtune.fit({data!r}, out={bundle!r}{arguments})",
        f"model = fewtune.load({bundle!r})  # or the one from this page, unpacked",
        f"print(model.predict([{example!r}]))",
    ]
    return {"shell": "\n".join(shell), "python": "\n".join(python)}
