"""An idempotency key belongs to one content, as long as the process remembers the key."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.unit.intake.door import DOOR, NOW, ORGANISATION, SOURCE

from onestory.intake.domain.request import PublisherClaims, RequestContext, Submission, SubmissionContext, apply_claims
from onestory.intake.publish import PublishedKeys
from onestory.shared.errors import Unprocessable

FIRST, OTHER = Submission("POST", b"first"), Submission("POST", b"other")


def context(key: str) -> SubmissionContext:
    request = RequestContext(DOOR, ORGANISATION, SOURCE.system, NOW, UUID(int=1), "correlation", key)
    return apply_claims(request, PublisherClaims(), PublisherClaims())


def test_a_key_is_refused_for_other_content_only() -> None:
    keys = PublishedKeys()
    keys.add(FIRST, context("a"))

    keys.refuse_other_content(FIRST, context("a"))
    keys.refuse_other_content(OTHER, context("b"))
    with pytest.raises(Unprocessable):
        keys.refuse_other_content(OTHER, context("a"))


def test_the_key_that_was_published_longest_ago_leaves_first() -> None:
    keys = PublishedKeys(max_keys=2)
    keys.add(FIRST, context("a"))
    keys.add(FIRST, context("b"))
    keys.add(FIRST, context("a"))
    keys.refuse_other_content(FIRST, context("b"))

    keys.add(FIRST, context("c"))

    keys.refuse_other_content(OTHER, context("b"))
    with pytest.raises(Unprocessable):
        keys.refuse_other_content(OTHER, context("a"))


def test_requests_without_a_key_are_not_compared() -> None:
    keys = PublishedKeys()
    keys.add(FIRST, context(""))

    keys.refuse_other_content(OTHER, context(""))
