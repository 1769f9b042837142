"""The story of a referral as FHIR: the Parameters that `$story` answers with.

The operation is `schemas/fhir/OperationDefinition-servicerequest-story.json`. Resources are carried as they were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson

from onestory.shared.fhir.instants import format_instant


@dataclass(frozen=True, slots=True)
class AsSent:
    """What the record showed when a referral was sent, and what became of its facts since.

    `at` is the moment of the record, a little after `sent_at`: when Kafka had the referral.
    """

    sent_at: datetime
    at: datetime
    document: bytes
    changed: bytes


def story_parameters(referral_id: str, now: bytes, as_sent: AsSent | None) -> bytes:
    """The Parameters as JSON bytes; `as_sent` is None for a draft. Documents and changes are resources as JSON."""
    reference = {"name": "referral", "valueReference": {"reference": f"ServiceRequest/{referral_id}"}}
    parts = [orjson.dumps(reference)]
    if as_sent is not None:
        sent = {"name": "sentAt", "valueInstant": format_instant(as_sent.sent_at)}
        moment = {"name": "asOf", "valueInstant": format_instant(as_sent.at)}
        parts += [orjson.dumps(sent), orjson.dumps(moment), _resource("asSent", as_sent.document)]
    parts.append(_resource("now", now))
    if as_sent is not None:
        parts.append(_resource("changed", as_sent.changed))
    return b'{"resourceType":"Parameters","parameter":[%b]}' % b",".join(parts)


def _resource(name: str, resource: bytes) -> bytes:
    return b'{"name":"%b","resource":%b}' % (name.encode(), resource)
