from __future__ import annotations

import sys
from typing import Any

import pytest

from fewtune.errors import MissingExtraError, UserError
from fewtune.progress import SilentProgress
from fewtune.serve.server import serve
from fewtune.serve.settings import ServeSettings


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("--port", {"port": 70000}),
        ("--port", {"port": -1}),
        ("--queue", {"queue": 0}),
        ("--max-batch", {"max_batch": -3}),
        ("--threads", {"threads": -1}),
        ("--deadline", {"deadline_seconds": 0.0}),
        ("--deadline", {"deadline_seconds": float("nan")}),
        ("--deadline", {"deadline_seconds": float("inf")}),
        ("--cors", {"cors": ("a.example",)}),
        ("--token", {"token": " secret"}),
        ("--no-auth", {"token": "secret", "no_auth": True}),
        ("--host", {"host": "0.0.0.0"}),
        ("--host", {"host": "::"}),
        ("--host", {"host": ""}),
        ("--host", {"host": "1.2.3.4.5:x"}),
    ],
)
def test_what_does_not_fit_is_refused(option: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        ServeSettings(**settings).check()
    assert refused.value.where.startswith(option)
    assert refused.value.how


@pytest.mark.parametrize(
    "settings",
    [{}, {"host": "localhost"}, {"host": "::1"}, {"host": "0.0.0.0", "token": "secret"}, {"host": "", "no_auth": True}],
)
def test_what_fits_is_taken(settings: dict[str, Any]) -> None:
    ServeSettings(**settings).check()


def test_loopback_is_known() -> None:
    assert ServeSettings(host="127.8.8.8").is_loopback
    assert not ServeSettings(host="0.0.0.0").is_loopback


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"fewtune\[serve\]"):
        serve([], ServeSettings(), progress=SilentProgress(), on_listening=lambda url, names: None)
