"""The client reads Server-Sent Events, and reconnects when a connection ends."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import httpx
import pytest

from onestory.client import event_source
from onestory.client.event_source import EventSource, ServerEvent
from onestory.shared.errors import Forbidden, OneStoryError

OPEN = b'id: 1\nevent: open\ndata: {"team": "t"}\n\n'
CHANGED = b'id: 2\nevent: changed\ndata: {"referral": "a"}\n\n'
HEARTBEAT = b": heartbeat\nid: 7\n\n"
CLOSED = b'id: 9\nevent: closed\ndata: {"reason": "role", "diagnostics": "You have left the team."}\n\n'


class FakeServer(httpx.BaseTransport):
    """Answers each connection with the next list of chunks, and keeps the headers of each request."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.requests: list[httpx.Request] = []
        self._connections = list(connections)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        chunks = self._connections.pop(0)
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Chunks(chunks))


class _Chunks(httpx.SyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source, "_MIN_PAUSE_S", 0.001)


def read(server: httpx.BaseTransport) -> list[ServerEvent | OneStoryError]:
    """All events, and the error that ends the stream."""
    events: queue.SimpleQueue[ServerEvent | OneStoryError] = queue.SimpleQueue()
    with (
        httpx.Client(transport=server, base_url="http://server") as http,
        EventSource(http, "/events", lambda: "t", events),
    ):
        received = [events.get(timeout=10)]
        while isinstance(received[-1], ServerEvent):
            received.append(events.get(timeout=10))
    return received


def test_events_are_read_however_the_stream_is_cut() -> None:
    stream = OPEN + HEARTBEAT + CHANGED + CLOSED

    opened, changed, end = read(FakeServer([stream[at : at + 1] for at in range(len(stream))]))

    assert opened == ServerEvent("open", {"team": "t"})
    assert changed == ServerEvent("changed", {"referral": "a"})
    assert isinstance(end, Forbidden)
    assert str(end) == "You have left the team."


def test_a_new_connection_continues_after_the_last_id_and_opens_only_once() -> None:
    server = FakeServer([OPEN, HEARTBEAT], [OPEN, CHANGED, CLOSED])

    events = read(server)

    assert [request.headers.get("Last-Event-ID") for request in server.requests] == [None, "7"]
    assert [event.name for event in events if isinstance(event, ServerEvent)] == ["open", "changed"]


def test_an_event_that_was_cut_in_the_middle_is_asked_for_again() -> None:
    server = FakeServer([OPEN, CHANGED[:20]], [CHANGED, CLOSED])

    events = read(server)

    assert server.requests[1].headers["Last-Event-ID"] == "1"
    assert [event.name for event in events if isinstance(event, ServerEvent)] == ["open", "changed"]


def test_a_stream_whose_token_has_expired_is_opened_again_with_the_next_token() -> None:
    expired = b'event: closed\ndata: {"reason": "token-expired"}\n\n'
    server = FakeServer([OPEN, expired], [CHANGED, CLOSED])

    events = read(server)

    assert len(server.requests) == 2
    assert [event.name for event in events if isinstance(event, ServerEvent)] == ["open", "changed"]


def test_a_refusal_ends_the_stream_with_the_reason_of_the_server() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "Not your team."}]}

    (end,) = read(httpx.MockTransport(lambda _request: httpx.Response(403, json=outcome)))

    assert isinstance(end, Forbidden)
    assert str(end) == "Not your team."


def test_a_server_that_does_not_answer_any_more_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source, "_MAX_FAILURES", 3)
    requests: list[httpx.Request] = []

    def fail(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise httpx.ConnectError("refused")

    (end,) = read(httpx.MockTransport(fail))

    assert isinstance(end, OneStoryError)
    assert len(requests) == 3
