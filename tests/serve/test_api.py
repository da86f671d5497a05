from __future__ import annotations

import hmac
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

import fewtune
from fewtune.serve import guard, limits
from tests.serve.conftest import service

TEXTS = ["Where is my parcel?", "快递到哪里了", "", "<script>alert(1)</script>", "\0 😀 \u202e"]
JSON = {"Content-Type": "application/json"}


def error_of(response: Any, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"what", "where", "how"}
    assert error["what"]
    assert "Traceback" not in response.text
    return error


def test_predictions_are_those_of_the_library(client: TestClient, tfidf_model: fewtune.Model) -> None:
    answer = client.post("/predict", json={"inputs": TEXTS})
    assert answer.status_code == 200
    expected = tfidf_model.predict_proba(TEXTS)
    found = answer.json()["predictions"]
    assert all(set(row) == {"prediction", "confidence"} for row in found)
    assert [row["prediction"] for row in found] == tfidf_model.predict(TEXTS)
    np.testing.assert_allclose([row["confidence"] for row in found], expected.max(axis=1), atol=1e-6)

    answer = client.post("/predict", json={"inputs": TEXTS, "probabilities": True})
    rows = [list(row["probabilities"].values()) for row in answer.json()["predictions"]]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert tuple(answer.json()["predictions"][0]["probabilities"]) == tfidf_model.labels
    assert client.post("/predict", json={"inputs": []}).json() == {"predictions": []}


def test_answers_say_when_they_are_unsure(head_model: fewtune.Model) -> None:
    goals = [t.target_error for t in head_model.manifest.answer_rules.thresholds if t.below is not None]
    with service(head_model.bundle) as client:
        for max_error, coverage in ((max(goals), None), (None, 0.9), (max(goals), 0.9)):
            goal = {"max_error": max_error, "coverage": coverage}
            asked = {name: value for name, value in goal.items() if value is not None}
            ours = head_model.answer(TEXTS, max_error=max_error, coverage=coverage)
            answer = client.post("/predict", json={"inputs": TEXTS, **asked})
            assert answer.status_code == 200, answer.text
            for found, known in zip(answer.json()["predictions"], ours, strict=True):
                expected: dict[str, Any] = {"prediction": known.prediction}
                if "max_error" in asked:
                    expected |= {"unsure": known.unsure, "outside": known.outside}
                if "coverage" in asked:
                    expected["labels"] = list(known.labels)
                assert found.pop("confidence") == pytest.approx(known.confidence, abs=1e-6)
                assert found == expected
        assert client.post("/predict", json={"inputs": [], "max_error": max(goals)}).json() == {"predictions": []}


def test_a_goal_that_cannot_be_promised_is_refused(client: TestClient) -> None:
    error = error_of(client.post("/predict", json={"inputs": TEXTS, "max_error": 1e-6}), 422)
    assert error["where"] == "max_error"
    assert error["how"]
    for wrong in ({"coverage": 1}, {"coverage": 0}, {"max_error": -0.1}, {"max_error": 2}, {"max_error": "0.1"}):
        assert error_of(client.post("/predict", json={"inputs": TEXTS, **wrong}), 422)["where"] in wrong


def test_an_answer_does_not_depend_on_the_batch(head_model: fewtune.Model) -> None:
    texts = ["hi", "where is my parcel " * 20, "快递到哪里了", "refund please"] * 10
    with service(head_model.bundle) as client:
        ask = {"probabilities": True}
        together = client.post("/predict", json={"inputs": texts, **ask}).json()["predictions"]
        alone = [client.post("/predict", json={"inputs": [text], **ask}).json()["predictions"][0] for text in texts[:4]]
    rows = [[list(row["probabilities"].values()) for row in found] for found in (together[:4], alone)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=0, atol=2e-6)


