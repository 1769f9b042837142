"""One command: load, decide, save, and what Kafka is to hear of it, in one transaction under the person's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation.conversion import converted_id
from onestory.referral.lifecycle import change_store, creation, parties
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.change_store import RequestKey
from onestory.referral.lifecycle.creation import Asking, TeamNamed
from onestory.referral.lifecycle.decide import refuse_too_large, stale
from onestory.referral.lifecycle.machine import ADVICE_CONVERTED, CLOCK, Action, Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.parties import absent
from onestory.referral.lifecycle.store import ReferralResource
from onestory.referral.lifecycle.write import Also, with_all_that_was_said, write
from onestory.shared.errors import Conflict, Forbidden, NotFound
from onestory.shared.events import Actor, Party
from onestory.shared.http.caller import Caller
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.postgres.database import Database, Joined, Queries, Transaction

_KEYED = UUID("6d5a1d0e-4c0b-5f5e-9d3c-2f6f0f3c7a51")


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """Who asks for a change. `key` is an Idempotency-Key, empty where none was given; `digest` is of what is asked."""

    caller: Caller
    correlation_id: str
    key: str = ""
    digest: bytes = b""

    @property
    def scoped_key(self) -> str:
        """The key, as nobody else can have used it; empty where none was given."""
        caller = self.caller
        return "|".join((caller.organisation, caller.system, caller.subject, self.key)) if self.key else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands now: the referral, its Task and its ServiceRequest. `repeated`: it had been done before."""

    referral: Referral
    task: ReferralResource
    service_request: ReferralResource
    repeated: bool = False


class Deciding(Protocol):
    """Makes the change that somebody on these sides asks for. Raises what the caller shall be told."""

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
        """See `decide`."""


