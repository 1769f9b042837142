"""The bytes of a resource: what is stored, what is served, what is compared."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from onestory.shared.errors import Unprocessable
from onestory.shared.events import Entry

NOTHING = b""
"""The content digest of a retraction."""


def content_digest(entry: Entry) -> bytes:
    """SHA-256 of the content as it was published; empty for a retraction."""
    return NOTHING if entry.content is None else hashlib.sha256(entry.content).digest()


def version_meta(event_id: UUID, broker_time: datetime) -> bytes:
    """The members of `meta` that are ours (http://hl7.org/fhir/R4/resource.html#Meta), to stand at its beginning."""
    last_updated = broker_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f'"versionId":"{event_id}","lastUpdated":"{last_updated}"'.encode()


def served(entry: Entry, meta: bytes) -> bytes | None:
    """The content with versionId and lastUpdated in place; None for a retraction. Raises `Unprocessable`.

    The content must begin in the form that intake gives it, so that nothing has to be parsed here.
    """
    content = entry.content
    if content is None:
        return None
    start = b'{"resourceType":"%b","id":"%b","meta":{' % (entry.resource_type.encode(), entry.shared_id.encode())
    if not content.startswith(start) or len(content) < len(start) + 2:
        raise Unprocessable(
            'Content must begin {"resourceType":"<type>","id":"<shared id>","meta":{.', code="content-form"
        )
    at = len(start)
    comma = b"" if content[at : at + 1] == b"}" else b","
    return b"%b%b%b%b" % (start, meta, comma, content[at:])
