"""The OpenAPI document keeps its word: schemathesis tries every route against it.

The service answers over a real port, without keys. What is generated is seeded and bounded, so
that a run is quick and the same every time; more is found with a larger WEAKSPOT_TEST_EXAMPLES.
"""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.images import jpeg, png, webp
from tests.serving import jpeg_of
from tests.tiny import LABELS, picture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings, strategies
    from hypothesis.errors import Unsatisfiable
    from schemathesis.checks import CHECKS, load_all_checks
    from schemathesis.core.failures import FailureGroup

EXAMPLES = int(os.environ.get("WEAKSPOT_TEST_EXAMPLES", "12"))


@pytest.fixture(scope="module")
def document(service: httpx.Client) -> dict[str, Any]:
    """What the service says of itself, after a first prediction."""
    assert service.post("/v1/predict", content=jpeg_of("Dog")).status_code == 200
    return service.get("/openapi.json").json()


class TestDocument:
    """What it says."""

    def test_is_of_the_promised_version(self, document: dict[str, Any]):
        """Generators of clients look at this first."""
        assert document["openapi"].startswith("3.1")

    def test_shows_an_example_of_every_problem(self, document: dict[str, Any]):
        """A caller writes its error handling from these."""
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                for status, answer in operation["responses"].items():
                    problem = answer.get("content", {}).get("application/problem+json")
                    examples = (problem or {}).get("examples", {})
                    assert problem is None or examples, (path, method, status)
                    for example in examples.values():
                        assert example["value"]["status"] == int(status), (path, method)

    def test_names_what_every_route_may_refuse(self, document: dict[str, Any]):
        """Besides its answer every route has at least the 500."""
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                assert "500" in operation["responses"], (path, method)

    def test_has_no_secrets(self, service: httpx.Client, module_engine: Engine):
        """S13."""
        text = service.get("/openapi.json").text

        assert str(Path.cwd()) not in text
        assert module_engine.url.render_as_string(hide_password=False) not in text


class TestService:
    """What it does."""

    def test_does_what_its_document_says(self, service: httpx.Client, document: dict[str, Any]):
        """No 5xx, no undocumented status, header or body; what is wrong is refused."""
        load_all_checks()
        for media_type, encode in {"jpeg": jpeg, "png": png, "webp": webp}.items():
            real = strategies.sampled_from([encode(picture(label)) for label in LABELS])
            schemathesis.openapi.media_type(f"image/{media_type}", real)
        schema = schemathesis.openapi.from_dict(document)
        # No schema can tell what is an image, a class or a cursor of ours, or is a tensor's
        # binary form.
        accepted = schema.config.checks.positive_data_acceptance.expected_statuses
        accepted += ["400", "415", "422"]
        schema.config.update(base_url=str(service.base_url).rstrip("/"))
        tried: set[str] = set()
        failed: list[str] = []
        for result in schema.get_all_operations():
            operation = result.ok()
            tried.add(operation.label)
            try:
                self._try(operation)
            except (Exception, FailureGroup) as error:
                failed.append(f"{operation.label}: {error}\n{getattr(error, 'exceptions', '')}")
        assert not failed, "\n\n".join(failed)

        assert {"POST /v1/predict", "PUT /v1/predictions/{id}/label"} <= tried

    def _try(self, operation: Any) -> None:
        modes = schemathesis.GenerationMode
        for mode in (modes.POSITIVE, modes.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                case.call_and_validate(checks=CHECKS.get_all(), timeout=20)

            # Where nothing is taken, nothing wrong can be sent.
            with contextlib.suppress(Unsatisfiable):
                check()
