"""How to run it again, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fewtune.report.blocks import Column, Commands, Section, Table
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, code, named, say, seconds, shortened
from fewtune.report.sections.commands import command
from fewtune.report.wording import licence, licensed_part

_LONGEST_SETTING = 300


def again(report: Report) -> Section:
    """Commands, recipe, machine, versions and licences."""
    return Section(
        "again",
        say("Run it again", "重新运行"),
        [Commands(_commands(report)), _recipe(report), _making(report), _licences(report)],
    )


def _commands(report: Report) -> list[tuple[Phrase, str]]:
    name, use, recipe = report.name, report.use, report.facts["recipe"]
    data = [report.data_file]
    if recipe.get("labels"):
        # The recipe names them, and the texts where they were a file.
        data = [] if recipe.get("unlabeled") else ["--unlabeled", "TEXTS"]
    return [
        (
            say("The same model from the same data", "用同样的数据得到同样的模型"),
            command("fit", *data, "--config", f"{name}/recipe.toml", "--out", "again.fewtune"),
        ),
        (
            say("Predictions for new data", "预测新数据"),
            command("predict", name, use.new, "--out", use.out),
        ),
        (say("Scores on other labelled data", "在别的标注数据上评分"), command("evaluate", name, use.test)),
        (say("This report", "本报告"), command("report", name)),
    ]


def _recipe(report: Report) -> Table:
    rows = [(code(name), code(value)) for name, value in _settings(report.facts["recipe"])]
    columns = (Column(say("setting", "设置")), Column(say("value", "取值")))
    return Table(say("The recipe, resolved", "训练配方（已确定）"), columns, rows)


def _settings(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in recipe.items():
        if name == "settings":
            for inner, chosen in value.items():
                yield f"settings.{inner}", _written(chosen)
        elif value not in ("", None):
            yield name, _written(value)


def _written(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(text, _LONGEST_SETTING)


def _making(report: Report) -> Table:
    facts, machine = report.facts, report.facts["machine"]
    size = sum(entry["bytes"] for entry in facts["files"].values())
    rows: list[tuple[Part, Part]] = [
        (say("Time", "用时"), seconds(facts["seconds"])),
        (say("Memory at the most", "内存峰值"), f"{facts['peak_memory_mb']:,.0f} MB"),
        (
            say("Machine", "机器"),
            say(
                "{processor}, {threads} of {cores} cores, {system}",
                "{processor}，{cores} 核中用了 {threads} 个，{system}",
                processor=machine.get("processor", "–"),
                threads=machine.get("threads", "–"),
                cores=machine.get("cores", "–"),
                system=machine.get("system", "–"),
            ),
        ),
        (say("Data", "数据"), say("{name}, sha256 {sha}", "{name}，sha256 {sha}", **_fingerprint(report))),
        ("fewtune", facts["fewtune_version"]),
        *((name, version) for name, version in facts["versions"].items() if version != "unknown"),
    ]
    if size:
        rows.insert(2, (say("Size of the model", "模型大小"), f"{size / 1e6:.1f} MB"))
    columns = (Column(say("what", "项目")), Column(say("value", "取值")))
    return Table(say("How it was made", "制作信息"), columns, rows)


def _fingerprint(report: Report) -> dict[str, Part]:
    data = report.facts["data"]
    return {"name": named(data["name"]), "sha": code(data["sha256"][:12])}


def _licences(report: Report) -> Table:
    rows = [(licensed_part(entry["part"]), licence(entry["licence"])) for entry in report.facts["licences"]]
    columns = (Column(say("part", "部分")), Column(say("licence", "许可")))
    return Table(say("Licences", "许可"), columns, rows)
