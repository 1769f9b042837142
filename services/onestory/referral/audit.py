"""Access events for everything that is shown of a referral: Kafka has acknowledged them before the answer leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from onestory.referral.lifecycle.handler import Outcome
from onestory.shared.audit import AuditTrail, access_event
from onestory.shared.errors import PreconditionFailed
from onestory.shared.identity import parse_shared_id
from onestory.shared.policy import Caller, Decision, Visibility

_PARTY = "referral-party"


class ReferralAudit:
    """Writes one access event for each person of whose referral something is shown."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    @asynccontextmanager
    async def record_stale(
        self, caller: Caller, task_id: str, interaction: str, correlation_id: str
    ) -> AsyncIterator[None]:
        """Records a read when the block raises `PreconditionFailed`: this answer contains the current Task."""
        try:
            yield
        except PreconditionFailed:
            await self.record_read(caller, [task_id], interaction, "Task", correlation_id)
            raise

    async def record_repeat(self, caller: Caller, outcome: Outcome, interaction: str, correlation_id: str) -> None:
        """Records a read if the request is a repetition: it changes nothing, and its answer shows the current state."""
        if outcome.repeated:
            await self.record_read(caller, [outcome.referral.referral_id], interaction, "Task", correlation_id)

    async def record_read(
        self,
        caller: Caller,
        shared_ids: Collection[str],
        interaction: str,
        resource_type: str,
        correlation_id: str,
        reason: str = _PARTY,
    ) -> None:
        """Returns once Kafka has acknowledged the events. Raises `Unavailable`: then nothing may be shown."""
        persons = {parsed.person_key for shared_id in shared_ids if (parsed := parse_shared_id(shared_id))}
        decision = Decision(Visibility.OWN, reason)
        await self._audit.record(
            *[
                access_event(person_key, caller, decision, interaction, (resource_type,), correlation_id)
                for person_key in sorted(persons)
            ]
        )
