"""Bundles of every task that can be run are served: what they answer, and what pictures may not be."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from PIL import Image

import fewtune
from fewtune.data.coco_masks import runs_to_pixels
from fewtune.serve import limits
from tests.pictures import draw, needs_network, scene
from tests.serve.conftest import Folders, service
from tests.serve.test_api import error_of


def file_of(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def empty_png(width: int, height: int) -> bytes:
    """The header of a picture of any size, with little behind it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@needs_network
def test_pictures_get_their_classes(bundles: Folders) -> None:
    folder = bundles("image-classification")
    pictures = [draw("disc", 50), draw("lines", 51)]
    expected = fewtune.load(folder).predict_proba(pictures)
    files = [file_of(picture) for picture in pictures]
    with service(folder) as client:
        asked = {"inputs": [base64_of(files[0]), f"data:image/png;base64,{base64_of(files[1])}"], "probabilities": True}
        answer = client.post("/predict", json=asked)
        assert answer.status_code == 200, answer.text
        found = answer.json()["predictions"]
        assert [row["prediction"] for row in found] == ["disc", "lines"]
        rows = [list(row["probabilities"].values()) for row in found]
        np.testing.assert_allclose(rows, expected, atol=1e-5)
        name = 'x"; <script>.png'
        form = client.post(
            "/predict", files=[("inputs", (name, file)) for file in files], data={"probabilities": "true"}
        )
        assert form.json() == answer.json()
        assert client.post("/predict", files={"file": ("a.png", files[0])}).json()["predictions"][0] == {
            name: found[0][name] for name in ("prediction", "confidence")
        }
        info = client.get("/info").json()
        assert (info["task"], info["labels"]) == ("image-classification", ["disc", "lines"])


@needs_network
def test_patches_tell_what_spoke(bundles: Folders) -> None:
    """A disc in one corner of a grey picture: greyed, there is no disc."""
    with service(bundles("image-classification")) as client:
        picture = Image.new("RGB", (120, 120), (124, 116, 104))
        picture.paste(draw("disc", 50, 60), (0, 0))
        answer = client.post("/explain", json={"input": base64_of(file_of(picture))}).json()
        weights = np.array(answer["weights"])
        assert weights.shape == (limits.EXPLAINED_PATCHES,) * 2
        assert np.abs(weights[:3, :3]).max() > np.abs(weights[4:, 4:]).max()
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert error_of(client.post("/explain", json={"input": "@@"}), 422)["where"] == "input"


@needs_network
def test_boxes_and_masks(bundles: Folders) -> None:
    picture, _ = scene(101)
    content = file_of(picture)
    folders = [bundles("object-detection"), bundles("segmentation")]
    with service(*folders) as client:
        (boxes,) = fewtune.load(folders[0]).predict([picture])
        at = "/models/boxes/predict"
        found = client.post(at, json={"inputs": [base64_of(content)]}).json()["predictions"][0]["prediction"]
        assert [box["score"] for box in found] == pytest.approx(boxes.scores.tolist(), abs=1e-4)
        left, top, right, bottom = boxes.boxes_xyxy[0]
        assert found[0]["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
        form = client.post(at, files={"file": ("a.png", content)}, data={"least_score": "0.3"}).json()
        assert form["predictions"][0]["prediction"] == [box for box in found if box["score"] >= 0.3]

        (mask,) = fewtune.load(folders[1]).predict([picture])
        at = "/models/masks/predict"
        (as_png,) = client.post(at, json={"inputs": [base64_of(content)]}).json()["predictions"]
        ids = np.asarray(Image.open(io.BytesIO(base64.b64decode(as_png["prediction"]["png"]))))
        assert (ids == mask.ids).all()
        (as_runs,) = client.post(at, files={"x": ("a.png", content)}, data={"masks": "rle"}).json()["predictions"]
        labels = client.get("/models/masks/info").json()["labels"]
        for label, runs in as_runs["prediction"]["runs"].items():
            assert (runs_to_pixels(runs, *mask.ids.shape) == (mask.ids == labels.index(label))).all()
        assert error_of(client.post(at, json={"inputs": [], "masks": "jpeg"}), 422)["where"] == "masks"
        assert client.post("/models/masks/explain", json={"input": "a"}).status_code == 404  # nobody here explains


def test_texts_that_become_texts(bundles: Folders, tfidf_model: fewtune.Model) -> None:
    manual, replies = bundles("translation"), bundles("text-generation")
    with service(manual, replies, tfidf_model.bundle) as client:
        expected = fewtune.load(manual).predict(["the cat sees", ""])
        answer = client.post("/models/manual/predict", json={"inputs": ["the cat sees", ""]}).json()
        assert [row["prediction"] for row in answer["predictions"]] == expected
        chat = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "cat sat"}]
        expected = [str(reply) for reply in fewtune.load(replies).predict(["cat sat", chat])]
        at = "/models/replies/predict"
        answer = client.post(at, json={"inputs": ["cat sat", chat]}).json()
        assert [row["prediction"] for row in answer["predictions"]] == expected
        too_long = error_of(client.post(at, json={"inputs": ["cat sat", "red dog " * 300]}), 422)
        assert too_long["where"] == "inputs"
        assert "red dog" not in json.dumps(too_long)
        out_of_order = [[{"role": "assistant", "content": "a"}]]
        assert error_of(client.post(at, json={"inputs": out_of_order}), 422)["how"]
        explained = error_of(client.post("/models/manual/explain", json={"input": "a"}), 422)
        assert "translation" in explained["what"]
        # Forms are for pictures.
        assert client.post("/models/manual/predict", files={"inputs": ("a.txt", b"a")}).status_code == 415