class ReferralHandler:
    """Creates and changes referrals."""

    def __init__(
        self, database: Database, codec: Codec, keys: Keys, clocks: Clocks, now: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._codec = codec
        self._keys = keys
        self._clocks = clocks
        self._now = now or (lambda: datetime.now(UTC))

    def within(self, transaction: Transaction) -> ReferralHandler:
        """The same, as part of a transaction that somebody else has begun, and ends."""
        return ReferralHandler(Joined(transaction), self._codec, self._keys, self._clocks, self._now)

    async def create(
        self, request: CommandRequest, asked: creation.ReferralRequest, also: Also | None = None
    ) -> Outcome:
        """A new referral, or the one that this key made before. Raises `Unprocessable`, `Conflict`, `Unavailable`."""
        async with self._database.transaction() as transaction:
            person_key = self._keys.person_key(asked.person)
            await lifecycle_store.lock(transaction, person_key)
            name, party = _local_id(request, person_key), Party(request.caller.organisation)
            shared_id = creation.referral_id(self._keys, asked.person, party.organisation, name)
            if (before := await lifecycle_store.digest(transaction, shared_id)) is not None:
                return await self._again(transaction, shared_id, before, request)
            creation.refuse_other_requester(asked, party)
            team = await parties.team_named(transaction, asked.team)
            doing = self._doing(request, party)
            asking = Asking(party, request.caller.subject, name)
            recipient = Party(team.organisation, team.team_id)
            changed = creation.create(asked, recipient, asking, doing, self._clocks, self._keys)
            refuse_too_large(None, changed.referral)
            written = await write(
                transaction, self._codec, changed, RequestKey(request.scoped_key, request.digest), also
            )
            return _outcome_of(changed, written)

    async def act(
        self,
        request: CommandRequest,
        shared_id: str,
        if_match: UUID | None,
        deciding: Deciding,
        also: Also | None = None,
    ) -> Outcome:
        """Change the referral to which this id belongs. `if_match` is the version that the caller knows; None: any.

        Raises `NotFound` for strangers too, `Forbidden`, `Conflict`, `PreconditionFailed`, `Unprocessable`,
        `Unavailable`.
        """
        async with self._database.transaction() as transaction:
            referral, service_request = await _locked(transaction, shared_id)
            # First of all: who has passed a referral on is no party to it any more, and may ask whether that was done.
            if request.key and (made := await _made_before(transaction, referral, request)):
                shown = await self._shown_again(transaction, request.caller, referral, made, shared_id)
                return await _outcome(transaction, referral, shown, repeated=True)
            sides = await parties.sides(transaction, request.caller, referral, self._now())
            if if_match not in (None, referral.changed_by):
                raise stale(referral, (await _outcome(transaction, referral)).task.content)
            if shared_id not in (referral.task_id, referral.referral_id):
                raise Conflict(f"This Task has ended. The one in force is Task/{referral.task_id}.", code="conflict")
            doing = self._doing(request, Party(request.caller.organisation), referral)
            changed = deciding(referral, sides, doing)
            if changed.action == Action.CORRECT:
                changed = await with_all_that_was_said(transaction, changed, self._keys)
            refuse_too_large(referral, changed.referral)
            written = await write(
                transaction, self._codec, changed, RequestKey(request.scoped_key, request.digest), also
            )
            return _outcome_of(changed, written, service_request)

    async def unasked(
        self, referral_id: str, deciding: Callable[[Referral, Doing], ReferralChange | None], also: Also | None = None
    ) -> ReferralChange | None:
        """Change a referral though nobody asks, if `deciding` finds that it has to be changed."""
        async with self._database.transaction() as transaction:
            referral, _ = await _locked(transaction, referral_id)
            at = max(self._now(), referral.changed_at)
            actor = Actor(referral.holder or referral.requester, CLOCK, "")
            changed = deciding(referral, Doing(uuid7(), actor, at, referral.correlation_id))
            if changed is not None:
                await write(transaction, self._codec, changed, RequestKey(), also)
            return changed

    async def read(self, caller: Caller, shared_id: str) -> ReferralResource:
        """What belongs to a referral under this id. Raises `NotFound`, also for who is no party to the referral."""
        return (await self.look(caller, shared_id))[0]

    async def look(self, caller: Caller, shared_id: str) -> tuple[ReferralResource, Referral]:
        """The same, and the referral to which it belongs."""
        found = await lifecycle_store.resource(self._database, shared_id)
        referral = await lifecycle_store.find(self._database, found.referral_id) if found else None
        if found is None or referral is None:
            raise absent()
        await self._let_in(caller, referral)
        return found, referral

    async def _let_in(self, caller: Caller, referral: Referral) -> None:
        """Raise unless the caller is a party to it, or to the referral that this advice became: it came along."""
        try:
            await parties.sides(self._database, caller, referral, self._now())
        except NotFound:
            if referral.business_status != ADVICE_CONVERTED:
                raise
            became = await lifecycle_store.find(self._database, converted_id(referral, self._keys))
            if became is None:
                raise
            await parties.sides(self._database, caller, became, self._now())

    async def recipient(self, named: TeamNamed) -> Party:
        """The team that is named, as a party. Raises `Unprocessable` for one that takes no referrals."""
        team = await parties.team_named(self._database, named)
        return Party(team.organisation, team.team_id)

    async def outcome(self, referral_id: str, *, repeated: bool = False) -> Outcome:
        """What stands of the referral of this id, which is there."""
        referral = await lifecycle_store.find(self._database, referral_id)
        assert referral is not None
        return await _outcome(self._database, referral, repeated=repeated)

    async def add(self, transaction: Transaction, changed: ReferralChange) -> None:
        """Write a change of another referral of the same person, in the transaction of the one that brings it about."""
        await write(transaction, self._codec, changed, RequestKey())

    async def _shown_again(
        self, queries: Queries, caller: Caller, referral: Referral, made: str, asked_for: str
    ) -> str:
        """Which Task answers a repetition: that which was answered first, and for who is no party any more its own.

        That one has ended: of one that goes on without them they hear no more by asking again.
        """
        try:
            await parties.sides(queries, caller, referral, self._now())
        except (Forbidden, NotFound):
            if asked_for in (referral.task_id, referral.referral_id):
                raise
            return asked_for
        return made

    async def _again(self, transaction: Transaction, shared_id: str, before: bytes, request: CommandRequest) -> Outcome:
        if before != request.digest:
            raise _other_content()
        referral = await lifecycle_store.find(transaction, shared_id)
        assert referral is not None
        return await _outcome(transaction, referral, repeated=True)

    def _doing(self, request: CommandRequest, party: Party, referral: Referral | None = None) -> Doing:
        """A change that happens now: never before the one before it."""
        now = self._now()
        actor = Actor(party, request.caller.subject, request.caller.role)
        if referral is None:
            return Doing(uuid7(), actor, now, request.correlation_id)
        return Doing(uuid7(), actor, max(now, referral.changed_at), referral.correlation_id)


def _local_id(request: CommandRequest, person_key: str) -> str:
    """What the referral is called. A key that is used again for another person makes another referral: one name for two
    persons would be one resource, which moves from the one's record to the other's.
    """
    if not request.key:
        return str(uuid7())
    caller = request.caller
    return str(uuid5(_KEYED, "\0".join((caller.organisation, caller.system, request.key, person_key))))


async def _locked(transaction: Transaction, shared_id: str) -> tuple[Referral, ReferralResource]:
    """The referral to which an id belongs, which nobody else changes until the transaction ends; its ServiceRequest."""
    parsed = parse_shared_id(shared_id)
    if parsed is None:
        raise absent()
    await lifecycle_store.lock(transaction, parsed.person_key)
    found = await lifecycle_store.belonging(transaction, shared_id)
    if found is None:
        raise absent()
    return found


def _outcome_of(
    changed: ReferralChange, resources: Sequence[ReferralResource], request: ReferralResource | None = None
) -> Outcome:
    """After a change. `request` is the ServiceRequest before it, which the change may have left as it was."""
    known = {each.shared_id: each for each in [*([request] if request else []), *resources]}
    referral = changed.referral
    return Outcome(referral, known[referral.task_id], known[referral.referral_id])


async def _outcome(queries: Queries, referral: Referral, shared_id: str = "", *, repeated: bool = False) -> Outcome:
    """With the Task in force, or that of this id."""
    is_task = shared_id not in ("", referral.referral_id)
    task = await lifecycle_store.resource(queries, shared_id if is_task else referral.task_id)
    service_request = await lifecycle_store.resource(queries, referral.referral_id)
    assert task is not None
    assert service_request is not None
    return Outcome(referral, task, service_request, repeated)


async def _made_before(queries: Queries, referral: Referral, request: CommandRequest) -> str:
    """The Task that this key left in force before; empty where it is new. Raises `Conflict` if it asked for another."""
    before = await change_store.asked_before(queries, referral.person_key, referral.referral_id, request.scoped_key)
    if before is not None and before[0] != request.digest:
        raise _other_content()
    return before[1] if before else ""


def _other_content() -> Conflict:
    return Conflict("This Idempotency-Key was used for something else: take a new one.", code="duplicate")
