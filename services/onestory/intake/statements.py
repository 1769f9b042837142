"""What a submission of one person states, for another room that publishes it together with what it does itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from uuid_utils.compat import uuid7

from onestory.intake.domain.judgement import overwriting, refuse_overwritten
from onestory.intake.domain.opening import Opened, open_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.reception import Arrival, receive
from onestory.intake.domain.submission import Door, Known, Prepared, Said, Submission
from onestory.intake.handler import LARGE_BODY
from onestory.intake.store import judgements, known_resources
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.events import RecordChanged


class Statements:
    """Judges a submission as the door does, and publishes nothing."""

    def __init__(self, door: Door, record: Database) -> None:
        self._door = door
        self._record = record

    async def __call__(
        self, body: bytes, caller: Caller, correlation_id: str, key: str, received_at: datetime
    ) -> RecordChanged:
        """The event that a collection of one person is, with an entry for each of its own, in their order.

        Raises what the door refuses with. `key` is an idempotency key.
        """
        arrival = Arrival(
            door=self._door,
            organisation=caller.organisation,
            system=caller.system,
            received_at=received_at,
            submission_id=uuid7(),
            correlation_id=correlation_id,
            idempotency_key=key,
            role=caller.role,
        )
        opened = open_submission(Submission("POST", body), self._door.base_url)
        known = await known_resources(self._record, opened.own_ids())
        if len(body) > LARGE_BODY:
            prepared = await asyncio.to_thread(_prepared, opened, arrival, known)
        else:
            prepared = _prepared(opened, arrival, known)
        (event,) = prepared.events
        assert isinstance(event, RecordChanged)
        refuse_overwritten(await judgements(self._record, overwriting(event.entries, caller.role)))
        return event


def _prepared(opened: Opened, arrival: Arrival, known: Mapping[str, Known]) -> Prepared:
    return prepare(opened, receive(arrival, Said(), opened.said()), known, uuid7)
