"""What is said of a referral: sent, and read again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation import store as conversation_store
from onestory.referral.conversation.conversion import Conversion, convert, converted_id
from onestory.referral.conversation.domain import ConversationMessage, say
from onestory.referral.lifecycle import change_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.creation import TeamNamed, message_id
from onestory.referral.lifecycle.handler import CommandRequest, Outcome, ReferralHandler
from onestory.referral.lifecycle.machine import Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import ReferralResource
from onestory.referral.lifecycle.write import message_local_id
from onestory.shared.errors import Malformed
from onestory.shared.http.caller import Caller
from onestory.shared.identity import Keys
from onestory.shared.postgres.database import Database, Transaction

_PAGE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Some messages of a referral, in order. `total` counts all; `more`: others follow."""

    total: int
    messages: list[ReferralResource]
    more: bool


class Conversation:
    """Sends and reads the messages of referrals."""

    def __init__(self, handler: ReferralHandler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._keys = keys
        self._say = partial(say, clocks=clocks, ids=partial(message_id, keys))

    async def send(
        self, request: CommandRequest, task_id: str, if_match: UUID, message: ConversationMessage
    ) -> tuple[ReferralResource, Outcome]:
        """The message as it was sent, and the referral as it is then. Raises what `Handler.act` does."""

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
            return self._say(referral, message, sides, doing)

        outcome = await self._handler.act(request, task_id, if_match, deciding)
        referral = outcome.referral
        version: int | None = referral.version
        if outcome.repeated:
            key = request.scoped_key
            version = await change_store.version_of(self._database, referral.person_key, referral.referral_id, key)
        assert version is not None
        shared_id = message_id(self._keys, referral, message_local_id(referral, version))
        sent = await lifecycle_store.resource(self._database, shared_id)
        assert sent is not None
        return sent, outcome

    async def page(self, caller: Caller, task_id: str, after: str, most: int) -> MessagePage:
        """The messages after the one of this id; from the first where it is empty.

        Raises `NotFound`, also for who is no party to the referral, and `Malformed` for an id of no message of it.
        """
        _, referral = await self._handler.look(caller, task_id)
        async with self._database.snapshot() as queries:
            if after and not await conversation_store.has(queries, referral, after):
                raise Malformed("_cursor is not from a next link of these messages.", code="value")
            total = await conversation_store.count(queries, referral)
            found = await conversation_store.page(queries, referral, after, most, _PAGE_BYTES)
            more = bool(found) and bool(await conversation_store.page(queries, referral, found[-1].shared_id, 1, 0))
        return MessagePage(total, found, more)


# Advice becomes a referral: its end and the referral's beginning, in one transaction.


class Conversions:
    """Makes referrals of advice."""

    def __init__(self, handler: ReferralHandler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._clocks = clocks
        self._keys = keys

    async def convert(
        self, request: CommandRequest, task_id: str, if_match: UUID, team: TeamNamed | None, priority: str
    ) -> Outcome:
        """The new referral, or the one that the same key made before. Without a team it goes to the one that was asked.

        Raises what `Handler.act` does.
        """
        _, seen = await self._handler.look(request.caller, task_id)
        recipient = seen.recipient
        if seen.is_open or team:
            recipient = await self._handler.recipient(team or TeamNamed(recipient.team, "", "Parameters"))
        # Whoever said more meanwhile has changed the version, so that all of it is here.
        said = await conversation_store.ids(self._database, seen)
        made: list[ReferralChange] = []

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
            wanted, referring = Conversion(recipient, priority), replace(doing, event_id=uuid7())
            ended, begun = convert(referral, wanted, said, sides, doing, referring, self._clocks, self._keys)
            made.append(begun)
            return ended

        async def also(transaction: Transaction, _ended: ReferralChange) -> None:
            await self._handler.add(transaction, made[0])

        outcome = await self._handler.act(request, task_id, if_match, deciding, also)
        return await self._handler.outcome(converted_id(outcome.referral, self._keys), repeated=outcome.repeated)