def _bad_pictures() -> dict[str, bytes]:
    whole = file_of(draw("disc", 1))
    return {
        "empty": b"",
        "no picture": b"no picture",
        "cut off": whole[: len(whole) // 2],
        "damaged": whole[:60] + bytes(30) + whole[90:],
        "a bomb by its header": empty_png(60_000, 60_000),
        "too many pixels": empty_png(10_000, 6_000),
        "less than its header says": empty_png(3_000, 3_000),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "a program for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    }


@needs_network
def test_bad_pictures_get_a_reason(bundles: Folders) -> None:
    good = file_of(draw("disc", 1))
    with service(bundles("image-classification")) as client:
        for name, content in _bad_pictures().items():
            both = {"inputs": [base64_of(good), base64_of(content)]}
            for answer in (
                client.post("/predict", json=both),
                client.post("/predict", files=[("inputs", ("a", file)) for file in (good, content)]),
            ):
                error = error_of(answer, 422)
                assert error["where"] == "inputs[1]", name
                assert error["how"], name
            assert client.post("/explain", json={"input": base64_of(content)}).status_code == 422, name
        many = {"inputs": [base64_of(good)] * (limits.PICTURES + 1)}
        assert error_of(client.post("/predict", json=many), 422)["where"] == "inputs"
        forms = [("inputs", ("a", good))] * (limits.PICTURES + 1)
        assert error_of(client.post("/predict", files=forms), 422)["where"] == "inputs"
        assert error_of(client.post("/predict", json={"inputs": ["/etc/passwd"]}), 422)["where"] == "inputs[0]"


@needs_network
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=a", 400),
        (b"--a\r\n", "multipart/form-data; boundary=a", 400),
        (
            b'--a\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\nz',
            "multipart/form-data; boundary=a",
            400,
        ),
        (b"--a\r\n\r\n\r\n" * 300 + b"--a--\r\n", "multipart/form-data; boundary=a", 400),
        (
            b'--a\r\nContent-Disposition: form-data; name="path"\r\n\r\n/\r\n--a--\r\n',
            "multipart/form-data; boundary=a",
            422,
        ),
        (b"--a--\r\n", "multipart/form-data; boundary=a", 422),
        (b"GIF89a", "image/gif", 415),
    ],
    ids=range(8),
)
def test_malformed_forms_get_a_reason(bundles: Folders, body: bytes, kind: str, status: int) -> None:
    with service(bundles("image-classification")) as client:
        error_of(client.post("/predict", content=body, headers={"Content-Type": kind}), status)


@needs_network
def test_pages_of_strangers_send_no_forms(bundles: Folders) -> None:
    files = {"inputs": ("a.png", file_of(draw("disc", 1)))}
    with service(bundles("image-classification"), cors=("https://a.example",)) as client:
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            ("http://localhost", 200),
            ("https://a.example", 200),
        ):
            assert client.post("/predict", headers={"Origin": origin}, files=files).status_code == status, origin


@needs_network
def test_what_a_request_names_is_never_opened(
    bundles: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither names of files nor texts reach what opens files."""
    (tmp_path / "secret.png").write_bytes(file_of(draw("disc", 1)))
    monkeypatch.chdir(tmp_path)
    with service(bundles("image-classification")) as client:
        for name in ("secret.png", str(tmp_path / "secret.png")):
            error_of(client.post("/predict", json={"inputs": [name]}), 422)
            error_of(client.post("/predict", files={"inputs": (name, b"")}), 422)
