from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fewtune.bundle import write as writing
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import check_free, publish, write_atomically
from fewtune.errors import OutputError


def _full_disk_after(files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes some files, and half of the next."""
    plain, left = writing.write_file, [files]

    def write_file(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, content)

    monkeypatch.setattr(writing, "write_file", write_file)


@pytest.mark.parametrize("files", range(6))
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, write: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    _full_disk_after(files, monkeypatch)
    with pytest.raises(OutputError, match="disk is full") as caught:
        write(tmp_path / "b")
    assert caught.value.how
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_half_written(
    tmp_path: Path, write: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "model_card", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_bundle_json_is_written_last(
    tmp_path: Path, write: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, order = writing.write_file, []
    monkeypatch.setattr(writing, "write_file", lambda path, content: (order.append(path.name), plain(path, content)))
    write(tmp_path / "b")
    assert order[-1] == "bundle.json"
    assert len(order) == 6


def test_publishing_makes_the_parents_and_leaves_no_trace(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    write(tmp_path / "built")
    publish(tmp_path / "built", tmp_path / "a" / "b" / "out", overwrite=False)
    verify(tmp_path / "a" / "b" / "out", read_manifest(tmp_path / "a" / "b" / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["out"]


def test_what_exists_is_refused_and_stays(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    write(tmp_path / "built")
    for name, is_folder in (("file", False), ("folder", True)):
        out = tmp_path / name
        out.mkdir() if is_folder else out.write_text("mine")
        with pytest.raises(OutputError, match="already"):
            publish(tmp_path / "built", out, overwrite=False)
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    for name in ("file", "folder"):
        with pytest.raises(OutputError, match="not a fewtune bundle"):
            publish(tmp_path / "built", tmp_path / name, overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "folder" / "thesis.txt").exists()


def test_an_empty_folder_and_a_bundle_may_be_overwritten(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for method in ("head", "tfidf"):
        write(tmp_path / "built", method=method)
        publish(tmp_path / "built", out, overwrite=True)
        assert read_manifest(out).method == method
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
def test_the_old_bundle_comes_back_where_the_new_one_cannot_be_placed(
    tmp_path: Path, write: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    out, built = tmp_path / "out", tmp_path / "built"
    write(out, method="old")
    write(built, method="new")
    plain = os.rename

    def rename(source: Path, target: Path) -> None:
        if source == built:
            raise error
        plain(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        publish(built, out, overwrite=True)
    assert read_manifest(out).method == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "out"]


def test_at_no_moment_half_a_bundle_stands_at_its_place(
    tmp_path: Path, write: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, built = tmp_path / "out", tmp_path / "built"
    write(out, method="old")
    write(built, method="new")
    plain, seen = os.rename, []

    def rename(source: Path, target: Path) -> None:
        plain(source, target)
        if out.exists():
            verify(out, read_manifest(out))
            seen.append(read_manifest(out).method)

    monkeypatch.setattr(os, "rename", rename)
    publish(built, out, overwrite=True)
    assert seen == ["new"]


@pytest.mark.parametrize("name", [".", "..", "a/..", "/", "x" * 5000])
def test_a_place_that_cannot_be_made_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(OutputError) as caught:
            check_free(Path(name), overwrite=overwrite)
        assert caught.value.where == str(Path(name))
        assert caught.value.how


def test_a_file_cannot_be_a_parent(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    write(tmp_path / "built")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        publish(tmp_path / "built", tmp_path / "file" / "out", overwrite=False)


def test_links_are_not_replaced(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    write(tmp_path / "built")
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(OutputError, match="link"):
            publish(tmp_path / "built", tmp_path / name, overwrite=True)
    assert (tmp_path / "real" / "bundle.json").exists()


def test_a_file_is_replaced_in_one_step_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    _full_disk_after(0, monkeypatch)
    with pytest.raises(OutputError, match="disk is full"):
        write_atomically(path, b"newer")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
