"""An idempotency key of a source belongs to one content, whichever process takes the request."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from tests.unit.intake.door import DOOR, NOW, ORGANISATION, SOURCE
from tests.unit.intake.fakes import FakeRecord

from onestory.intake.domain.request import PublisherClaims, RequestContext, Submission, SubmissionContext, apply_claims
from onestory.intake.keys import IdempotencyKeys
from onestory.shared.errors import Unprocessable

FIRST, OTHER = Submission("POST", b"first"), Submission("POST", b"other")


def context(key: str, system: str = SOURCE.system) -> SubmissionContext:
    request = RequestContext(DOOR, ORGANISATION, system, NOW, UUID(int=1), "correlation", key)
    return apply_claims(request, PublisherClaims(), PublisherClaims())


def use(keys: IdempotencyKeys, submission: Submission, key: str, system: str = SOURCE.system) -> None:
    asyncio.run(keys.use(submission, context(key, system)))


def test_a_key_is_refused_for_other_content_only() -> None:
    keys = IdempotencyKeys(FakeRecord())
    use(keys, FIRST, "a")

    use(keys, FIRST, "a")
    use(keys, OTHER, "b")
    use(keys, OTHER, "a", system="another-system")
    with pytest.raises(Unprocessable):
        use(keys, OTHER, "a")


def test_another_process_refuses_the_key_too() -> None:
    record = FakeRecord()
    use(IdempotencyKeys(record), FIRST, "a")

    with pytest.raises(Unprocessable):
        use(IdempotencyKeys(record), OTHER, "a")
    use(IdempotencyKeys(record), FIRST, "a")


def test_without_postgresql_a_process_remembers_its_own_keys_and_stores_them_later() -> None:
    record = FakeRecord()
    keys = IdempotencyKeys(record)
    record.away = True
    use(keys, FIRST, "a")
    with pytest.raises(Unprocessable):
        use(keys, OTHER, "a")

    record.away = False
    use(keys, FIRST, "a")

    with pytest.raises(Unprocessable):
        use(IdempotencyKeys(record), OTHER, "a")


def test_requests_without_a_key_are_not_compared() -> None:
    record = FakeRecord()
    keys = IdempotencyKeys(record)
    use(keys, FIRST, "")

    use(keys, OTHER, "")

    assert record.keys == {}
