"""Whatever is asked is answered as the schema says, and never by a 5xx."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

import fewtune
from fewtune.serve.api import make_app
from fewtune.serve.bundles import Shelf
from fewtune.serve.settings import ServeSettings
from tests.pictures import needs_network
from tests.serve.conftest import Folders

_FEW = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


_MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.mark.parametrize("mode", _MODES)
def test_answers_are_as_documented(tfidf_model: fewtune.Model, mode: schemathesis.GenerationMode) -> None:
    _check([tfidf_model.bundle], mode)


@needs_network
@pytest.mark.parametrize("mode", _MODES)
def test_answers_about_pictures_are_as_documented(
    tfidf_model: fewtune.Model, bundles: Folders, mode: schemathesis.GenerationMode
) -> None:
    _check([bundles("image-classification")], mode)
    _check([bundles("segmentation"), tfidf_model.bundle], mode)


def _check(folders: list[Path], mode: schemathesis.GenerationMode) -> None:
    app = make_app(Shelf(folders, threads=1), ServeSettings(threads=1))
    reads_texts_alone = len(folders) == 1 and "tfidf" in folders[0].name
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode.is_negative and not operation.body:
            continue  # there is nothing to send that would not fit

        @_FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            # Which shares of errors a bundle can promise is not for the schema to say, nor what is a picture.
            asks_much = isinstance(case.body, dict) and case.body.get("max_error") is not None
            may_be_refused = asks_much or not reads_texts_alone
            excluded = [positive_data_acceptance] if may_be_refused else []
            # A form has no way to say an empty list: nothing of it is sent, and what is not there is no mistake.
            is_form = (case.media_type or "").startswith("multipart/")
            if is_form and isinstance(case.body, dict) and [] in case.body.values():
                excluded.append(negative_data_rejection)
            case.call_and_validate(headers={"Host": "localhost"}, excluded_checks=excluded or None)

        check()