def test_health_ready_info_and_metrics(client: TestClient, tfidf_model: fewtune.Model) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    info = client.get("/info").json()
    assert info["task"] == "text-classification"
    assert tuple(info["labels"]) == tfidf_model.labels
    assert info["scores"]["accuracy"]["value"] > 0
    assert info["licences"]
    assert client.get("/models").json() == {"models": [info]}
    assert client.get("/models/tfidf/info").json() == info
    assert str(tfidf_model.bundle.parent) not in client.get("/info").text
    client.post("/predict", json={"inputs": TEXTS})
    client.get("/no/such/place")
    text = client.get("/metrics").text
    assert 'fewtune_requests_total{route="/predict",status="200"}' in text
    assert "fewtune_batch_size_bucket" in text
    assert "/no/such/place" not in text


def test_several_bundles(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    other = tmp_path / "第二 个.fewtune"
    shutil.copytree(tfidf_model.bundle, other)
    with service(tfidf_model.bundle, other) as client:
        assert [info["name"] for info in client.get("/models").json()["models"]] == ["tfidf", "第二 个"]
        for name in ("tfidf", "第二 个"):
            assert client.post(f"/models/{name}/predict", json={"inputs": ["a"]}).status_code == 200
        assert "/models/NAME" in error_of(client.post("/predict", json={"inputs": ["a"]}), 404)["how"]
        assert "tfidf" in error_of(client.get("/models/tfid/info"), 404)["how"]


def test_two_bundles_of_one_name_are_refused(tfidf_model: fewtune.Model) -> None:
    with pytest.raises(fewtune.UserError, match="called 'tfidf'"), service(tfidf_model.bundle, tfidf_model.bundle):
        pass


def test_explain(client: TestClient, tfidf_model: fewtune.Model) -> None:
    text = "Where is my parcel? 快递 <b>"
    answer = client.post("/explain", json={"input": text}).json()
    assert "".join(part["text"] for part in answer["parts"]) == text
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    parts = {part["text"]: part for part in answer["parts"]}
    label = tfidf_model.labels.index(answer["prediction"])
    (without,) = tfidf_model.predict_proba([text.replace("parcel", "")])
    assert parts["parcel"]["confidence_without"] == pytest.approx(without[label], abs=1e-6)
    assert (parts["parcel"]["weight"] > 0) == (without[label] < answer["confidence"])
    assert parts["? "]["weight"] is None
    assert client.post("/explain", json={"input": ""}).json()["parts"] == []


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"\xff\xfe", 400, "body"),
        (b"[" * 100_000, 400, "body"),
        (b"[]", 422, "body"),
        (b"{}", 422, "inputs"),
        (b'{"inputs": "one text"}', 422, "inputs"),
        (b'{"inputs": ["a", 1]}', 422, "inputs[1]"),
        (b'{"inputs": [null]}', 422, "inputs[0]"),
        (b'{"inputs": ["\\ud800"]}', 422, "inputs[0]"),
        (b'{"inputs": [], "path": "/etc/passwd"}', 422, "path"),
        (b'{"inputs": [], "\\ud800": 1}', 422, "body"),
        (b'{"inputs": [], "probabilities": "yes"}', 422, "probabilities"),
        (json.dumps({"inputs": ["a"] * (limits.INPUTS + 1)}).encode(), 422, "inputs"),
        (json.dumps({"inputs": ["a" * (limits.TEXT_CHARACTERS + 1)]}).encode(), 422, "inputs[0]"),
        (b'{"inputs": ["' + b"a" * limits.BODY_BYTES + b'"]}', 413, "body"),
    ],
    ids=range(16),
)
def test_bad_bodies_get_a_reason(client: TestClient, body: bytes, status: int, where: str) -> None:
    error = error_of(client.post("/predict", content=body, headers=JSON), status)
    assert error["where"] == where
    assert error["how"]


def test_a_body_without_length_is_counted_as_it_comes(client: TestClient) -> None:
    request = client.build_request("POST", "/predict", content=(b" " * 65536 for _ in range(40)), headers=JSON)
    assert "content-length" not in request.headers
    error_of(client.send(request), 413)


