"""Sends and reads the messages of a referral, and makes a referral of advice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation import store as conversation_store
from onestory.referral.conversation.conversion import (
    Conversion,
    advice_request,
    asks_after_completion,
    convert,
    converted_id,
)
from onestory.referral.conversation.domain import ConversationMessage, decide_message
from onestory.referral.lifecycle import change_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.creation import TeamReference, message_id
from onestory.referral.lifecycle.decide import stale_version
from onestory.referral.lifecycle.handler import CommandRequest, Outcome, ReferralHandler
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange, Side, message_local_id
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Malformed
from onestory.shared.identity import Keys
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, Transaction

_PAGE_BYTES = 10_000_000
# The creation of advice is its version 1.
_FIRST_MESSAGE = 2


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of messages, in the order in which they were sent. `total` counts all; `more`: another page follows."""

    total: int
    messages: list[ReferralResource]
    more: bool


class ConversationHandler:
    """Sends and reads the messages of referrals."""

    def __init__(self, handler: ReferralHandler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._keys = keys
        self._decide_message = partial(decide_message, clocks=clocks, ids=partial(message_id, keys))

    async def send(
        self, request: CommandRequest, task_id: str, if_match: UUID, message: ConversationMessage
    ) -> tuple[ReferralResource, Outcome]:
        """The message as it was sent, and the referral after it. Raises what `ReferralHandler.change` raises.

        A question about a completed referral makes a request for advice, and is its first message.
        """
        _, known = await self._handler.read_with_referral(request.caller, task_id)
        if asks_after_completion(known, message) and task_id in (known.task_id, known.referral_id):
            return await self._ask_after_completion(request, known, if_match, message)

        def decide(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            return self._decide_message(referral, message, sides, context)

        outcome = await self._handler.change(request, task_id, if_match, decide)
        referral = outcome.referral
        version: int | None = referral.version
        if outcome.repeated:
            key = request.scoped_key
            version = await change_store.version_by_request_key(
                self._database, referral.person_key, referral.referral_id, key
            )
        assert version is not None
        shared_id = message_id(self._keys, referral, message_local_id(referral, version))
        sent = await lifecycle_store.find_resource(self._database, shared_id)
        assert sent is not None
        return sent, outcome

    async def _ask_after_completion(
        self, request: CommandRequest, referral: Referral, if_match: UUID, message: ConversationMessage
    ) -> tuple[ReferralResource, Outcome]:
        async with self._database.transaction() as transaction:
            handler = self._handler.in_transaction(transaction)
            outcome = await handler.create(request, advice_request(referral, message))
            if not outcome.repeated:
                if if_match != referral.changed_by:
                    raise stale_version(referral, (await handler.load_outcome(referral.referral_id)).task.content)

                def decide(advice: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
                    return self._decide_message(advice, message, sides - {Side.RECIPIENT} or sides, context)

                first = CommandRequest(request.caller, request.correlation_id)
                outcome = await handler.change(first, outcome.referral.task_id, None, decide)
            shared_id = message_id(self._keys, outcome.referral, message_local_id(outcome.referral, _FIRST_MESSAGE))
            sent = await lifecycle_store.find_resource(transaction, shared_id)
            assert sent is not None
            return sent, outcome

    async def page(self, caller: Caller, task_id: str, after: str, limit: int) -> MessagePage:
        """The messages after the one with the id `after`; empty: from the first.

        Raises `NotFound`, also where the caller is no party to the referral; `Malformed` where `after` is no message of
        this referral.
        """
        _, referral = await self._handler.read_with_referral(caller, task_id)
        async with self._database.snapshot() as queries:
            if after and not await conversation_store.has(queries, referral, after):
                raise Malformed(
                    "_cursor does not belong to these messages: send it as it is in a next link.", code="value"
                )
            total = await conversation_store.count(queries, referral)
            messages = await conversation_store.page(queries, referral, after, limit, _PAGE_BYTES)
            last_id = messages[-1].shared_id if messages else ""
            more = bool(last_id) and bool(await conversation_store.page(queries, referral, last_id, 1, 0))
        return MessagePage(total, messages, more)


class ConversionHandler:
    """Makes a referral of advice: the end of the advice and the new referral are written in one transaction."""

    def __init__(self, handler: ReferralHandler, database: Database, clocks: Clocks, keys: Keys) -> None:
        self._handler = handler
        self._database = database
        self._clocks = clocks
        self._keys = keys

    async def convert(
        self, request: CommandRequest, task_id: str, if_match: UUID, team: TeamReference | None, priority: str
    ) -> Outcome:
        """The new referral, or the one that an earlier request with this key made.

        Without `team` it goes to the team that was asked for advice. Raises what `ReferralHandler.change` raises.
        """
        _, advice = await self._handler.read_with_referral(request.caller, task_id)
        recipient = advice.recipient
        if advice.is_open or team:
            recipient = await self._handler.find_recipient(team or TeamReference(recipient.team, "", "Parameters"))
        # These are all messages: a later one changes the version, so that If-Match refuses this request.
        message_ids = await conversation_store.ids(self._database, advice)
        creations: list[ReferralChange] = []

        def decide(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            conversion, creation_context = Conversion(recipient, priority), replace(context, event_id=uuid7())
            ended, creation = convert(
                referral, conversion, message_ids, sides, context, creation_context, self._clocks, self._keys
            )
            creations.append(creation)
            return ended

        async def write_creation(transaction: Transaction, _ended: ReferralChange) -> None:
            await self._handler.write_second_change(transaction, creations[0])

        outcome = await self._handler.change(request, task_id, if_match, decide, write_creation)
        return await self._handler.load_outcome(converted_id(outcome.referral, self._keys), repeated=outcome.repeated)
