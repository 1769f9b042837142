"""One message: understood, done in one transaction with what the record hears of it, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import structlog
from prometheus_client import Counter

from onestory.referral.bars import message as bars_message
from onestory.referral.bars import store as bars_store
from onestory.referral.bars.booking import Bookings
from onestory.referral.bars.matching import numbers, refuse_other_sender, refuse_other_subject
from onestory.referral.bars.meaning import Meaning, meaning
from onestory.referral.bars.message import BarsMessage
from onestory.referral.bars.parse import open_message
from onestory.referral.bars.referral import BarsReferrals, Responding
from onestory.referral.bars.store import Processed
from onestory.referral.bars.work import Arrived, Done, Statements, Work
from onestory.referral.lifecycle import change_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.shared.errors import Conflict, Malformed, TimedOut, Unprocessable
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.schemas import RECORD
from onestory.shared.postgres.database import Database, Transaction

log = structlog.get_logger()

_messages = Counter("onestory_bars_messages", "BaRS messages that were processed.", ["meaning"])

Doer = Callable[[Work, Transaction, ReferralHandler], Awaitable[Done]]
Made = TypeVar("Made")
# Above this the work on one message would be felt by the others that wait for the event loop.
_LARGE_BODY = 256_000
# So many ids are made in a moment; what is carried beside more of them is looked up in the record alone.
_MOST_NAMES = 1_000
_NEW = (Meaning.REFER, Meaning.VALIDATE, Meaning.BOOK)


class Bars:
    """Processes messages."""

    def __init__(
        self,
        database: Database,
        handler: ReferralHandler,
        keys: Keys,
        codec: Codec,
        statements: Statements,
        doers: tuple[BarsReferrals, Responding, Bookings],
        limit_s: float,
    ) -> None:
        self._database = database
        self._handler = handler
        self._keys = keys
        self._codec = codec
        self._statements = statements
        self._limit_s = limit_s
        referring, responding, bookings = doers
        self._do: Mapping[Meaning, Doer] = {
            Meaning.REFER: referring.refer,
            Meaning.VALIDATE: referring.refer,
            Meaning.UPDATE: referring.update,
            Meaning.CANCEL: referring.cancel,
            Meaning.CORRECT: referring.cancel,
            Meaning.TAKEN: responding.respond,
            Meaning.DONE: responding.respond,
            Meaning.NOT_ATTENDED: responding.respond,
            Meaning.BOOK: bookings.book,
            Meaning.AMEND: bookings.amend,
            Meaning.CANCEL_BOOKING: bookings.cancel,
        }

    async def process(self, arrived: Arrived) -> tuple[Work, Done]:
        """Do what a message asks for. Raises the errors of the standard; what was refused has done nothing.

        `Unprocessable` is only said of a version that is not spoken here: everything else that is wrong is `Malformed`.
        """
        message = await _beside_if_large(arrived.body, partial(open_message, arrived.body))
        asked = meaning(message)
        refuse_other_subject(message)
        refuse_other_sender(message, arrived.caller.organisation)
        try:
            async with asyncio.timeout(self._limit_s):
                work = await self._understood(message, asked, arrived)
                done = await self._done(work)
        except Unprocessable as error:
            raise Malformed(error.issues[0].diagnostics, issues=error.issues) from error
        except TimeoutError as error:
            says = (
                "This took too long and was given up: send it again with the same X-Request-Id, to hear if it is done."
            )
            raise TimedOut(says) from error
        _messages.labels(asked).inc()
        log.info("message_processed", meaning=str(asked), referral_id=done.referral_id or None)
        return work, done

    async def _understood(self, message: BarsMessage, asked: Meaning, arrived: Arrived) -> Work:
        caller = arrived.caller
        before = await self._before(message, asked, arrived)
        names = await self._names(message, caller.organisation, before)
        again = self._stated_before(message, arrived, before, names)
        foreign = await self._foreign(message, arrived, again)
        kept = (each.index for each in message.carried if _is_kept_here(message, each.resource_type))
        names |= {message.carried[index].full_url: local_id for index, local_id in again.items()}
        making = partial(
            bars_message.as_collection, arrived.body, {*foreign, *again, *kept}, names, arrived.said.request_id
        )
        collection = await _beside_if_large(arrived.body, making)
        event = await self._statements(collection, caller, arrived.correlation_id, arrived.key, arrived.at)
        return Work(message, asked, arrived, event, before, foreign)

    async def _done(self, work: Work) -> Done:
        """Everything that a message does, or nothing."""
        message, caller, said = work.message, work.caller, work.arrived.said
        async with self._database.transaction() as transaction:
            await bars_store.claim(transaction, caller.organisation, said.request_id)
            done = await self._do[work.meaning](work, transaction, self._handler.within(transaction))
            names = bars_message.names_of([each.full_url for each in message.carried], work.event)
            processed = Processed(
                caller.organisation, work.meaning, done.person_key, done.referral_id, done.appointment_id, names
            )
            kept = [bars_store.adding(said.request_id, message.message_id, message.focus.full_url, processed)]
            stated = bars_message.to_state(work.event, {**work.foreign, **done.owned})
            if stated is not None:
                key = self._keys.person_key(stated.person).encode()
                kept.append(lifecycle_store.sending(RECORD, key, self._codec.encode(stated)))
            await change_store.write(transaction, kept)
            return done

    async def _before(self, message: BarsMessage, asked: Meaning, arrived: Arrived) -> Processed | None:
        """The message that this one is about: by the id of what it is about, by what it responds to, or by fullUrl."""
        if asked in _NEW:
            return None
        organisation, name = arrived.caller.organisation, str(message.focus.resource.get("id", ""))
        keys = {self._keys.person_key(each) for each in numbers(message)}
        if message.answers:
            return _one(message, await bars_store.answered(self._database, message.answers, keys))
        is_booking = message.focus.resource_type == "Appointment"
        if parse_shared_id(name):
            return Processed(organisation, asked, name[:26], "" if is_booking else name, name if is_booking else "", {})
        known = await bars_store.about(self._database, organisation, message.focus.full_url, keys, bookings=is_booking)
        return _one(message, known)

    async def _names(self, message: BarsMessage, organisation: str, before: Processed | None) -> dict[str, str]:
        """As what the sender has stated things of this person before. A message that does not say the person's number
        takes nothing away from who has it.
        """
        if before is None or not before.referral_id:
            return {}
        referral = await lifecycle_store.find(self._database, before.referral_id)
        if referral is None or (referral.person.is_nhs_number and referral.person not in numbers(message)):
            return {}
        return await bars_store.names(self._database, organisation, before.referral_id)

    def _stated_before(
        self, message: BarsMessage, arrived: Arrived, before: Processed | None, names: Mapping[str, str]
    ) -> dict[int, str]:
        """The local ids of entries whose ids we gave in the answer to an earlier message about the same thing.

        The record may not know them yet.
        """
        if before is None or len(names) > _MOST_NAMES:
            return {}
        caller, people = arrived.caller, [before.person_key, *map(self._keys.person_key, numbers(message))]
        ours = [each for each in message.carried if bars_message.is_ours(str(each.resource.get("id", "")))]
        given = {
            self._keys.shared_id(person_key, caller.organisation, caller.system, kind, local_id): local_id
            for kind in {each.resource_type for each in ours}
            for local_id in set(names.values())
            for person_key in set(people)
        }
        return {each.index: given[each.resource["id"]] for each in ours if each.resource["id"] in given}

    async def _foreign(self, message: BarsMessage, arrived: Arrived, again: Mapping[int, str]) -> dict[int, str]:
        """The entries that have an id which we gave to somebody else's: they are not the sender's to state."""
        carried = [each for each in message.carried if not _is_kept_here(message, each.resource_type)]
        given = {each.index: str(each.resource.get("id", "")) for each in carried if each.index not in again}
        given = {index: name for index, name in given.items() if bars_message.is_ours(name)}
        caller, shared = arrived.caller, {name for name in given.values() if parse_shared_id(name)}
        others = await bars_store.foreign(self._database, caller.organisation, caller.system, shared)
        return {index: name for index, name in given.items() if name in others or name not in shared}


async def _beside_if_large(body: bytes, work: Callable[[], Made]) -> Made:
    return await asyncio.to_thread(work) if len(body) > _LARGE_BODY else work()


def _one(message: BarsMessage, known: Sequence[Processed]) -> Processed | None:
    """The message before. Raises `Conflict` where there are several things that still stand and could be meant."""
    standing = [each for each in known if each.stands]
    if len({(each.referral_id, each.appointment_id) for each in standing}) > 1:
        raise Conflict(
            f"Several could be meant: give the {message.focus.resource_type} the id that the answer to the first gave.",
            code="conflict",
            expression=f"{message.focus.path}.id",
        )
    return next(iter(standing or known), None)


def _is_kept_here(message: BarsMessage, resource_type: str) -> bool:
    """Whether this room keeps what a message carries of this type: the record hears of it from here."""
    if message.event == "booking-request":
        return resource_type == "Appointment"
    return resource_type == "ServiceRequest"
