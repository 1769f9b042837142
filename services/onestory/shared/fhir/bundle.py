"""Writes Bundles as bytes, and writes and reads ETags. Stored resources go into an entry without being parsed.

FHIR R4, http://hl7.org/fhir/R4/bundle.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


Entry = tuple[bytes, ...]
"""An entry of a Bundle, in parts. A large resource is copied only once, when the Bundle is put together."""


class ResourceVersion(NamedTuple):
    """One version of a resource. `content` is None when the source retracted the resource.

    `event_id` names the event that made the version. For a shared Patient it names the statements that the Patient is
    composed of. None: the resource left the record without a statement of its source, so this version cannot be read.
    """

    event_id: UUID | str | None
    broker_time: datetime | None
    content: bytes | None


def etag(version_id: object) -> str:
    """Return the ETag of a version (http://hl7.org/fhir/R4/http.html#versioning)."""
    return f'W/"{version_id}"'


def entity_tags(field: str) -> list[str | None]:
    """Return the opaque tags in If-Match, If-None-Match or ETag, without `W/` and quotes (RFC 9110, 8.8.3).

    An item that is no entity tag becomes None. A tag of this server has no comma, so a tag with a comma is no tag.
    """
    matches = [_ENTITY_TAG.fullmatch(item.strip()) for item in field.split(",")]
    return [match[1] if match else None for match in matches]


def searchset_bundle(total: int, self_url: str, next_url: str | None, entries: Iterable[Entry]) -> bytes:
    """Return a Bundle of type searchset. `total` counts the matches on all pages."""
    return _bundle(b"searchset", total, self_url, next_url, entries)


def history_bundle(total: int | None, self_url: str, next_url: str | None, entries: Iterable[Entry]) -> bytes:
    """Return a Bundle of type history. `total` is None when counting would need a read of the whole history."""
    return _bundle(b"history", total, self_url, next_url, entries)


def match_entry(full_url: str, content: bytes) -> Entry:
    """Return an entry for a match of the search."""
    return b'{"fullUrl":"%b","resource":' % full_url.encode(), content, b',"search":{"mode":"match"}}'


def included_entry(full_url: str, content: bytes) -> Entry:
    """Return an entry for an included resource (`_include`, `_revinclude`)."""
    return b'{"fullUrl":"%b","resource":' % full_url.encode(), content, b',"search":{"mode":"include"}}'


def outcome_entry(outcome: bytes) -> Entry:
    """Return an entry for an OperationOutcome about the search. Its fullUrl is a UUID, because bdl-5 requires one."""
    name = uuid5(NAMESPACE_URL, outcome.decode())
    return b'{"fullUrl":"urn:uuid:%b","resource":' % str(name).encode(), outcome, b',"search":{"mode":"outcome"}}'


def history_entry(full_url: str, resource_type: str, shared_id: str, version: ResourceVersion) -> Entry:
    """Return an entry of a history: the interaction that made the version, and its content unless it was retracted."""
    resource = (b'"resource":', version.content, b",") if version.content is not None else ()
    method, status = ("PUT", "200") if version.content is not None else ("DELETE", "204")
    response = {"status": status}
    if version.event_id is not None:
        response["etag"] = etag(version.event_id)
    if version.broker_time:
        response["lastModified"] = version.broker_time.isoformat()
    request = orjson.dumps({"method": method, "url": f"{resource_type}/{shared_id}"})
    return (
        b'{"fullUrl":"%b",' % full_url.encode(),
        *resource,
        b'"request":%b,"response":%b}' % (request, orjson.dumps(response)),
    )


def _bundle(kind: bytes, total: int | None, self_url: str, next_url: str | None, entries: Iterable[Entry]) -> bytes:
    links = [{"relation": "self", "url": self_url}]
    if next_url:
        links.append({"relation": "next", "url": next_url})
    count = b"" if total is None else b'"total":%d,' % total
    parts = [b'{"resourceType":"Bundle","type":"%b",%b"link":%b' % (kind, count, orjson.dumps(links))]
    separator = b',"entry":['
    for entry in entries:
        parts.append(separator)
        parts += entry
        separator = b","
    # FHIR has no empty arrays.
    parts.append(b"}" if len(parts) == 1 else b"]}")
    return b"".join(parts)
