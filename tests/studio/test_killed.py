"""Killed while somebody labels: every label that was told to be saved is there.

Five moments, for a studio takes a while to start; `STUDIO_KILLS=20` tries twenty.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx

from tests.studio.conftest import Desk, running, studio

LABELS = ("a", "b", "c")
MOMENTS = int(os.environ.get("STUDIO_KILLS", "5"))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_every_label_that_was_saved_is_there(tmp_path: Path) -> None:
    with studio(tmp_path) as client:
        desk = Desk(client)
        for label in LABELS:
            desk.post("/labels", {"name": label})
        desk.bring("\n".join(["text", *(f"text {i}" for i in range(50))]).encode(), "texts.csv")
        at = desk.at
    moments = random.Random(7)
    saved: dict[int, str] = {}
    for _ in range(MOMENTS):
        with running(tmp_path) as (process, url):
            killer = threading.Timer(moments.uniform(0.05, 0.6), process.kill)
            killer.start()
            _label_until_it_is_gone(url + at, saved, moments)
            killer.join()
        # The file as the kill left it, read by another process: this one.
        with studio(tmp_path) as client:
            rows = client.get(f"{at}/examples?limit=200").json()["rows"]
        found = {row["id"]: row["label"] for row in rows}
        assert len(found) == 50
        assert {number: found[number] for number in saved} == saved
    assert saved


def _label_until_it_is_gone(at: str, saved: dict[int, str], moments: random.Random) -> None:
    """Relabel examples at random; a label counts as saved from its answer on."""
    until = time.monotonic() + 20
    with httpx.Client() as client:
        while time.monotonic() < until:
            number, label = moments.randint(1, 50), moments.choice(LABELS)
            try:
                version = client.get(f"{at}/examples/{number}").json()["version"]
                # From its request to its answer it may be there or not.
                saved.pop(number, None)
                body = {"version": version, "label": label}
                answer = client.patch(f"{at}/examples/{number}", json=body)
                assert answer.status_code == 200
                saved[number] = answer.json()["label"]
            except httpx.HTTPError:
                return
