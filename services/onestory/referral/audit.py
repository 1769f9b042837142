"""Access events for every request that names a person of a referral, also where nothing is shown.

Kafka has acknowledged them before the answer leaves. An event of a refusal is written for any person, known or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from onestory.referral.lifecycle.handler import Outcome
from onestory.shared.audit import AuditTrail, access_event
from onestory.shared.errors import Forbidden, NotFound, OneStoryError, Unavailable
from onestory.shared.identity import parse_shared_id
from onestory.shared.policy import Caller, Decision, Visibility

_PARTY = "referral-party"
_HIDDEN = Decision(Visibility.NONE, "no-relationship")


class ReferralAudit:
    """Writes one access event for each person whose referral a request names or shows."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    @asynccontextmanager
    async def record_refusal(
        self, caller: Caller, shared_id: str, interaction: str, resource_type: str, correlation_id: str
    ) -> AsyncIterator[None]:
        """Records the access when the block refuses it. A refusal for another reason than access shows the state."""
        try:
            yield
        except (NotFound, Forbidden):
            await self.record_hidden(caller, [shared_id], interaction, resource_type, correlation_id)
            raise
        except Unavailable:
            raise
        except OneStoryError:
            await self.record_read(caller, [shared_id], interaction, resource_type, correlation_id)
            raise

    async def record_outcome(self, caller: Caller, outcome: Outcome, interaction: str, correlation_id: str) -> None:
        """Records a read: the answer to a change shows the current state."""
        await self.record_read(caller, [outcome.referral.referral_id], interaction, "Task", correlation_id)

    async def record_hidden(
        self,
        caller: Caller,
        shared_ids: Collection[str],
        interaction: str,
        resource_type: str,
        correlation_id: str,
    ) -> None:
        """Returns once Kafka has acknowledged events of an access that shows nothing. Raises `Unavailable`."""
        await self._record(_person_keys(shared_ids), caller, _HIDDEN, interaction, resource_type, correlation_id)

    async def record_search(
        self, caller: Caller, person_key: str, found: Collection[object], resource_type: str, correlation_id: str
    ) -> None:
        """Records a search for what one person has, whether it found something or not. Raises `Unavailable`."""
        decision = Decision(Visibility.OWN, _PARTY) if found else _HIDDEN
        await self._record({person_key}, caller, decision, "search-type", resource_type, correlation_id)

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
        decision = Decision(Visibility.OWN, reason)
        await self._record(_person_keys(shared_ids), caller, decision, interaction, resource_type, correlation_id)

    async def _record(
        self,
        person_keys: Collection[str],
        caller: Caller,
        decision: Decision,
        interaction: str,
        resource_type: str,
        correlation_id: str,
    ) -> None:
        await self._audit.record(
            *[
                access_event(person_key, caller, decision, interaction, (resource_type,), correlation_id)
                for person_key in sorted(person_keys)
            ]
        )


def _person_keys(shared_ids: Collection[str]) -> set[str]:
    return {parsed.person_key for shared_id in shared_ids if (parsed := parse_shared_id(shared_id))}
