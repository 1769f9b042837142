"""The bytes of a resource as the record serves them, and the record digest over them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from onestory.record.projector.rows import content_digest, record_digest, served_content, version_meta
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Entry, Operation

AT = datetime(2026, 3, 1, 9, 30, 0, 123_000, tzinfo=UTC)
META = version_meta(UUID(int=7), AT)
START = b'{"resourceType":"Condition","id":"shared","meta":{'


def entry(content: bytes | None) -> Entry:
    operation = Operation.RETRACT if content is None else Operation.ASSERT
    return Entry("Condition", "local", "shared", AT, operation, content)


def test_version_and_time_stand_before_the_meta_that_was_published() -> None:
    content = served_content(entry(START + b'"profile":["p"]},"dose":1.00}'), META)

    assert content == (
        b'{"resourceType":"Condition","id":"shared","meta":{"versionId":"00000000-0000-0000-0000-000000000007",'
        b'"lastUpdated":"2026-03-01T09:30:00.123Z","profile":["p"]},"dose":1.00}'
    )


def test_an_empty_meta_gets_no_comma() -> None:
    content = served_content(entry(START + b"}}"), META)

    assert content is not None
    assert content.endswith(b'"lastUpdated":"2026-03-01T09:30:00.123Z"}}')


def test_a_retraction_has_no_content() -> None:
    assert served_content(entry(None), META) is None
    assert content_digest(entry(None)) == b""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        START,
        b'{"resourceType":"Patient","id":"shared","meta":{}}',
        b'{"resourceType":"Condition","id":"other","meta":{}}',
        b'{"resourceType":"Condition","id":"shared"}',
        b'{ "resourceType":"Condition","id":"shared","meta":{}}',
    ],
)
def test_content_in_another_form_is_unprocessable(content: bytes) -> None:
    with pytest.raises(Unprocessable) as refused:
        served_content(entry(content), META)

    assert refused.value.issues[0].code == "content-form"


def test_the_record_digest_knows_no_order_but_every_content() -> None:
    entries = [("b", b"2"), ("a", b"1")]

    assert record_digest(entries) == record_digest(entries[::-1])
    assert record_digest(entries) != record_digest([("b", b"1"), ("a", b"2")])
