"""Whatever is asked is answered as the schema says, and never by a 5xx."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

import fewtune
from fewtune.serve.api import make_app
from fewtune.serve.bundles import Shelf
from fewtune.serve.settings import ServeSettings

_FEW = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_answers_are_as_documented(tfidf_model: fewtune.Model, mode: schemathesis.GenerationMode) -> None:
    app = make_app(Shelf([tfidf_model.bundle], threads=1), ServeSettings(threads=1))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode.is_negative and not operation.body:
            continue  # there is nothing to send that would not fit

        @_FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            # Which shares of errors a bundle can promise is not for the schema to say.
            may_be_refused = isinstance(case.body, dict) and case.body.get("max_error") is not None
            excluded = [positive_data_acceptance] if may_be_refused else None
            case.call_and_validate(headers={"Host": "localhost"}, excluded_checks=excluded)

        check()
