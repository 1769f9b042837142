"""Reads Server-Sent Events, and reconnects after the last event id.

Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html. The library `httpx-sse` parses the
stream.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import httpx_sse

from onestory.shared.backoff import growing_pause_s
from onestory.shared.display import printable_text
from onestory.shared.errors import Forbidden, OneStoryError, Unavailable

_MIN_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_MAX_FAILURES = 20
# The server sends a heartbeat every 15 s.
_READ_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, and its data as parsed JSON."""

    name: str
    data: dict[str, Any]


class EventSource:
    """Reads events in its own thread while the `with` block is open.

    `events` gets each event, and at the end the error that ended the stream. When a connection breaks, the next one
    continues after the last event id. Only the first event `open` is passed on, because after a new connection the
    missed events follow.
    """

    def __init__(
        self,
        http: httpx.Client,
        url: str,
        token: Callable[[], str],
        events: queue.SimpleQueue[ServerEvent | OneStoryError],
    ) -> None:
        self._http = http
        self._url = url
        self._token = token
        self._events = events
        self._last_id = ""
        self._opened = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                before = self._last_id
                self._read_connection()
                failures = 0 if self._last_id != before else failures + 1
            except httpx.HTTPError:
                failures += 1
            except OneStoryError as error:
                self._events.put(error)
                return
            if failures >= _MAX_FAILURES:
                self._events.put(Unavailable("The server no longer answers. Start the command again."))
                return
            self._stop.wait(growing_pause_s(failures, _MIN_PAUSE_S, _MAX_PAUSE_S))

    def _read_connection(self) -> None:
        """Read one connection until it ends. Raises `Forbidden` when the server refuses it."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token()}"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        with self._http.stream("GET", self._url, headers=headers, timeout=_READ_TIMEOUT_S) as response:
            if response.status_code == 503:
                return
            if response.status_code != 200:
                response.read()
                raise Forbidden(refusal_text(response))
            for message in httpx_sse.EventSource(response).iter_sse():
                # A heartbeat has an id but no data.
                self._last_id = message.id or self._last_id
                if not message.data:
                    continue
                event = ServerEvent(message.event, json.loads(message.data))
                if self._stop.is_set() or self._must_reconnect(event):
                    return
                if event.name != "open" or not self._opened:
                    self._events.put(event)
                self._opened = True

    def _must_reconnect(self, event: ServerEvent) -> bool:
        """Return whether the server closed the stream because the token expired. Raises `Forbidden` if it must end."""
        if event.name != "closed":
            return False
        if event.data.get("reason") == "token-expired":
            # The next connection gets a new token. A fixed token is refused then, and that ends the stream.
            return True
        raise Forbidden(printable_text(str(event.data.get("diagnostics", "The server has closed the list."))))


def refusal_text(response: httpx.Response) -> str:
    """Return the diagnostics of an OperationOutcome, or the status when the response has none."""
    with suppress(ValueError, KeyError, TypeError):
        return printable_text("; ".join(str(issue["diagnostics"]) for issue in response.json()["issue"]))
    return f"The server answered with status {response.status_code}."