def test_wrong_kinds_methods_and_places(client: TestClient) -> None:
    body = '{"inputs": ["a"]}'
    error_of(client.post("/predict", content=body), 415)
    error_of(client.post("/predict", content=body, headers={"Content-Type": "text/plain"}), 415)
    assert "POST" in client.get("/predict").headers["allow"]
    error_of(client.get("/predict"), 405)
    error_of(client.get("/nowhere"), 404)
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/..%2fapi.py", "/models/..%2f..%2fetc/info"):
        error_of(client.get(path), 404)


def test_our_own_fault_is_told_without_a_traceback(tfidf_model: fewtune.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewtune.serve.bundles import Version

    with service(tfidf_model.bundle, raise_server_exceptions=False) as client:
        monkeypatch.setattr(Version, "probabilities", lambda self, inputs: 1 / 0)
        response = client.post("/predict", json={"inputs": ["a"]})
        error_of(response, 500)
        assert "ZeroDivision" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"


def test_the_token_is_demanded(tfidf_model: fewtune.Model) -> None:
    token = "sésame ouvre-toi"
    with service(tfidf_model.bundle, token=token) as client:
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {token}".encode()}):
            response = client.post("/predict", content=b"{", headers=headers)
            error_of(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/info", "/models", "/metrics", "/nowhere", "/models/tfidf/info"):
            error_of(client.get(path), 401)
        for path in ("/", "/docs", "/openapi.json", "/health", "/ready", "/page.js"):
            assert client.get(path).status_code == 200
        headers = {"Authorization": f"Bearer {token}".encode()}
        assert client.post("/predict", json={"inputs": ["a"]}, headers=headers).status_code == 200
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]


def test_a_token_that_is_wrong_long_short_or_missing_gets_the_same_answer(
    tfidf_model: fewtune.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the comparison takes the same time wherever a wrong one differs: `hmac.compare_digest` alone decides."""
    token, compared = "correct horse", list[tuple[bytes, bytes]]()

    def spy(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return compare(given, wanted)

    compare = hmac.compare_digest
    monkeypatch.setattr(guard.hmac, "compare_digest", spy)
    with service(tfidf_model.bundle, token=token) as client:
        refused = [
            client.get("/info", headers={"Authorization": f"Bearer {given}"} if given is not None else {})
            for given in ("correct house", "correct", f"{token} staple", "", None)
        ]
        assert {answer.status_code for answer in refused} == {401}
        assert len({answer.content for answer in refused}) == 1
        assert len({tuple(sorted(answer.headers.items())) for answer in refused}) == 1
        # Without the header there is nothing to compare.
        assert compared == [
            (given, token.encode()) for given in (b"correct house", b"correct", b"correct horse staple", b"")
        ]
        right = {"Authorization": f"Bearer {token}"}
        assert client.get("/info", headers=right).status_code == 200
        monkeypatch.setattr(guard.hmac, "compare_digest", lambda given, wanted: False)
        assert client.get("/info", headers=right).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.8.8.8", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
        ("192.168.0.1", 403),
        ("", 403),
    ],
)
def test_on_loopback_only_this_machine_is_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == status


def test_other_origins_are_let_in_only_when_asked_for(client: TestClient, tfidf_model: fewtune.Model) -> None:
    asking = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/predict", headers=asking).headers
    with service(tfidf_model.bundle, cors=("https://a.example",), token="secret") as open_client:
        asking["Access-Control-Request-Headers"] = "authorization, content-type"
        answer = open_client.options("/predict", headers=asking)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        refused = open_client.post("/predict", json={}, headers={"Origin": "https://a.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://a.example"
        other = open_client.options("/predict", headers={**asking, "Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


def test_pages_come_from_the_package_alone(client: TestClient) -> None:
    for path in ("/", "/docs"):
        page = client.get(path)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "://" not in page.text
        assert "style=" not in page.text
    for path in ("/page.js", "/docs.js", "/page.css"):
        assert "innerHTML" not in client.get(path).text
        assert "http" not in client.get(path).text.replace("http://www.w3.org", "")
