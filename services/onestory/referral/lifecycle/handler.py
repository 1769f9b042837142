"""Carries out one command on a referral: load, decide, write, in one transaction under the person's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from onestory.referral.appointments.bookings import with_ended_bookings
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle import change_store, creation, groups, journeys, parties, reading
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.change_store import AlsoWrite, RequestKey, with_corrected_history, write_change
from onestory.referral.lifecycle.creation import ReferralOrigin, ReferralRequest, TeamReference
from onestory.referral.lifecycle.decide import refuse_too_large, stale_version
from onestory.referral.lifecycle.model import (
    CLOCK_SUBJECT,
    Action,
    ChangeContext,
    Referral,
    ReferralChange,
    Side,
)
from onestory.referral.lifecycle.parties import referral_not_found
from onestory.referral.lifecycle.store import ReferralResource
from onestory.referral.person_news import store as person_news_store
from onestory.shared.errors import Conflict, Forbidden, NotFound
from onestory.shared.events import Actor, Party
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, JoinedDatabase, Queries, Transaction

_LOCAL_ID_NAMESPACE = UUID("6d5a1d0e-4c0b-5f5e-9d3c-2f6f0f3c7a51")


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A request for a change: its caller, its Idempotency-Key (empty: none), and the digest of its content."""

    caller: Caller
    correlation_id: str
    key: str = ""
    digest: bytes = b""

    @property
    def scoped_key(self) -> str:
        """The key together with the caller, so that no other caller can have the same one; empty: none."""
        caller = self.caller
        return "|".join((caller.organisation, caller.system, caller.subject, self.key)) if self.key else ""

    @property
    def request_key(self) -> RequestKey:
        """The key and the digest, as the history of a referral has them."""
        return RequestKey(self.scoped_key, self.digest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The current referral, its Task and its ServiceRequest.

    `repeated`: an earlier request made the change. `warnings` are for the caller, in words.
    """

    referral: Referral
    task: ReferralResource
    service_request: ReferralResource
    repeated: bool = False
    warnings: tuple[str, ...] = ()


class DecideChange(Protocol):
    """Makes the change that a caller on these sides requests. Raises the error that the caller gets."""

    def __call__(self, referral: Referral, sides: frozenset[Side], context: ChangeContext, /) -> ReferralChange:
        """See `decide`."""


class ReferralHandler:
    """Creates, changes and reads referrals."""

    def __init__(
        self, database: Database, codec: Codec, keys: Keys, clocks: Clocks, now: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._codec = codec
        self._keys = keys
        self._clocks = clocks
        self._now = now or (lambda: datetime.now(UTC))

    def in_transaction(self, transaction: Transaction) -> ReferralHandler:
        """The same handler, joined to the caller's open transaction; it never commits."""
        return ReferralHandler(JoinedDatabase(transaction), self._codec, self._keys, self._clocks, self._now)

    async def create(
        self, request: CommandRequest, referral_request: ReferralRequest, also: AlsoWrite | None = None
    ) -> Outcome:
        """The new referral, or the one that an earlier request with this key made.

        Raises `Unprocessable`, `Conflict`, `Forbidden`, `Unavailable`.
        """
        async with self._database.transaction() as transaction:
            person_key = self._keys.person_key(referral_request.person)
            await lifecycle_store.lock(transaction, person_key)
            local_id, party = _local_id(request, person_key), Party(request.caller.organisation)
            shared_id = creation.referral_id(self._keys, referral_request.person, party.organisation, local_id)
            if (earlier := await lifecycle_store.creation_digest(transaction, shared_id)) is not None:
                return await self._earlier_creation(transaction, shared_id, earlier, request)
            creation.refuse_other_requester(referral_request, party)
            team = await parties.active_team(transaction, referral_request.team)
            person = await lifecycle_store.parties_of_person(transaction, person_key)
            sides = await reading.sides_by_referral(transaction, request.caller, person, self._now())
            practice = await person_news_store.registered_practice(transaction, person_key)
            of_practice = practice == party.organisation
            continued = journeys.continued_referral(referral_request, person, sides, of_practice=of_practice)
            if continued is not None:
                referral_request, party = journeys.with_based_on(referral_request, continued), continued.party
            context = self._new_context(request, party)
            based_on = continued.referral_id if continued else ""
            origin = ReferralOrigin(party, request.caller.subject, local_id, based_on)
            recipient = Party(team.organisation, team.team_id)
            change = creation.create_referral(referral_request, recipient, origin, context, self._clocks, self._keys)
            change = journeys.with_journey_notices(change, journeys.journey_before(based_on, person), practice)
            refuse_too_large(None, change.referral)
            resources = await write_change(transaction, self._codec, change, request.request_key, also)
            warnings = journeys.unlinked_warning(change.referral, person, sides, of_practice=of_practice)
            known = journeys.known_to_team_warning(recipient, person, sides)
            return replace(_outcome_after(change, resources), warnings=(*warnings, *known))

    async def create_for_teams(self, request: CommandRequest, requests: Sequence[ReferralRequest]) -> list[Outcome]:
        """A referral for each team of one request, in one transaction. Raises what `create` raises."""
        if len(requests) == 1:
            return [await self.create(request, requests[0])]
        outcomes = []
        async with self._database.transaction() as transaction:
            handler = self.in_transaction(transaction)
            group_id = _local_id(request, self._keys.person_key(requests[0].person))
            for index, each in enumerate(groups.as_group(requests, group_id)):
                key = f"{request.key} {index}" if request.key else ""
                outcomes.append(await handler.create(replace(request, key=key), each))
        return outcomes

    async def change(
        self,
        request: CommandRequest,
        shared_id: str,
        if_match: UUID | None,
        decide: DecideChange,
        also: AlsoWrite | None = None,
    ) -> Outcome:
        """Changes the referral to which this id belongs. `if_match` is the version that the caller has; None: any.

        Raises `NotFound` (also where the caller is no party to it), `Forbidden`, `Conflict`, `PreconditionFailed`,
        `Unprocessable`, `Unavailable`.
        """
        async with self._database.transaction() as transaction:
            loaded = await _lock_and_find(transaction, shared_id)
            if loaded is None:
                raise await self._not_found(transaction, request.caller)
            referral, service_request = loaded
            # A repetition is answered before the caller is checked: a team that redirected a referral is no party to it
            # any more, and still may repeat its request.
            if request.key and (task_id := await _task_of_earlier_request(transaction, referral, request)):
                task_id = await self._task_to_answer(transaction, request.caller, referral, task_id, shared_id)
                return await _load_outcome(transaction, referral, task_id, repeated=True)
            sides = await parties.sides_of_caller(transaction, request.caller, referral, self._now())
            if if_match not in (None, referral.changed_by):
                raise stale_version(referral, (await _load_outcome(transaction, referral)).task.content)
            if shared_id not in (referral.task_id, referral.referral_id):
                raise Conflict(f"This Task has ended. The one in force is Task/{referral.task_id}.", code="conflict")
            context = self._new_context(request, Party(request.caller.organisation), referral)
            change = decide(referral, sides, context)
            if change.action == Action.CORRECT:
                change = await with_corrected_history(transaction, change, self._keys)
            change = await with_ended_bookings(transaction, referral, change, self._codec)
            if change.action in journeys.TOLD_TO_JOURNEY:
                person = await lifecycle_store.parties_of_person(transaction, referral.person_key)
                others = journeys.others_on_journey(referral.referral_id, person)
                practice = await person_news_store.registered_practice(transaction, referral.person_key)
                change = journeys.with_journey_notices(change, others, practice)
            refuse_too_large(referral, change.referral)
            resources = await write_change(transaction, self._codec, change, request.request_key, also)
            if change.action == Action.ACCEPT and referral.group_id:
                await self._end_others_of_group(transaction, change)
            return _outcome_after(change, resources, service_request)

    async def _end_others_of_group(self, transaction: Transaction, accepted: ReferralChange) -> None:
        for other in await change_store.open_of_group(transaction, accepted.referral):
            task_ids = partial(creation.task_id, self._keys)
            change = groups.end_for_acceptance(other, accepted, uuid7(), self._clocks, task_ids)
            change = await with_ended_bookings(transaction, other, change, self._codec)
            await write_change(transaction, self._codec, change, RequestKey())

    async def change_without_request(
        self,
        referral_id: str,
        decide: Callable[[Referral, ChangeContext], ReferralChange | None],
        also: AlsoWrite | None = None,
    ) -> ReferralChange | None:
        """Changes a referral though no user requests it. Returns the change; None where `decide` finds none to make."""
        async with self._database.transaction() as transaction:
            loaded = await _lock_and_find(transaction, referral_id)
            if loaded is None:
                raise referral_not_found()
            referral = loaded[0]
            at = max(self._now(), referral.changed_at)
            actor = Actor(referral.holder or referral.requester, CLOCK_SUBJECT, "")
            change = decide(referral, ChangeContext(uuid7(), actor, at, referral.correlation_id))
            if change is not None:
                await write_change(transaction, self._codec, change, RequestKey(), also)
            return change

    async def write_second_change(self, transaction: Transaction, change: ReferralChange) -> None:
        """Writes a change of another referral of the same person, in the transaction of the change that causes it."""
        await write_change(transaction, self._codec, change, RequestKey())

    async def read(self, caller: Caller, shared_id: str) -> ReferralResource:
        """The resource with this id. Raises `NotFound`, also where the caller is no party to its referral."""
        return (await self.read_with_referral(caller, shared_id))[0]

    async def read_with_referral(self, caller: Caller, shared_id: str) -> tuple[ReferralResource, Referral]:
        """The resource with this id, and the referral to which it belongs. Raises what `read` raises."""
        resource = await lifecycle_store.find_resource(self._database, shared_id)
        referral = await lifecycle_store.find(self._database, resource.referral_id if resource else shared_id)
        if resource is None or referral is None:
            raise await self._not_found(self._database, caller)
        await reading.require_reader(self._database, self._keys, caller, referral, self._now())
        return resource, referral

    async def service_requests(self, caller: Caller, person_key: str) -> list[ReferralResource]:
        """The ServiceRequests of a person's referrals that the caller reads, the last changed first."""
        return await reading.readable_requests(self._database, self._keys, caller, person_key, self._now())

    async def _not_found(self, queries: Queries, caller: Caller) -> NotFound:
        """The error for an id that does not exist, after the queries that an existing one costs a stranger."""
        await parties.roles_and_teams(queries, caller, [])
        return referral_not_found()

    async def find_recipient(self, reference: TeamReference) -> Party:
        """The team of a reference, as a party. Raises `Unprocessable` for one that takes no referrals."""
        team = await parties.active_team(self._database, reference)
        return Party(team.organisation, team.team_id)

    async def load_outcome(self, referral_id: str, *, repeated: bool = False) -> Outcome:
        """The current state of a referral that exists."""
        referral = await lifecycle_store.find(self._database, referral_id)
        assert referral is not None
        return await _load_outcome(self._database, referral, repeated=repeated)

    async def _task_to_answer(
        self, queries: Queries, caller: Caller, referral: Referral, task_id: str, requested_id: str
    ) -> str:
        """The id of the Task that answers a repeated request: `task_id`, the one of the first answer.

        A caller that is no party any more gets its own former Task, so that it learns nothing new about the referral.
        """
        try:
            await parties.sides_of_caller(queries, caller, referral, self._now())
        except (Forbidden, NotFound):
            if requested_id in (referral.task_id, referral.referral_id):
                raise
            return requested_id
        return task_id

    async def _earlier_creation(
        self, transaction: Transaction, shared_id: str, digest: bytes, request: CommandRequest
    ) -> Outcome:
        if digest != request.digest:
            raise _key_reused()
        referral = await lifecycle_store.find(transaction, shared_id)
        assert referral is not None
        return await _load_outcome(transaction, referral, repeated=True)

    def _new_context(self, request: CommandRequest, party: Party, referral: Referral | None = None) -> ChangeContext:
        """The context of a change at this moment, never earlier than the referral's last change."""
        now = self._now()
        actor = Actor(party, request.caller.subject, request.caller.role)
        if referral is None:
            return ChangeContext(uuid7(), actor, now, request.correlation_id)
        return ChangeContext(uuid7(), actor, max(now, referral.changed_at), referral.correlation_id)


def _local_id(request: CommandRequest, person_key: str) -> str:
    """The local id of a new referral: derived from the key, so that a repetition gives the same one.

    It includes the person: a key that is used again for another person makes another referral. With one local id for
    two persons, one resource would move from one person's record to the other's.
    """
    if not request.key:
        return str(uuid7())
    caller = request.caller
    return str(uuid5(_LOCAL_ID_NAMESPACE, "\0".join((caller.organisation, caller.system, request.key, person_key))))


async def _lock_and_find(transaction: Transaction, shared_id: str) -> tuple[Referral, ReferralResource] | None:
    """The referral to which an id belongs, and its ServiceRequest; None: there is none.

    Its person is locked until the transaction ends. Raises `NotFound` for an id that names no person.
    """
    parsed = parse_shared_id(shared_id)
    if parsed is None:
        raise referral_not_found()
    await lifecycle_store.lock(transaction, parsed.person_key)
    return await lifecycle_store.find_with_service_request(transaction, shared_id)


def _outcome_after(
    change: ReferralChange, resources: Sequence[ReferralResource], former_request: ReferralResource | None = None
) -> Outcome:
    """The outcome of a change. `former_request` is the ServiceRequest before it: a change may not write it again."""
    by_id = {resource.shared_id: resource for resource in [*([former_request] if former_request else []), *resources]}
    referral = change.referral
    return Outcome(referral, by_id[referral.task_id], by_id[referral.referral_id])


async def _load_outcome(
    queries: Queries, referral: Referral, shared_id: str = "", *, repeated: bool = False
) -> Outcome:
    """The current outcome, with the Task of this id; without one, with the Task in force."""
    is_task = shared_id not in ("", referral.referral_id)
    task = await lifecycle_store.find_resource(queries, shared_id if is_task else referral.task_id)
    service_request = await lifecycle_store.find_resource(queries, referral.referral_id)
    assert task is not None
    assert service_request is not None
    return Outcome(referral, task, service_request, repeated)


async def _task_of_earlier_request(queries: Queries, referral: Referral, request: CommandRequest) -> str:
    """The id of the Task in force after the earlier request with this key; empty: there was none.

    Raises `Conflict` where the earlier request had other content.
    """
    earlier = await change_store.find_by_request_key(
        queries, referral.person_key, referral.referral_id, request.scoped_key
    )
    if earlier is not None and earlier[0] != request.digest:
        raise _key_reused()
    return earlier[1] if earlier else ""


def _key_reused() -> Conflict:
    return Conflict("This Idempotency-Key was used for another request: send a new key.", code="duplicate")
