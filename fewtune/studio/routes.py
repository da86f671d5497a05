"""What the page asks for: projects, examples, labels, trainings, results, files to take away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from fewtune.data.picture import facts
from fewtune.serve.routes import only_json
from fewtune.studio import examples, findings, labels, limits, masks, results, schemas, takeaway
from fewtune.studio.examples import NewExample
from fewtune.studio.findings import Checker
from fewtune.studio.intake import received
from fewtune.studio.plain import in_both
from fewtune.studio.projects import Project, Workspace
from fewtune.studio.refusals import StudioRefusal, no_model
from fewtune.studio.runs import Run, trained
from fewtune.studio.shrinking import Shrinkings
from fewtune.studio.smaller import newest_smaller
from fewtune.studio.thumbnails import thumbnail
from fewtune.studio.training import Trainings
from fewtune.studio.trying import OpenModel
from fewtune.studio.workers import Workers

# What a change names that labels an example, by what is drawn on it.
_LABELLED_BY = {"": "label", "boxes": "shapes", "masks": "mask"}
_JSON = [Depends(only_json)]
_FileName = Annotated[str, Query(min_length=1, max_length=300)]
# As far as a page's JavaScript counts exactly; SQLite counts further.
_Number = Annotated[int, PathParameter(ge=0, le=2**53)]
_Column = Annotated[str, Query(max_length=200)]


def project_routes(workspace: Workspace, trainings: Trainings, shrinkings: Shrinkings) -> APIRouter:
    """The list of projects, and a project as a whole."""
    router = APIRouter(prefix="/api/projects")

    @router.get("")
    def projects() -> Any:
        """Every project in a line, but for those that are damaged."""
        lines = []
        for name in workspace.names():
            with suppress(StudioRefusal):
                lines.append(_line(workspace.find(name)))
        return {"projects": lines}

    @router.post("", dependencies=_JSON)
    def create(body: schemas.NewProject) -> Any:
        """An empty project."""
        return _line(workspace.create(body.title, body.task))

    @router.get("/{name}")
    def state(name: str) -> Any:
        """What every view shows of a project."""
        project = workspace.find(name)
        run = trained(project.folder)
        return {
            **_line(project),
            "revision": project.database.revision,
            "labels": labels.label_counts(project.database),
            "training": trainings.state(project),
            "smaller": shrinkings.state(project),
            "model": None if run is None else results.summary(run),
            "forecast": None if run is None else results.forecast_of(run),
        }

    return router


def _line(project: Project) -> dict[str, Any]:
    counts = examples.counts(project.database)
    return {"name": project.name, "title": project.title, "task": project.kind.task, "counts": counts}


def label_routes(workspace: Workspace) -> APIRouter:
    """The set of labels."""
    router = APIRouter(prefix="/api/projects/{name}/labels")

    @router.post("", dependencies=_JSON)
    def add(name: str, body: schemas.NewLabel) -> Any:
        """A label more."""
        project = workspace.find(name)
        with project.database.writing() as connection:
            labels.add_label(connection, examples.clean(body.name).strip())
        return {"labels": labels.label_counts(project.database)}

    @router.post("/rename", dependencies=_JSON)
    def rename(name: str, body: schemas.Renaming) -> Any:
        """Another name, or two labels that become one."""
        project = workspace.find(name)
        new, is_drawn = examples.clean(body.new).strip(), bool(project.kind.draws)
        changed = labels.rename_label(project.database, body.name, new, is_drawn=is_drawn)
        return {"changed": changed, "labels": labels.label_counts(project.database)}

    @router.post("/delete", dependencies=_JSON)
    def delete(name: str, body: schemas.NewLabel) -> Any:
        """A label less."""
        project = workspace.find(name)
        labels.delete_label(project.database, body.name)
        return {"labels": labels.label_counts(project.database)}

    return router


def example_routes(workspace: Workspace) -> APIRouter:
    """Examples: listed, added, changed."""
    router = APIRouter(prefix="/api/projects/{name}")

    @router.get("/examples")
    def listed(
        name: str,
        show: Literal["all", "labelled", "unlabelled", "skipped"] = "all",
        label: Annotated[str, Query(max_length=limits.NAME_CHARACTERS)] = "",
        search: Annotated[str, Query(max_length=200)] = "",
        offset: Annotated[int, Query(ge=0, le=10 * limits.ROWS)] = 0,
        limit: Annotated[int, Query(ge=1, le=limits.PAGE_ROWS)] = 50,
    ) -> Any:
        """A page of them."""
        wanted = {"show": show, "label": examples.clean(label), "search": examples.clean(search)}
        return examples.list_examples(workspace.find(name).database, **wanted, offset=offset, limit=limit)

    @router.get("/waiting")
    def waiting(name: str, limit: Annotated[int, Query(ge=1, le=limits.PAGE_ROWS)] = 10) -> Any:
        """What is to be labelled next."""
        return {"rows": examples.waiting(workspace.find(name).database, limit)}

    @router.post("/examples", dependencies=_JSON)
    def add(name: str, body: schemas.NewText) -> Any:
        """A text that was typed."""
        project = workspace.find(name)
        if project.kind.column == "path":
            raise StudioRefusal(422, "other-input", "This project is of pictures.", how="Bring them as files.")
        database = project.database
        label = examples.clean(body.label).strip() or None if body.label else None
        (number,) = examples.add_examples(database, [NewExample(examples.clean(body.text), label)])
        return examples.example(database, number)

    @router.get("/examples/{number}")
    def one(name: str, number: _Number) -> Any:
        """One of them, whole."""
        return examples.example(workspace.find(name).database, number)

    @router.patch("/examples/{number}", dependencies=_JSON)
    def change(name: str, number: _Number, body: schemas.Change) -> Any:
        """The example as it is now, on the disk."""
        wanted = body.model_dump(include=body.model_fields_set - {"version"})
        project = workspace.find(name)
        if not wanted.keys() & set(_LABELLED_BY.values()) <= {_LABELLED_BY[project.kind.draws]}:
            raise StudioRefusal(422, "other-input", "Examples of this project are labelled in another way.")
        return examples.change_example(project.database, number, body.version, wanted)

    @router.post("/unskip", dependencies=_JSON)
    def unskip(name: str) -> Any:
        """What was skipped comes up again."""
        return {"changed": examples.unskip(workspace.find(name).database)}

    @router.get("/pictures/{number}")
    def picture(name: str, number: _Number, px: Annotated[int, Query(ge=32, le=1024)] = 160) -> Response:
        """A picture, made small, in a form that is certain to be a picture."""
        project = workspace.find(name)
        row = examples.example(project.database, number)
        path = project.kind.place(project.folder, row["input"])
        width, height = facts(path).upright_size
        return Response(thumbnail(path, px), media_type="image/jpeg", headers={"x-picture-size": f"{width}x{height}"})

    @router.get("/masks/{number}")
    def mask(name: str, number: _Number, px: Annotated[int, Query(ge=32, le=limits.MASK_PX)] = 160) -> Any:
        """What is painted on a picture."""
        project = workspace.find(name)
        row = examples.example(project.database, number)
        size = facts(project.kind.place(project.folder, row["input"])).upright_size
        return masks.painted(examples.mask_of(project.database, number), row["shapes"] or [], size, px)

    return router


def import_routes(workspace: Workspace) -> APIRouter:
    """Files that are brought."""
    router = APIRouter(prefix="/api/projects/{name}/import")

    @router.post("")
    async def bring(name: str, request: Request, file: _FileName, text: _Column = "", label: _Column = "") -> Any:
        """The examples of a file are added."""
        project = await to_thread.run_sync(workspace.find, name)
        async with received(request, workspace.uploads, file) as path:
            return await to_thread.run_sync(_bring, project, path, file, {"text": text, "label": label})

    @router.post("/{batch}/undo", dependencies=_JSON)
    def undo(name: str, batch: _Number) -> Any:
        """What came with one file is taken back."""
        return {"changed": examples.remove_batch(workspace.find(name).database, batch)}

    return router


def _bring(project: Project, path: Path, file: str, options: dict[str, str]) -> dict[str, Any]:
    read = project.kind.read(path, examples.clean(file), project.folder, options)
    try:
        batch = examples.next_batch(project.database)
        added = examples.add_examples(project.database, read.examples, batch)
    except BaseException:
        project.kind.forget(project.folder, read.examples)
        raise
    given = sum(some.label is not None or some.shapes is not None for some in read.examples)
    return {"batch": batch, "added": len(added), "labelled": given, "notes": [in_both(note) for note in read.notes]}


def finding_routes(workspace: Workspace) -> APIRouter:
    """What the check says."""
    checker = Checker()
    router = APIRouter(prefix="/api/projects/{name}")

    @router.get("/findings")
    def found(name: str) -> Any:
        """Findings with the rows that they are about."""
        return {"findings": checker.findings(workspace.find(name))}

    @router.post("/delete-repeats", dependencies=_JSON)
    def delete_repeats(name: str) -> Any:
        """One of each text stays."""
        return {"changed": findings.delete_repeats(workspace.find(name))}

    return router


def training_routes(workspace: Workspace, trainings: Trainings, workers: Workers) -> APIRouter:
    """Trainings."""
    router = APIRouter(prefix="/api/projects/{name}/training")

    @router.get("")
    def state(name: str) -> Any:
        """How far it is."""
        return trainings.state(workspace.find(name))

    @router.post("", dependencies=_JSON)
    def start(name: str, body: schemas.Wish) -> Any:
        """A new one."""
        project = workspace.find(name)
        trainings.start(project, body.minutes, body.method)
        return trainings.state(project)

    @router.post("/stop", dependencies=_JSON)
    def stop(name: str) -> Any:
        """Interrupt it; what is finished is kept."""
        project = workspace.find(name)
        workers.stop(project)
        return trainings.state(project)

    @router.post("/resume", dependencies=_JSON)
    def resume(name: str) -> Any:
        """Go on with it."""
        project = workspace.find(name)
        trainings.resume(project)
        return trainings.state(project)

    return router


def model_routes(workspace: Workspace) -> APIRouter:
    """The newest model: what it is worth, and what it says."""
    opened = OpenModel()
    router = APIRouter(prefix="/api/projects/{name}")

    @router.get("/result")
    def result(name: str) -> Any:
        """In plain words, with its errors."""
        project = workspace.find(name)
        return results.result(project, _newest(project))

    @router.get("/curve")
    def curve(name: str) -> Any:
        """What more labels brought, and are likely to bring."""
        return {"figure": results.curve_of(_newest(workspace.find(name)))}

    @router.get("/errors")
    def errors(name: str, truth: str, predicted: str) -> Any:
        """Those of one cell of the confusion matrix."""
        project = workspace.find(name)
        return {"errors": results.errors_between(project, _newest(project), truth, predicted)}

    @router.post("/try", dependencies=_JSON)
    def try_text(name: str, body: schemas.Tried) -> Any:
        """What it says of a text, and because of which words."""
        return opened.text(_newest(workspace.find(name)), examples.clean(body.text))

    @router.post("/try-picture")
    async def try_picture(name: str, request: Request, file: _FileName) -> Any:
        """What it says of a picture."""
        run = await to_thread.run_sync(lambda: _newest(workspace.find(name)))
        async with received(request, workspace.uploads, file) as path:
            return await to_thread.run_sync(opened.picture, run, path)

    return router


def smaller_routes(workspace: Workspace, shrinkings: Shrinkings, workers: Workers) -> APIRouter:
    """The newest model made smaller, and what that costs."""
    router = APIRouter(prefix="/api/projects/{name}/smaller")

    @router.get("")
    def told(name: str) -> Any:
        """What there is, and what can be tried."""
        return shrinkings.told(workspace.find(name))

    @router.post("", dependencies=_JSON)
    def start(name: str, body: schemas.Shrinking) -> Any:
        """An attempt."""
        project = workspace.find(name)
        shrinkings.start(project, body.way, body.max_drop)
        return shrinkings.told(project)

    @router.post("/stop", dependencies=_JSON)
    def stop(name: str) -> Any:
        """Give it up; the model stays as it is."""
        project = workspace.find(name)
        workers.stop(project)
        return shrinkings.told(project)

    return router


def _newest(project: Project) -> Run:
    run = trained(project.folder)
    if run is None:
        raise no_model()
    return run


def take_away_routes(workspace: Workspace) -> APIRouter:
    """Files that leave, and the commands that do the same."""
    router = APIRouter(prefix="/api/projects/{name}")

    def _zipped(bundle: Path, private: bool) -> Response:
        path = takeaway.zip_bundle(bundle, workspace.uploads, with_private=private)
        return _file(path, f"{bundle.name}.zip")

    @router.get("/commands")
    def commands(name: str) -> Any:
        """For the terminal and for Python."""
        project = workspace.find(name)
        return takeaway.commands(project, trained(project.folder))

    @router.get("/bundle.zip")
    def bundle(name: str, private: bool = False) -> Response:
        """The newest bundle."""
        project = workspace.find(name)
        return _zipped(_newest(project).bundle, private)

    @router.get("/smaller.zip")
    def smaller(name: str, private: bool = False) -> Response:
        """The smaller one that was made of it."""
        found = newest_smaller(_newest(workspace.find(name)))
        if found is None:
            raise StudioRefusal(404, "no-smaller", "The model was not made smaller.", how="Reload the page.")
        return _zipped(found.bundle, private)

    @router.get("/data.zip")
    def pictures(name: str) -> Response:
        """The pictures with their listing."""
        project = workspace.find(name)
        return _file(takeaway.zip_pictures(project, workspace.uploads), f"{takeaway.file_stem(project)}.zip")

    @router.get("/data.csv")
    def table(name: str) -> Response:
        """Inputs and labels."""
        return _streamed(takeaway.csv_lines(workspace.find(name)), "text/csv; charset=utf-8")

    @router.get("/coco.json")
    def as_coco(name: str) -> Response:
        """Boxes as COCO has them."""
        return _streamed(iter([takeaway.coco_json(workspace.find(name))]), "application/json")

    @router.get("/label-studio.json")
    def label_studio(name: str) -> Response:
        """The same for Label Studio."""
        return _streamed(takeaway.label_studio_parts(workspace.find(name)), "application/json")

    return router


def _file(path: Path, name: str) -> Response:
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename=name, background=gone)


def _streamed(parts: Iterator[str], media_type: str) -> Response:
    return StreamingResponse(parts, media_type=media_type, headers={"content-disposition": "attachment"})


@asynccontextmanager
async def life(workspace: Workspace, workers: Workers) -> AsyncIterator[None]:
    """While the studio runs; at its end what is under way is interrupted, and files are closed."""
    try:
        yield
    finally:
        await to_thread.run_sync(workers.close)
        workspace.close()
