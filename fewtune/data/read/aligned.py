"""Two files of which each line of one is the translation of the same line of the other."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from fewtune.data.pairs import language_code
from fewtune.data.read.encoding import decode
from fewtune.errors import DataError

_DIGITS = re.compile(r"\d+")


def aligned_files(folder: Path) -> tuple[Path, Path] | None:
    """The two files of one name in a folder whose endings are languages, such as text.en and text.pt."""
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and language_code(path.suffix[1:]):
            by_stem.setdefault(path.stem, []).append(path)
    pairs = [paths for paths in by_stem.values() if len(paths) == 2]
    return (pairs[0][0], pairs[0][1]) if len(pairs) == 1 else None


def parse_aligned(
    source: tuple[bytes, str], target: tuple[bytes, str]
) -> tuple[list[tuple[str, ...]], list[int], tuple[str, ...]]:
    """Put the lines of two files side by side.

    Args:
        source, target: content and name of each.

    Returns:
        Rows, the line of each, notes.

    Raises:
        DataError: the files have different numbers of lines; says where they seem to part.
    """
    (sources, more), (targets, others) = (_lines(*file) for file in (source, target))
    if len(sources) != len(targets):
        drift = parting(sources, targets)
        raise DataError(
            f"The files have different numbers of lines: {source[1]} {len(sources)}, {target[1]} {len(targets)}.",
            where=f"{source[1]}:{drift + 1}",
            how=f"They seem to part at about line {drift + 1}: look there for a line that only one of them has.",
        )
    return list(zip(sources, targets, strict=True)), list(range(1, len(sources) + 1)), (*more, *others)


def _lines(content: bytes, name: str) -> tuple[list[str], tuple[str, ...]]:
    text, notes = decode(content, source=name)
    # Other ends of lines than these stand within a line of a corpus.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines, notes


def parting(sources: list[str], targets: list[str]) -> int:
    """Index of the line from which on the longer file is ahead: before it lines match, after it shifted ones do."""
    shift = len(sources) - len(targets)
    longer, shorter = (sources, targets) if shift > 0 else (targets, sources)
    ahead = abs(shift)
    count = len(shorter)
    if not count:
        return 0
    before = np.array([_mismatch(longer[i], shorter[i]) for i in range(count)])
    after = np.array([_mismatch(longer[i + ahead], shorter[i]) for i in range(count)])
    # What all lines before each place cost unshifted, and all from it on cost shifted.
    totals = np.concatenate([[0.0], before.cumsum()]) + np.concatenate([after[::-1].cumsum()[::-1], [0.0]])
    return int(totals.argmin())


def _mismatch(first: str, second: str) -> float:
    """How unlike a text and its translation two lines are: by length (Gale & Church 1993), numbers, and final mark."""
    if not first.strip() or not second.strip():
        return 0.0 if first.strip() == second.strip() else 2.0
    length = abs(math.log((len(first) + 5) / (len(second) + 5)))
    numbers = set(_DIGITS.findall(first)) ^ set(_DIGITS.findall(second))
    return min(2.0, length) + min(2, len(numbers)) + 0.3 * (first.rstrip()[-1] != second.rstrip()[-1])
