"""A token that names its system publishes for no other system of its organisation."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.unit.intake.door import DOOR, NOW

from onestory.intake.domain.request import PublisherClaims, RequestContext, apply_claims
from onestory.shared.errors import Forbidden

NONE = PublisherClaims()


def request(*, fixed: bool) -> RequestContext:
    return RequestContext(DOOR, "A81001", "emis", NOW, UUID(int=1), "correlation", is_system_fixed=fixed)


@pytest.mark.parametrize(
    ("header", "tag", "place"),
    [
        (PublisherClaims(system="other"), NONE, "X-Source-System"),
        (PublisherClaims(system="EMIS"), NONE, "X-Source-System"),
        (NONE, PublisherClaims(system="other"), "meta.tag"),
        (PublisherClaims(system="emis"), PublisherClaims(system="other"), "meta.tag"),
    ],
)
def test_another_system_than_that_of_the_token_is_refused(
    header: PublisherClaims, tag: PublisherClaims, place: str
) -> None:
    with pytest.raises(Forbidden, match=place):
        apply_claims(request(fixed=True), header, tag)


def test_the_system_of_the_token_may_be_repeated_or_left_out() -> None:
    for header in (NONE, PublisherClaims(system="emis")):
        for tag in (NONE, PublisherClaims(system="emis")):
            assert apply_claims(request(fixed=True), header, tag).source.system == "emis"


def test_a_token_without_a_system_may_name_any() -> None:
    assert apply_claims(request(fixed=False), PublisherClaims(system="other"), NONE).source.system == "other"
