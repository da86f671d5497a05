"""What the check says of a project's labelled examples, each finding beside the rows that it is about."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from fewtune.data.duplicates import normalise
from fewtune.errors import UserError
from fewtune.recipe import Recipe
from fewtune.report.finding_wording import finding_words
from fewtune.studio.database import Row
from fewtune.studio.examples import example, labelled
from fewtune.studio.labels import label_counts
from fewtune.studio.plain import in_both, plain
from fewtune.studio.projects import Project
from fewtune.types import Finding

_KEPT = 20


class Checker:
    """Checks projects, each once as long as nothing in it changes."""

    def __init__(self) -> None:
        """Nothing is checked yet."""
        self._known: OrderedDict[tuple[str, int], list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def findings(self, project: Project) -> list[dict[str, Any]]:
        """The findings, worst first, with rows as they are now."""
        key = (project.name, project.database.revision)
        with self._lock:
            if key not in self._known:
                self._known[key] = _check(project)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            found = self._known[key]
        return [{**some, "rows": [example(project.database, number) for number in some["rows"]]} for some in found]


def _check(project: Project) -> list[dict[str, Any]]:
    from fewtune import pipeline

    rows = labelled(project.database)
    if not rows or project.kind.draws:
        return []
    pairs = [(project.kind.place(project.folder, row["input"]), row["label"]) for row in rows]
    try:
        _, findings = pipeline.check(Recipe(task=project.kind.task), source=pairs)
    except UserError as error:
        return [{"level": "error", "code": "", **_english(error), "rows": [], "mend": None}]
    numbers = _numbers(project, rows)
    return [_told(finding, numbers, project) for finding in findings]


def _numbers(project: Project, rows: list[Row]) -> dict[str, int]:
    """Place, as the check calls it, to the number of the example."""
    if project.kind.column == "path":
        return {project.kind.place(project.folder, row["input"]): row["id"] for row in rows}
    return {f"data[{position}]": row["id"] for position, row in enumerate(rows)}


def _english(error: UserError) -> dict[str, Any]:
    return {"what": in_both(plain(error.what)), "how": in_both(plain(error.how))}


def _told(finding: Finding, numbers: dict[str, int], project: Project) -> dict[str, Any]:
    what, how = finding_words(finding.code, finding.what, finding.how, finding.count)
    return {
        "level": finding.level,
        "code": finding.code,
        "what": in_both(what),
        "how": in_both(how),
        "rows": [numbers[place] for place in finding.places if place in numbers],
        "mend": _mend(finding.code, project),
    }


def _mend(code: str, project: Project) -> dict[str, Any] | None:
    """What one click mends as a whole; other findings are mended row by row."""
    if code == "duplicate-text":
        return {"do": "delete-repeats"}
    if code == "labels-alike":
        return {"do": "merge-labels", "pairs": _alike(project)}
    return None


def _alike(project: Project) -> list[dict[str, str]]:
    """The rarer of two ways to write a label, and the commoner one that it may become."""
    best: dict[str, dict[str, Any]] = {}
    pairs: list[dict[str, str]] = []
    for some in sorted(label_counts(project.database), key=lambda label: -label["count"]):
        folded = "".join(some["name"].casefold().split())
        if folded in best and some["count"]:
            pairs.append({"from": some["name"], "to": best[folded]["name"]})
        best.setdefault(folded, some)
    return pairs


def delete_repeats(project: Project) -> int:
    """Delete texts that stand there more than once under one label, but for the first; how many those were."""
    seen: set[tuple[str, str]] = set()
    repeats: list[int] = []
    for row in labelled(project.database):
        key = (normalise(row["input"]), row["label"])
        if key in seen:
            repeats.append(row["id"])
        seen.add(key)
    with project.database.writing() as connection:
        connection.executemany(
            "UPDATE examples SET deleted = 1, version = version + 1 WHERE id = ?", ((number,) for number in repeats)
        )
    return len(repeats)
