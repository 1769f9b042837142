"""A client that follows Server-Sent Events as a browser does (html.spec.whatwg.org, server-sent events)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.waiting import until

ACCEPT = {"Accept": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    data: dict[str, Any]
    last_id: str


class Stream:
    """The events of one stream so far, read in a thread."""

    def __init__(self, response: httpx.Response) -> None:
        self.events: list[Event] = []
        self.last_id = ""
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=[response], daemon=True)
        self._thread.start()

    def named(self, name: str) -> list[dict[str, Any]]:
        """The data of the events of this name."""
        return [each.data for each in self.events if each.name == name]

    def await_event(self, name: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Wait for the first event of this name that fits, and return its data."""
        until(lambda: any(map(fits, self.named(name))) or self.ended.is_set(), 30)
        found = [each for each in self.named(name) if fits(each)]
        assert found, ("it ended", [each.name for each in self.events])
        return found[0]

    def await_end(self) -> None:
        """Wait until the server has ended the stream."""
        assert self.ended.wait(30)

    def _read(self, response: httpx.Response) -> None:
        name, data = "", ""
        try:
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data += value
                elif line == "" and data:
                    self.events.append(Event(name, json.loads(data), self.last_id))
                    name, data = "", ""
        except (httpx.HTTPError, httpx.StreamError):
            pass
        self.ended.set()


@contextmanager
def following(client: httpx.Client, address: str, last_id: str = "", **asked: str) -> Iterator[Stream]:
    """Follow the events of this address inside the block. The connection is dropped at the end."""
    headers = {**ACCEPT, **({"Last-Event-ID": last_id} if last_id else {})}
    with client.stream("GET", address, params=asked, headers=headers, timeout=60) as response:
        if response.status_code != 200:
            response.read()
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"].startswith("text/event-stream")
        stream = Stream(response)
        stream.await_event("open")
        yield stream
