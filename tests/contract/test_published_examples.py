"""Every published example is accepted, or refused for a reason that was reviewed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from tests.contract.shared_data import example, needs_shared_data, verdicts

from onestory.intake.domain.parse import parse_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import (
    AcceptedEntry,
    Deployment,
    PreparedSubmission,
    PublisherClaims,
    RefusedEntry,
    RequestContext,
    Submission,
    apply_claims,
)
from onestory.shared.errors import OneStoryError
from onestory.shared.fhir.definitions import operation_only_types
from onestory.shared.identity import Keys

pytestmark = needs_shared_data

_DOOR = Deployment(Keys(b"a secret of the tests, long enough"), "http://door/fhir")
_EXPECTED = Path(__file__).parent / "published-examples.yaml"


@cache
def expected() -> dict[str, str]:
    """The expectation for each file: `accepted`, or the first issue as `code @ expression`."""
    table = yaml.safe_load(_EXPECTED.read_text())
    refused = {name: issue for group in table["refused"] for name, issue in group["files"].items()}
    return {**dict.fromkeys(table["accepted"], "accepted"), **refused}


def submission(body: bytes) -> Submission:
    resource = json.loads(body)
    kind, own = resource.get("resourceType", ""), resource.get("id", "")
    if kind == "Bundle":
        return Submission("POST", body)
    if kind in operation_only_types():
        return Submission("POST", b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":%b}]}' % body)
    return Submission("PUT" if own else "POST", body, kind, own)


def publish(name: str) -> PreparedSubmission:
    arrival = RequestContext(_DOOR, "A81001", "emis-web", datetime.now(UTC), UUID(int=1), "correlation")
    opened = parse_submission(submission(example(name)), _DOOR.base_url)
    return prepare(opened, apply_claims(arrival, PublisherClaims(), opened.claims()), {}, uuid4)


def outcome(name: str) -> str:
    try:
        prepared = publish(name)
    except OneStoryError as error:
        return _first(error, name)
    refused = [each.error for each in prepared.outcomes if isinstance(each, RefusedEntry)]
    return _first(refused[0], name) if refused else "accepted"


def _first(error: OneStoryError, name: str) -> str:
    """The first issue as `code @ expression`, with the expression relative to the file."""
    kind, expression = json.loads(example(name)).get("resourceType"), error.issues[0].expression
    if kind in operation_only_types():
        expression = expression.replace("Bundle.entry[0].resource", kind)
    return f"{error.issues[0].code} @ {expression}"


def test_every_example_has_an_expectation() -> None:
    assert set(expected()) == set(verdicts())


@pytest.mark.parametrize("name", sorted(expected()))
def test_a_published_example_is_judged_as_agreed(name: str) -> None:
    assert outcome(name) == expected()[name]


def _comparable(value: Any, *, top: bool = True) -> Any:
    """A resource without the values that intake may change: id, meta, and the content of references."""
    if isinstance(value, list):
        return [_comparable(each, top=False) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {"id", "meta"} if top else set()
    if _is_reference(value):
        changed = {"reference", "type", "identifier"}
    return {name: _comparable(each, top=False) for name, each in value.items() if name not in changed}


def _is_reference(value: dict[str, Any]) -> bool:
    return bool(value) and set(value) <= {"reference", "type", "identifier", "display", "extension", "_reference", "id"}


def _as_written(text: bytes) -> Any:
    """Parsed JSON. Each number keeps the digits that were sent."""
    return json.loads(text, parse_float=str, parse_int=str)


@pytest.mark.parametrize("name", sorted(name for name, outcome in expected().items() if outcome == "accepted"))
def test_an_accepted_example_comes_back_as_it_went_in(name: str) -> None:
    sent = _as_written(example(name))
    resources = [entry["resource"] for entry in sent["entry"]] if sent["resourceType"] == "Bundle" else [sent]

    stored = [each.content for each in publish(name).outcomes if isinstance(each, AcceptedEntry)]

    assert len(stored) == len(resources)
    for content, resource in zip(stored, resources, strict=True):
        assert content is not None
        assert _comparable(_as_written(content)) == _comparable(resource)
