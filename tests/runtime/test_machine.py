"""What the machine says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fewtune.runtime import machine


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nflags : fpu avx2 avx512_vnni\n", True),
        ("processor : 0\nflags : fpu avx2\n", False),
        ("processor : 0\nFeatures : fp asimd asimddp\n", True),
        ("processor : 0\n", None),
        (None, None),
    ],
)
def test_instructions_for_integers_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str | None, expected: bool | None
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)

    def place(path: Any) -> Path:
        return file if str(path) == "/proc/cpuinfo" else Path(path)

    monkeypatch.setattr(machine, "Path", place)
    assert machine.multiplies_int8() is expected
