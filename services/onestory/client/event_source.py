"""Server-Sent Events as a client reads them (html.spec.whatwg.org, server-sent-events): it comes back where it was."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from onestory.client.report import plain
from onestory.shared.errors import Forbidden, OneStoryError, Unavailable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_ATTEMPTS = 20
# The server gives a sign of life every 15 s.
_SILENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    name: str
    data: dict[str, Any]


class Events:
    """Reads in a thread of its own, within `with`. `heard` gets each event, and at last the error that ended it.

    A connection that breaks is opened anew from the last id. `open` is told once only, as what came meanwhile follows.
    """

    def __init__(
        self,
        http: httpx.Client,
        address: str,
        token: Callable[[], str],
        heard: queue.SimpleQueue[Event | OneStoryError],
    ) -> None:
        self._http = http
        self._address = address
        self._token = token
        self._heard = heard
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
                self._read()
                failures = 0 if self._last_id != before else failures + 1
            except httpx.HTTPError:
                failures += 1
            except OneStoryError as error:
                self._heard.put(error)
                return
            if failures >= _ATTEMPTS:
                self._heard.put(Unavailable("The server does not answer any more."))
                return
            self._stop.wait(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failures, 8)))

    def _read(self) -> None:
        """One connection, until it ends."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token()}"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        with self._http.stream("GET", self._address, headers=headers, timeout=_SILENCE_S) as answer:
            if answer.status_code == 503:
                return
            if answer.status_code != 200:
                answer.read()
                raise Forbidden(refusal(answer))
            for event in self._events(answer.iter_lines()):
                if self._stop.is_set() or self._is_over(event):
                    return
                if event.name != "open" or not self._opened:
                    self._heard.put(event)
                self._opened = True

    def _is_over(self, event: Event) -> bool:
        if event.name != "closed":
            return False
        if event.data.get("reason") == "token-expired":
            # Where a token can be renewed, it is; where not, the server refuses the old one, and says so.
            return True
        raise Forbidden(plain(str(event.data.get("diagnostics", "The list has been closed."))))

    def _events(self, lines: Iterable[str]) -> Iterator[Event]:
        name, data = "", ""
        for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                self._last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data += value
            elif not line:
                if data:
                    yield Event(name, json.loads(data))
                name, data = "", ""


def refusal(answer: httpx.Response) -> str:
    """Why the server refuses."""
    with suppress(ValueError, KeyError, TypeError):
        return plain("; ".join(str(issue["diagnostics"]) for issue in answer.json()["issue"]))
    return f"The server answers {answer.status_code}."
