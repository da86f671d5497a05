"""The process that trains, or makes a bundle smaller: python -m fewtune.studio.worker FOLDER.

It ends, as by Ctrl-C, when its standard input does: when the studio closes that, and when the studio is killed. What
is finished of a training by then is kept, and the next worker on the same folder goes on from there.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import shutil
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path

from fewtune import pipeline
from fewtune.bundle.manifest import left_out_as_json
from fewtune.errors import UserError
from fewtune.recipe import Recipe
from fewtune.studio.order import order_unlabelled
from fewtune.studio.plain import plain
from fewtune.studio.runs import Job, Run, held, runs_of
from fewtune.studio.smaller import Shrinking, is_shrinking, material_of, shrinkings_of
from fewtune.studio.told import FileProgress, Told

# The worker before this one has been told to end; by then it is gone, or something is wrong.
_PATIENCE_SECONDS = 60.0

# Set when the worker is to end: a library may turn the interrupt into an error of its own.
_is_to_end = threading.Event()


def main(folder: str) -> int:
    """Do the work of a folder, or go on with it; the exit status is that of the command that does the same."""
    _end_with_standard_input()
    place = Path(folder)
    job = Shrinking(place) if is_shrinking(place) else Run(place)
    with held(job.project, _PATIENCE_SECONDS) as is_ours:
        return _work(job) if is_ours else 1


def _end_with_standard_input() -> None:
    """Raise KeyboardInterrupt in the main thread when whoever holds the other end of standard input lets go."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        _is_to_end.set()
        _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()


def _work(job: Job) -> int:
    told = Told(job)
    try:
        if isinstance(job, Shrinking):
            _shrink(job, told)
        elif isinstance(job, Run):
            _train(job, told)
        told.note(status="done", step=None)
        return 0
    except (KeyboardInterrupt, Exception) as error:
        return _told_why(job, told, error)


def _told_why(job: Job, told: Told, error: BaseException) -> int:
    if _is_to_end.is_set() or isinstance(error, KeyboardInterrupt):
        told.note(status="done" if job.has_bundle else "stopped", step=None)
        return 130
    if isinstance(error, UserError):
        told.note(status="failed", step=None, error={name: plain(text) for name, text in error.as_dict().items()})
        return 2
    (job.folder / "fault.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    what = f"Something went wrong that should not have ({type(error).__name__})."
    where = (job.folder / "fault.txt").relative_to(job.project).as_posix()
    how = f"This is our fault. Please report it with the file {where} in the folder of the project."
    told.note(status="failed", step=None, error={"what": what, "where": where, "how": how})
    return 1


def _train(run: Run, told: Told) -> None:
    if not run.has_bundle:
        result = pipeline.fit(run.recipe(), out=run.bundle, resume=True, progress=FileProgress(told))
        told.note(left_out=[left_out_as_json(left_out) for left_out in result.left_out])
    told.note(status="ordering")
    order_unlabelled(run, FileProgress(told))
    for old in runs_of(run.project):
        if old.number < run.number:
            old.delete()


def _shrink(shrinking: Shrinking, told: Told) -> None:
    run = shrinking.run
    data, unlabelled = material_of(run)
    found = pipeline.compress(
        run.bundle,
        shrinking.bundle,
        shrinking.wishes(),
        data=data,
        unlabelled=unlabelled,
        recipe=Recipe(seed=run.recipe().seed),
        progress=FileProgress(told),
    )
    told.note(compression=asdict(found))
    if not found.kept:
        # What lies there is the original once more.
        shutil.rmtree(shrinking.bundle)
    for old in shrinkings_of(run):
        if old.number < shrinking.number and (found.kept or not old.has_bundle):
            old.delete()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
