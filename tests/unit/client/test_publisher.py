"""The publisher repeats requests without an outcome, and reports refusals with field and reason."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from tests.unit.client.fake_door import BASE_URL, FakeDoor, Script, bundle_answer, outcome, refused
from tests.unit.client.fhir import bundle, dump, patient

from onestory.client.publisher import Backoff, Publisher, retry_after_s
from onestory.client.submission import Receipt, Refusal
from onestory.shared.errors import Misconfigured, Unauthenticated, Unavailable, Unprocessable


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def answers(*statuses: int | Exception, headers: dict[str, str] | None = None) -> Script:
    """A script that gives these answers first, and then successful ones."""
    left = list(statuses)

    def script(_request: httpx.Request, _resource: object) -> httpx.Response | Exception | None:
        if not left:
            return None
        answer = left.pop(0)
        return answer if isinstance(answer, Exception) else httpx.Response(answer, headers=headers)

    return script


def publish(
    door: FakeDoor,
    content: bytes,
    *,
    clock: Clock | None = None,
    token: str | Callable[[], str] | None = None,
    base_url: str = BASE_URL,
    use: Callable[[Publisher], Awaitable[Receipt]] | None = None,
) -> Receipt:
    clock = clock or Clock()

    async def run() -> Receipt:
        patience = Backoff(60, sleep=clock.sleep, clock=clock, jitter=lambda: 1.0)
        async with httpx.AsyncClient(transport=door) as client:
            publisher = Publisher(base_url, token or "t", system="gp", backoff=patience, client=client)
            return await (use(publisher) if use else publisher.publish(content, idempotency_key="k"))

    return asyncio.run(run())


def test_a_receipt_tells_where_it_went() -> None:
    door = FakeDoor()

    receipt = publish(door, dump(bundle(patient())))

    assert receipt == Receipt(200, ("e1", "e2"), "p1")
    [request] = door.requests
    assert request.headers["Authorization"] == "Bearer t"
    assert request.headers["Content-Type"] == "application/fhir+json"
    assert request.headers["X-Source-System"] == "gp"
    assert request.headers["Idempotency-Key"] == "k"


def test_the_bytes_arrive_as_they_are_and_compressed_beyond_this_machine() -> None:
    here, far = FakeDoor(), FakeDoor()
    content = b'{ "resourceType": "Basic", "x": 1.00 }'

    publish(here, content)
    publish(far, content, base_url="https://record.example/base/")

    assert here.requests[0].content == content
    assert gzip.decompress(far.requests[0].content) == content
    assert far.calls == ["POST /base/fhir/Basic"]


@pytest.mark.parametrize(
    "trouble", [503, 429, 502, 500, httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.ReadError("cut")]
)
def test_what_has_no_outcome_yet_is_repeated_with_the_same_key(trouble: int | Exception) -> None:
    door, clock = FakeDoor(answers(trouble, trouble)), Clock()

    receipt = publish(door, dump(patient()), clock=clock)

    assert receipt.accepted
    assert door.keys == ["k", "k", "k"]
    assert clock.slept == [0.25, 0.5]


def test_without_a_key_each_call_has_its_own_and_keeps_it_when_repeated() -> None:
    door = FakeDoor(answers(503))

    async def twice(publisher: Publisher) -> Receipt:
        await publisher.publish(dump(patient()))
        return await publisher.publish(dump(patient()))

    publish(door, b"", use=twice)

    first, again, second = door.keys
    assert first == again != second


def test_retry_after_is_honoured() -> None:
    clock = Clock()

    publish(FakeDoor(answers(503, headers={"Retry-After": "7"})), dump(patient()), clock=clock)

    assert clock.slept == [7.25]


def test_retry_after_may_be_a_date_and_nonsense_is_ignored() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    assert 25 < retry_after_s(soon) <= 30
    assert retry_after_s("soon") == retry_after_s(None) == 0


def test_patience_ends_when_nothing_succeeds() -> None:
    clock = Clock()

    with pytest.raises(Unavailable, match="60 s without any progress"):
        publish(FakeDoor(lambda _request, _resource: httpx.ConnectError("refused")), dump(patient()), clock=clock)

    assert 30 < sum(clock.slept) <= 60


def test_patience_begins_anew_when_something_else_succeeds() -> None:
    clock = Clock()
    patience = Backoff(1.0, sleep=clock.sleep, clock=clock, jitter=lambda: 1.0)

    async def run() -> None:
        for _ in range(20):
            await patience.pause(1, "busy")
            patience.succeeded()

    asyncio.run(run())
    assert clock.now == 1010.0


def test_a_door_that_keeps_failing_on_one_item_ends_in_a_refusal() -> None:
    receipt = publish(FakeDoor(answers(*[500] * 9)), dump(patient()))

    assert receipt.status == 500
    assert not receipt.accepted


def test_a_refusal_tells_field_and_reason() -> None:
    door = FakeDoor(lambda _request, _resource: refused(422, "wrong check digit", "Patient.identifier[0].value"))

    receipt = publish(door, dump(patient()))

    assert receipt.refusals == (Refusal("wrong check digit", 422, "Patient.identifier[0].value"),)


def test_entries_refused_in_a_batch_are_named_by_their_index() -> None:
    entries: list[dict[str, Any]] = [
        {"response": {"status": "201 Created"}},
        {"response": {"status": "422 Unprocessable", "outcome": outcome("no", "Bundle.entry[1].resource.status")}},
        {"response": {"status": "403"}},
    ]

    receipt = publish(FakeDoor(lambda _request, _resource: bundle_answer(entries)), dump(bundle(kind="batch")))

    assert receipt.accepted
    assert [(refusal.entry, refusal.status, refusal.field) for refusal in receipt.refusals] == [
        (1, 422, "Bundle.entry[1].resource.status"),
        (2, 403, ""),
    ]


def test_a_warning_in_an_answer_is_no_refusal() -> None:
    answer = outcome("a hint")
    answer["issue"][0]["severity"] = "information"

    receipt = publish(FakeDoor(lambda _request, _resource: httpx.Response(202, json=answer)), dump(bundle()))

    assert receipt == Receipt(202)


def test_no_nhs_number_that_a_gateway_quotes_reaches_a_reason() -> None:
    door = FakeDoor(lambda _request, _resource: refused(400, "bad value 999 000 0018 or 9990000018"))

    [refusal] = publish(door, dump(patient())).refusals

    assert refusal.reason == "bad value [number] or [number]"


def test_a_token_that_expired_is_renewed_once() -> None:
    tokens = iter(["old", "new"])
    door = FakeDoor(
        lambda request, _: httpx.Response(401) if request.headers["Authorization"] == "Bearer old" else None
    )

    receipt = publish(door, dump(patient()), token=lambda: next(tokens))

    assert receipt.accepted
    assert door.keys == ["k", "k"]


def test_a_token_that_is_not_taken_is_an_error() -> None:
    door = FakeDoor(lambda _request, _resource: httpx.Response(401))

    with pytest.raises(Unauthenticated):
        publish(door, dump(patient()))
    with pytest.raises(Unauthenticated):
        publish(door, dump(patient()), token=lambda: "t")


@pytest.mark.parametrize("status", [200, 307, 404])
def test_nothing_is_taken_for_published_by_something_that_is_not_onestory(status: int) -> None:
    door = FakeDoor(lambda _request, _resource: httpx.Response(status, text="<html>welcome</html>"))

    with pytest.raises(Misconfigured, match="Is it OneStory's base URL"):
        publish(door, dump(patient()))


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(Misconfigured):
        Publisher("127.0.0.1:8080", "t")
    with pytest.raises(Unprocessable):
        Publisher(BASE_URL, "t", system="Système")
