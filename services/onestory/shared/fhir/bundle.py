"""Bundles as bytes: the envelope is written, the resources inside stay as they are stored.

FHIR R4, http://hl7.org/fhir/R4/bundle.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson


class Version(NamedTuple):
    """One version of a resource; `content` is None where the source took the resource back.

    `event_id` is what made it: an event, or for a shared Patient the statements that it is composed of. None: it left
    the record without its source saying anything of it, so it is no version that could be read.
    """

    event_id: UUID | str | None
    broker_time: datetime | None
    content: bytes | None


def etag(version_id: object) -> str:
    """The ETag of a version (http.html#versioning)."""
    return f'W/"{version_id}"'


def searchset(total: int, self_url: str, next_url: str | None, entries: Iterable[bytes]) -> bytes:
    """A Bundle of type searchset. `total` counts the matches on all pages."""
    return _bundle(b"searchset", total, self_url, next_url, entries)


def history(total: int | None, self_url: str, next_url: str | None, entries: Iterable[bytes]) -> bytes:
    """A Bundle of type history. `total` is None where counting would take reading all of it."""
    return _bundle(b"history", total, self_url, next_url, entries)


def match(full_url: str, content: bytes) -> bytes:
    """An entry that answers the question."""
    return b'{"fullUrl":"%b","resource":%b,"search":{"mode":"match"}}' % (full_url.encode(), content)


def beside(full_url: str, content: bytes) -> bytes:
    """An entry that comes along with an answer."""
    return b'{"fullUrl":"%b","resource":%b,"search":{"mode":"include"}}' % (full_url.encode(), content)


def remark(outcome: bytes) -> bytes:
    """An OperationOutcome about the search itself. It has no address, and an entry must have a fullUrl (bdl-5)."""
    name = uuid5(NAMESPACE_URL, outcome.decode())
    return b'{"fullUrl":"urn:uuid:%b","resource":%b,"search":{"mode":"outcome"}}' % (str(name).encode(), outcome)


def past(full_url: str, resource_type: str, shared_id: str, version: Version) -> bytes:
    """An entry of a history: the interaction that made the version, and the version unless it was a retraction."""
    resource = b'"resource":%b,' % version.content if version.content is not None else b""
    method, status = ("PUT", "200") if version.content is not None else ("DELETE", "204")
    response = {"status": status}
    if version.event_id is not None:
        response["etag"] = etag(version.event_id)
    if version.broker_time:
        response["lastModified"] = version.broker_time.isoformat()
    return b'{"fullUrl":"%b",%b"request":%b,"response":%b}' % (
        full_url.encode(),
        resource,
        orjson.dumps({"method": method, "url": f"{resource_type}/{shared_id}"}),
        orjson.dumps(response),
    )


def _bundle(kind: bytes, total: int | None, self_url: str, next_url: str | None, entries: Iterable[bytes]) -> bytes:
    held: Sequence[bytes] = list(entries)
    links = [{"relation": "self", "url": self_url}]
    if next_url:
        links.append({"relation": "next", "url": next_url})
    # FHIR has no empty arrays.
    entry = b',"entry":[%b]' % b",".join(held) if held else b""
    count = b"" if total is None else b'"total":%d,' % total
    return b'{"resourceType":"Bundle","type":"%b",%b"link":%b%b}' % (kind, count, orjson.dumps(links), entry)
