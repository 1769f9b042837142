"""Patient links as they arrive: kept, reviewed, and looked at for cycles (design section 5)."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
import structlog

from onestory.record.domain.prepare import Prepared
from onestory.record.gauges import Gauges
from onestory.record.parking import Refused
from onestory.record.store import links
from onestory.shared.errors import Unprocessable
from onestory.shared.link import PROVISIONAL

log = structlog.get_logger()

_CYCLE = "A Patient.link closes a cycle of superseded numbers, so it is not followed."


def project_links(transaction: psycopg.Connection, new: Collection[Prepared], gauges: Gauges) -> list[Refused]:
    """Keep the links of new events; those that close a cycle, to be parked as a notice.

    Their statements stay in the record, and readers follow no link of a cycle. These are the last locks of a batch, but
    for those of `states`.
    """
    for event in new:
        if event.for_review:
            gauges.review_tasks.inc()
            log.info(
                "patient_link_for_review",
                event_id=str(event.name.event_id),
                organisation=event.event.source.organisation,
            )
    links.add(transaction, [link for event in new for link in event.links])
    closing = [event for event in new if _closes_a_cycle(transaction, event)]
    cycle = Unprocessable(_CYCLE, code="alias-cycle")
    return [Refused(event.arrival, cycle) for event in closing]


def _closes_a_cycle(transaction: psycopg.Connection, event: Prepared) -> bool:
    return any(link.kind != PROVISIONAL and links.in_cycle(transaction, link) for link in event.links)
