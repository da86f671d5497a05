"""Pictures of every kind become upright RGB, or are refused in words."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fewtune.data.picture import facts, open_picture
from fewtune.data.picture_duplicates import picture_groups, picture_matches
from fewtune.errors import DataError
from tests.pictures import draw, odd_pictures


def bomb(path: Path, side: int) -> Path:
    """A PNG that says it is large, and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_every_odd_kind_becomes_rgb(tmp_path: Path) -> None:
    for name, path in odd_pictures(tmp_path):
        picture = open_picture(path)
        assert picture.mode == "RGB", name
        assert facts(str(path)).error == "", name


def test_what_is_odd_is_known(tmp_path: Path) -> None:
    known = {name: facts(str(path)) for name, path in odd_pictures(tmp_path)}
    assert known["cmyk"].mode == "CMYK"
    assert known["16-bit"].mode.startswith("I")
    assert known["animated"].frames == 2
    assert known["alpha"].transparent
    assert known["alpha-palette"].transparent
    assert known["rotated"].rotated
    assert not known["grey"].rotated


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    picture.save(tmp_path / "a.png", exif=exif)
    upright = open_picture(tmp_path / "a.png")
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (255, 0, 0)


def test_sixteen_bits_keep_their_upper_half(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.png")
    read = np.asarray(open_picture(tmp_path / "a.png"))[..., 0]
    assert np.abs(read.astype(int) - (values / 257).astype(int)).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_dark_pictures_of_16_bits_are_as_dark_as_light_ones_beside_them(tmp_path: Path, suffix: str) -> None:
    """What one picture holds does not decide how another one's values are read."""
    for name, peak in (("dark", 200), ("light", 60_000)):
        values = np.linspace(0, peak, 64).astype(np.uint16).reshape(8, 8)
        if suffix == "pgm":
            header = b"P5 8 8 65535\n"
            (tmp_path / f"{name}.pgm").write_bytes(header + values.astype(">u2").tobytes())
        else:
            Image.fromarray(values).save(tmp_path / f"{name}.{suffix}")
        read = np.asarray(open_picture(tmp_path / f"{name}.{suffix}"))[..., 0]
        assert np.array_equal(read, values >> 8), name


@pytest.mark.parametrize(("peak", "read_as"), [(1.0, 255), (0.5, 128), (200.0, 200), (65_535.0, 255)])
def test_floats_are_read_in_their_range(tmp_path: Path, peak: float, read_as: int) -> None:
    values = np.linspace(0, peak, 64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    read = np.asarray(open_picture(tmp_path / "a.tif"))[..., 0]
    assert (read[0, 0], read[-1, -1]) == (0, read_as)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert np.asarray(open_picture(tmp_path / "a.png")).min() == 255


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    with pytest.raises(DataError, match="too large"):
        open_picture(bomb(tmp_path / "a.png", side))


def test_a_truncated_picture_is_refused(tmp_path: Path) -> None:
    draw("disc", 1, 300).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        open_picture(tmp_path / "a.jpg")
    assert "damaged" in facts(str(tmp_path / "a.jpg")).error


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError):
        open_picture(tmp_path / "a.jpg")
    assert facts(str(tmp_path / "a.jpg")).error


def test_a_missing_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_picture(tmp_path / "a.jpg")
    assert facts(str(tmp_path / "a.jpg")).error == "There is no such file."


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, 10_000), value=st.integers(0, 255), suffix=st.sampled_from(["png", "jpg", "gif", "webp"])
)
def test_a_damaged_byte_gives_a_picture_or_a_message(tmp_path: Path, position: int, value: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    draw("disc", 1).save(path)
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(bytes(content))
    with suppress(DataError):
        assert open_picture(path, about_px=32).mode == "RGB"


def frames(path: Path) -> Path:
    """Three frames, or pages, with EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if path.suffix != ".gif" else {}
    more = [draw("lines", number, 40) for number in range(2)]
    draw("disc", 1, 40).save(path, save_all=True, append_images=more, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
@pytest.mark.filterwarnings("error")
def test_damaged_frames_are_told_and_never_raise(tmp_path: Path, suffix: str) -> None:
    whole = frames(tmp_path / f"whole.{suffix}").read_bytes()
    assert facts(str(tmp_path / f"whole.{suffix}")).frames == 3
    generator = np.random.default_rng(0)
    told = 0
    for number in range(300):
        content = bytearray(whole[: generator.integers(1, len(whole) + 1)] if number % 2 else whole)
        for place in generator.integers(0, len(content), 0 if number % 4 == 1 else 6):
            content[place] = generator.integers(256)
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content)
        told += facts(str(path)).error.startswith("The picture is damaged (")
    assert told


def test_near_duplicates_share_a_group(tmp_path: Path) -> None:
    picture = draw("disc", 3, 120)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.jpg", quality=70)
    picture.resize((90, 90)).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    draw("lines", 3, 120).save(tmp_path / "e.png")
    Image.new("RGB", (50, 50), "white").save(tmp_path / "f.png")
    Image.new("RGB", (60, 60), "black").save(tmp_path / "g.png")
    paths = [
        str(tmp_path / name) for name in ("a.png", "b.jpg", "c.png", "d.png", "e.png", "f.png", "g.png", "none.png")
    ]
    assert picture_groups(paths).tolist() == [0, 0, 0, 0, 1, 2, 3, 4]
    assert picture_matches(paths[:1], paths[4:5] + paths[1:2]) == [(0, 1)]


def fixed_camera(number: int, *, defect_px: int = 0, contrast: int = 40) -> Image.Image:
    """What one camera takes of one part after another: only the noise changes, and a defect's place."""
    generator = np.random.default_rng(number)
    scene = np.random.default_rng(0).integers(40, 220, (12, 16, 3)).astype(np.uint8)
    picture = Image.fromarray(scene).resize((640, 480))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((150, 80, 490, 420), fill=(150, 150, 160))
    if defect_px:
        x, y = (int(value) for value in generator.integers(200, 350, 2))
        pen.ellipse((x, y, x + defect_px, y + defect_px), fill=(150 - contrast,) * 3)
    noise = generator.normal(0, 4, (480, 640, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def test_a_small_defect_before_a_fixed_camera_is_no_duplicate(tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        paths.append(str(tmp_path / f"{number}.png"))
        fixed_camera(number, defect_px=40 if number else 0).save(paths[-1])
    groups = picture_groups(paths)
    assert (groups != groups[0])[1:].all()


@pytest.mark.parametrize("how", ["jpeg", "smaller", "larger", "smaller-jpeg"])
def test_what_was_saved_again_stays_a_duplicate(tmp_path: Path, how: str) -> None:
    for number, picture in enumerate((fixed_camera(1), fixed_camera(2, defect_px=40), draw("lines", 5, 200))):
        picture.save(tmp_path / f"{number}.png")
        scale = {"jpeg": 1.0, "smaller": 0.75, "larger": 1.5, "smaller-jpeg": 0.9}[how]
        again = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        if "jpeg" in how:
            again.save(tmp_path / "again.jpg", quality=60)
        else:
            again.save(tmp_path / "again.png")
        path = tmp_path / ("again.jpg" if "jpeg" in how else "again.png")
        assert picture_groups([str(tmp_path / f"{number}.png"), str(path)]).tolist() == [0, 0]
        path.unlink()


def test_groups_reach_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtune.data.picture_duplicates._ROWS", 2)
    monkeypatch.setattr("fewtune.data.picture_duplicates._PAIRS", 1)
    paths = []
    for quality in (95, 80, 60):
        for number in range(4):
            paths.append(str(tmp_path / f"{number}-{quality}.jpg"))
            draw("disc", number, 120).save(paths[-1], quality=quality)
    assert picture_groups(paths).tolist() == [0, 1, 2, 3] * 3
    assert picture_groups([]).tolist() == []
