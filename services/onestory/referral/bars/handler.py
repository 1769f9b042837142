"""Processes one BaRS message: reads it, and carries it out in one transaction with the event for the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.referral.bars import message as bars_message
from onestory.referral.bars import store as bars_store
from onestory.referral.bars.booking import BookingMessages
from onestory.referral.bars.deletion import retraction, stated_by
from onestory.referral.bars.matching import (
    nhs_numbers,
    receiver_organisations,
    refuse_other_sender,
    refuse_other_subject,
)
from onestory.referral.bars.meaning import Meaning, read_meaning
from onestory.referral.bars.message import BarsMessage, MessageEntry
from onestory.referral.bars.referral import RequestMessages, ResponseMessages
from onestory.referral.bars.repair import ParsedMessage, parse_repaired
from onestory.referral.bars.store import ProcessedMessage
from onestory.referral.bars.work import BuildRecordEvent, IncomingMessage, MessageResult, MessageWork
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.shared.errors import Conflict, Malformed, TimedOut, Unprocessable
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.size import refuse_too_many_values
from onestory.shared.http.bodies import worker_key
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.schemas import RECORD_TOPIC
from onestory.shared.postgres.database import Database, Transaction
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.worker_processes import LARGE_BODY, WorkerProcesses

log = structlog.get_logger()

_messages = Counter("onestory_bars_messages", "BaRS messages that were processed.", ["meaning"])

CarryOut = Callable[[MessageWork, Transaction, ReferralHandler], Awaitable[MessageResult]]
# This number of ids is computed in a moment. Where there are more, only the record knows earlier ids.
_MAX_NAMES = 1_000
_NEW_MEANINGS = (Meaning.REFER, Meaning.VALIDATE, Meaning.BOOK)


class BarsHandler:
    """Processes messages. Each is carried out at most once, by its X-Request-Id."""

    def __init__(
        self,
        database: Database,
        handler: ReferralHandler,
        keys: Keys,
        codec: Codec,
        build_event: BuildRecordEvent,
        messages: tuple[RequestMessages, ResponseMessages, BookingMessages],
        limit_s: float,
        workers: WorkerProcesses,
        max_values: int,
    ) -> None:
        self._database = database
        self._handler = handler
        self._keys = keys
        self._codec = codec
        self._build_event = build_event
        self._limit_s = limit_s
        self._workers = workers
        self._max_values = max_values
        requests, responses, bookings = messages
        self._by_meaning: Mapping[Meaning, CarryOut] = {
            Meaning.REFER: requests.refer,
            Meaning.VALIDATE: requests.refer,
            Meaning.UPDATE: requests.update,
            Meaning.CANCEL: requests.cancel,
            Meaning.CORRECT: requests.cancel,
            Meaning.TAKEN: responses.respond,
            Meaning.DONE: responses.respond,
            Meaning.REJECTED: responses.respond,
            Meaning.NOT_ATTENDED: responses.respond,
            Meaning.BOOK: bookings.book,
            Meaning.AMEND: bookings.amend,
            Meaning.CANCEL_BOOKING: bookings.cancel,
        }

    async def process(self, incoming: IncomingMessage) -> tuple[MessageWork, MessageResult]:
        """Carry out a message. A message that raises an error has changed nothing.

        Raises the errors of the standard: `Unprocessable` only for an unsupported version, `Malformed` for everything
        else that is wrong with the message, `TimedOut` after the time limit.
        """
        message, body, warnings = await self._parse(incoming)
        incoming = replace(incoming, body=body)
        meaning = read_meaning(message)
        refuse_other_subject(message)
        refuse_other_sender(message, incoming.caller.organisation)
        try:
            async with asyncio.timeout(self._limit_s):
                work = replace(await self._prepare(message, meaning, incoming), warnings=warnings)
                result = await self._carry_out(work)
        except Unprocessable as error:
            raise Malformed(error.issues[0].diagnostics, issues=error.issues) from error
        except TimeoutError as error:
            text = "This took too long and was stopped: send it again with the same X-Request-Id to learn its result."
            raise TimedOut(text) from error
        _messages.labels(meaning).inc()
        log.info("message_processed", meaning=str(meaning), referral_id=result.referral_id or None)
        return work, result

    async def _parse(self, incoming: IncomingMessage) -> ParsedMessage:
        if len(incoming.body) <= LARGE_BODY:
            return parse_repaired(incoming.body)
        return await self._workers.run(worker_key(incoming.caller), _parse_large, incoming.body, self._max_values)

    async def _prepare(self, message: BarsMessage, meaning: Meaning, incoming: IncomingMessage) -> MessageWork:
        """Find the earlier message, give every entry its id, and build the event for the record."""
        caller, request_id = incoming.caller, incoming.headers.request_id
        earlier = await self._earlier(message, meaning, incoming)
        local_ids = await self._earlier_local_ids(message, caller.organisation, earlier)
        known = self._known_local_ids(message, incoming, earlier, local_ids)
        foreign_ids = await self._foreign_ids(message, incoming, known)
        owned = (entry.index for entry in message.entries if _is_owned_by_referral(message, entry.resource_type))
        local_ids |= {message.entries[index].full_url: local_id for index, local_id in known.items()}
        to_collection = partial(
            bars_message.to_collection,
            incoming.body,
            message.entries,
            {*foreign_ids, *known, *owned},
            local_ids,
            request_id,
        )
        collection = await run_in_thread_if(len(incoming.body) > LARGE_BODY, to_collection)
        event = await self._build_event(
            collection, caller, incoming.correlation_id, incoming.idempotency_key, incoming.at
        )
        return MessageWork(message, meaning, incoming, event, earlier, foreign_ids)

    async def _carry_out(self, work: MessageWork) -> MessageResult:
        """Do everything that the message asks for in one transaction."""
        message, caller, request_id = work.message, work.caller, work.incoming.headers.request_id
        async with self._database.transaction() as transaction:
            await bars_store.begin_processing(transaction, caller.organisation, request_id)
            carry_out = self._by_meaning[work.meaning]
            result = await carry_out(work, transaction, self._handler.in_transaction(transaction))
            local_ids = bars_message.local_ids_by_url([entry.full_url for entry in message.entries], work.event)
            processed = ProcessedMessage(
                caller.organisation,
                work.meaning,
                result.person_key,
                result.referral_id,
                result.appointment_id,
                local_ids,
            )
            event = bars_message.record_event(work.event, {**work.foreign_ids, **result.owned_ids})
            if work.is_mistake:
                event = await self._retraction(transaction, work, result)
            stated = [] if work.is_mistake else stated_by(message, event, request_id)
            focus_url = message.focus.full_url
            statements = [bars_store.insert_message(request_id, message.message_id, focus_url, processed, stated)]
            if event is not None:
                key = self._keys.person_key(event.person).encode()
                statements.append(lifecycle_store.insert_outbox(event_message(RECORD_TOPIC, key, event, self._codec)))
            await lifecycle_store.execute_together(transaction, statements)
            return result

    async def _retraction(
        self, transaction: Transaction, work: MessageWork, result: MessageResult
    ) -> RecordChanged | None:
        """The event that retracts what the mistaken messages stated about their person; None where they stated nothing.

        A resource of another source, or one whose id the sender uses elsewhere, is not retracted.
        """
        organisation, key = work.caller.organisation, result.person_key
        stated = await bars_store.stated_resources(transaction, organisation, result.referral_id, result.appointment_id)
        referral = await lifecycle_store.find(transaction, result.referral_id) if result.referral_id else None
        person = referral.person if referral else work.event.person
        own = [each for each in stated if each.shared_id.startswith(key)]
        return retraction(work.event, uuid7(), person, own, work.incoming.at) if own else None

    async def _earlier(
        self, message: BarsMessage, meaning: Meaning, incoming: IncomingMessage
    ) -> ProcessedMessage | None:
        """The message that this one is about: by the id that it responds to, or the id or fullUrl of its focus."""
        if meaning in _NEW_MEANINGS:
            return None
        organisation, shared_id = incoming.caller.organisation, str(message.focus.resource.get("id", ""))
        person_keys = {self._keys.person_key(number) for number in nhs_numbers(message)}
        if message.responds_to:
            candidates = await bars_store.referral_messages(
                self._database, message.responds_to, organisation, person_keys
            )
            return _single(message, of_one_sender(message, candidates))
        is_booking = message.focus.resource_type == "Appointment"
        if parse_shared_id(shared_id):
            referral_id, appointment_id = ("", shared_id) if is_booking else (shared_id, "")
            return ProcessedMessage(organisation, meaning, shared_id[:26], referral_id, appointment_id, {})
        candidates = await bars_store.messages_about(
            self._database, organisation, message.focus.full_url, person_keys, bookings=is_booking
        )
        return _single(message, candidates)

    async def _earlier_local_ids(
        self, message: BarsMessage, organisation: str, earlier: ProcessedMessage | None
    ) -> dict[str, str]:
        """By fullUrl, the local ids that the sender's earlier messages about the same referral stated.

        Empty where the referral's person has an NHS number and the message does not state it, so that such a message
        cannot change resources of that person.
        """
        if earlier is None or not earlier.referral_id:
            return {}
        referral = await lifecycle_store.find(self._database, earlier.referral_id)
        if referral is None or (referral.person.is_nhs_number and referral.person not in nhs_numbers(message)):
            return {}
        return await bars_store.stated_ids(self._database, organisation, earlier.referral_id)

    def _known_local_ids(
        self,
        message: BarsMessage,
        incoming: IncomingMessage,
        earlier: ProcessedMessage | None,
        local_ids: Mapping[str, str],
    ) -> dict[int, str]:
        """By index, the local ids of entries that have a shared id from the answer to an earlier message.

        They are computed, because the record may not have the earlier message yet.
        """
        if earlier is None or len(local_ids) > _MAX_NAMES:
            return {}
        caller, numbers = incoming.caller, nhs_numbers(message)
        person_keys = {earlier.person_key, *map(self._keys.person_key, numbers)}
        entries = [entry for entry in message.entries if bars_message.is_onestory_id(_id(entry))]
        given = {
            self._keys.shared_id(person_key, caller.organisation, caller.system, kind, local_id): local_id
            for kind in {entry.resource_type for entry in entries}
            for local_id in set(local_ids.values())
            for person_key in person_keys
        }
        return {entry.index: given[_id(entry)] for entry in entries if _id(entry) in given}

    async def _foreign_ids(
        self, message: BarsMessage, incoming: IncomingMessage, known: Mapping[int, str]
    ) -> dict[int, str]:
        """By index, the ids of entries that another source has stated: the sender must not state them."""
        entries = [entry for entry in message.entries if not _is_owned_by_referral(message, entry.resource_type)]
        given = {entry.index: _id(entry) for entry in entries if entry.index not in known}
        given = {index: name for index, name in given.items() if bars_message.is_onestory_id(name)}
        caller, shared_ids = incoming.caller, {name for name in given.values() if parse_shared_id(name)}
        others = await bars_store.foreign_ids(self._database, caller.organisation, caller.system, shared_ids)
        return {index: name for index, name in given.items() if name in others or name not in shared_ids}


def _parse_large(body: bytes, max_values: int) -> ParsedMessage:
    refuse_too_many_values(body, max_values)
    return parse_repaired(body)


def _id(entry: MessageEntry) -> str:
    return str(entry.resource.get("id", ""))


def of_one_sender(message: BarsMessage, candidates: Sequence[ProcessedMessage]) -> Sequence[ProcessedMessage]:
    """The messages of one organisation, of those that a response could answer. `candidates` have the latest first.

    Another organisation may have sent a message with the same Bundle.id, by chance or on purpose. It must not keep a
    team from its response. The response names its request: by the id of the ServiceRequest, or by the organisation that
    it goes to. Otherwise the first message with this Bundle.id counts: a copy always comes later.
    """
    organisations = list(dict.fromkeys(earlier.organisation for earlier in reversed(candidates)))
    if len(organisations) < 2:
        return candidates
    request_id = _id(message.request) if message.request else ""
    if named := [earlier for earlier in candidates if earlier.referral_id == request_id]:
        return named
    receivers = receiver_organisations(message)
    chosen = next((each for each in organisations if each in receivers), organisations[0])
    return [earlier for earlier in candidates if earlier.organisation == chosen]


def _single(message: BarsMessage, candidates: Sequence[ProcessedMessage]) -> ProcessedMessage | None:
    """The earlier message. Raises `Conflict` where it could be about several referrals or bookings that are current."""
    current = [earlier for earlier in candidates if earlier.is_current]
    if len({(earlier.referral_id, earlier.appointment_id) for earlier in current}) > 1:
        raise Conflict(
            f"Several could be meant: send the {message.focus.resource_type} with the id from the first answer.",
            code="conflict",
            expression=f"{message.focus.path}.id",
        )
    return next(iter(current or candidates), None)


def _is_owned_by_referral(message: BarsMessage, resource_type: str) -> bool:
    """Return whether the referral service owns this resource, and sends it to the record itself."""
    if message.event == "booking-request":
        return resource_type == "Appointment"
    return resource_type == "ServiceRequest"
