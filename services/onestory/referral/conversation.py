"""What is said of a referral: sent, and read again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.conversation import say
from onestory.referral.domain.creation import message_id
from onestory.referral.domain.machine import Side
from onestory.referral.domain.message import Message
from onestory.referral.domain.mistake import message_local_id
from onestory.referral.domain.referral import Referral
from onestory.referral.handler import Handler, Outcome, Request
from onestory.referral.store import changes, messages, referrals
from onestory.referral.store.referrals import Resource
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import Malformed
from onestory.shared.identity import Keys

_PAGE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages of a referral, in order. `total` counts all; `more`: others follow."""

    total: int
    messages: list[Resource]
    more: bool


class Conversation:
    """Sends and reads the messages of referrals."""

    def __init__(self, handler: Handler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._keys = keys
        self._say = partial(say, clocks=clocks, ids=partial(message_id, keys))

    async def send(self, request: Request, task_id: str, if_match: UUID, message: Message) -> tuple[Resource, Outcome]:
        """The message as it was sent, and the referral as it is then. Raises what `Handler.act` does."""

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            return self._say(referral, message, sides, doing)

        outcome = await self._handler.act(request, task_id, if_match, deciding)
        referral = outcome.referral
        version: int | None = referral.version
        if outcome.repeated:
            key = request.scoped_key
            version = await changes.version_of(self._database, referral.person_key, referral.referral_id, key)
        assert version is not None
        shared_id = message_id(self._keys, referral, message_local_id(referral, version))
        sent = await referrals.resource(self._database, shared_id)
        assert sent is not None
        return sent, outcome

    async def page(self, caller: Caller, task_id: str, after: str, most: int) -> Page:
        """The messages after the one of this id; from the first where it is empty.

        Raises `NotFound`, also for who is no party to the referral, and `Malformed` for an id of no message of it.
        """
        _, referral = await self._handler.look(caller, task_id)
        async with self._database.snapshot() as queries:
            if after and not await messages.has(queries, referral, after):
                raise Malformed("_cursor is not from a next link of these messages.", code="value")
            total = await messages.count(queries, referral)
            found = await messages.page(queries, referral, after, most, _PAGE_BYTES)
            more = bool(found) and bool(await messages.page(queries, referral, found[-1].shared_id, 1, 0))
        return Page(total, found, more)
