"""The header that names the service of a message."""

from __future__ import annotations

import base64
import json

import pytest

from onestory.referral.bars.http import TARGET, read_target
from onestory.shared.errors import Malformed


def said(value: object) -> dict[str, str]:
    named = {"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": value}
    return {TARGET: base64.b64encode(json.dumps(named).encode()).decode()}


def test_it_names_a_service_by_its_id() -> None:
    assert read_target(said("2000000001")) == "2000000001"


@pytest.mark.parametrize("value", ["\0", "\ud800", "2000\n", "é", "", None])
def test_what_can_be_no_id_is_refused_before_anybody_is_asked_for_it(value: object) -> None:
    with pytest.raises(Malformed):
        read_target(said(value))
