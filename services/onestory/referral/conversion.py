"""Advice becomes a referral: its end and the referral's beginning, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from uuid_utils.compat import uuid7

from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.conversion import Conversion, convert, converted_id
from onestory.referral.domain.creation import TeamNamed
from onestory.referral.domain.machine import Side
from onestory.referral.domain.referral import Referral
from onestory.referral.handler import Handler, Outcome, Request
from onestory.referral.store import messages
from onestory.shared.database import Database, Transaction
from onestory.shared.identity import Keys


class Conversions:
    """Makes referrals of advice."""

    def __init__(self, handler: Handler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._clocks = clocks
        self._keys = keys

    async def convert(
        self, request: Request, task_id: str, if_match: UUID, team: TeamNamed | None, priority: str
    ) -> Outcome:
        """The new referral, or the one that the same key made before. Without a team it goes to the one that was asked.

        Raises what `Handler.act` does.
        """
        _, seen = await self._handler.look(request.caller, task_id)
        recipient = seen.recipient
        if seen.is_open or team:
            recipient = await self._handler.recipient(team or TeamNamed(recipient.team, "", "Parameters"))
        # Whoever said more meanwhile has changed the version, so that all of it is here.
        said = await messages.ids(self._database, seen)
        made: list[Changed] = []

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            wanted, referring = Conversion(recipient, priority), replace(doing, event_id=uuid7())
            ended, begun = convert(referral, wanted, said, sides, doing, referring, self._clocks, self._keys)
            made.append(begun)
            return ended

        async def also(transaction: Transaction, _ended: Changed) -> None:
            await self._handler.add(transaction, made[0])

        outcome = await self._handler.act(request, task_id, if_match, deciding, also)
        return await self._handler.outcome(converted_id(outcome.referral, self._keys), repeated=outcome.repeated)
