"""One command: load, decide, save, and what Kafka is to hear of it, in one transaction under the person's lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

import orjson
import structlog
from prometheus_client import Counter
from uuid_utils.compat import uuid7

from onestory.referral.domain import creation, mistake
from onestory.referral.domain.advice import ADVICE_CONVERTED
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import CLOCK, Changed, Doing
from onestory.referral.domain.conversion import converted_id
from onestory.referral.domain.creation import Asking, TeamNamed
from onestory.referral.domain.directory import Team
from onestory.referral.domain.event import content, event
from onestory.referral.domain.machine import Action, Side
from onestory.referral.domain.referral import Referral
from onestory.referral.domain.size import refuse_too_large
from onestory.referral.domain.stale import stale
from onestory.referral.domain.standing import refusal
from onestory.referral.store import at_once, changes, directory, messages, persons, referrals, told
from onestory.referral.store.changes import Asked
from onestory.referral.store.referrals import Resource
from onestory.shared.caller import Caller
from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import REFERRAL
from onestory.shared.database import Database, Joined, Queries, Transaction
from onestory.shared.errors import Conflict, Forbidden, NotFound, Unprocessable
from onestory.shared.events import Actor, Party
from onestory.shared.identity import Keys, parse_shared_id

# Whoever has it next has not heard yet of what became of the person.
_COMES_TO_SOMEBODY = frozenset({"draft", Action.REQUEST, Action.REDIRECT})
_KEYED = UUID("6d5a1d0e-4c0b-5f5e-9d3c-2f6f0f3c7a51")

log = structlog.get_logger()

_changes = Counter("onestory_referral_changes", "Changes of referrals.", ["action"])


@dataclass(frozen=True, slots=True)
class Request:
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
    task: Resource
    service_request: Resource
    repeated: bool = False


class Deciding(Protocol):
    """Makes the change that somebody on these sides asks for. Raises what the caller shall be told."""

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
        """See `decide`."""


Also = Callable[[Transaction, Changed], Awaitable[None]]
"""What else is to be written in the same transaction."""


class Handler:
    """Creates and changes referrals."""

    def __init__(
        self, database: Database, codec: Codec, keys: Keys, clocks: Clocks, now: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._codec = codec
        self._keys = keys
        self._clocks = clocks
        self._now = now or (lambda: datetime.now(UTC))

    def within(self, transaction: Transaction) -> Handler:
        """The same, as part of a transaction that somebody else has begun, and ends."""
        return Handler(Joined(transaction), self._codec, self._keys, self._clocks, self._now)

    async def create(self, request: Request, asked: creation.Asked, also: Also | None = None) -> Outcome:
        """A new referral, or the one that this key made before. Raises `Unprocessable`, `Conflict`, `Unavailable`."""
        async with self._database.transaction() as transaction:
            person_key = self._keys.person_key(asked.person)
            await referrals.lock(transaction, person_key)
            name, party = _local_id(request, person_key), Party(request.caller.organisation)
            shared_id = creation.referral_id(self._keys, asked.person, party.organisation, name)
            if (before := await referrals.digest(transaction, shared_id)) is not None:
                return await self._again(transaction, shared_id, before, request)
            creation.refuse_other_requester(asked, party)
            team = await self._team(transaction, asked.team)
            doing = self._doing(request, party)
            asking = Asking(party, request.caller.subject, name)
            recipient = Party(team.organisation, team.team_id)
            changed = creation.create(asked, recipient, asking, doing, self._clocks, self._keys)
            refuse_too_large(None, changed.referral)
            written = await self._write(transaction, changed, Asked(request.scoped_key, request.digest), also)
            return _outcome_of(changed, written)

    async def act(
        self, request: Request, shared_id: str, if_match: UUID | None, deciding: Deciding, also: Also | None = None
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
            sides = await self.sides(transaction, request.caller, referral)
            if if_match not in (None, referral.changed_by):
                raise stale(referral, (await _outcome(transaction, referral)).task.content)
            if shared_id not in (referral.task_id, referral.referral_id):
                raise Conflict(f"This Task has ended. The one in force is Task/{referral.task_id}.", code="conflict")
            doing = self._doing(request, Party(request.caller.organisation), referral)
            changed = deciding(referral, sides, doing)
            if changed.action == Action.CORRECT:
                changed = await self._with_all_that_was_said(transaction, changed)
            refuse_too_large(referral, changed.referral)
            written = await self._write(transaction, changed, Asked(request.scoped_key, request.digest), also)
            return _outcome_of(changed, written, service_request)

    async def unasked(
        self, referral_id: str, deciding: Callable[[Referral, Doing], Changed | None], also: Also | None = None
    ) -> Changed | None:
        """Change a referral though nobody asks, if `deciding` finds that it has to be changed."""
        async with self._database.transaction() as transaction:
            referral, _ = await _locked(transaction, referral_id)
            at = max(self._now(), referral.changed_at)
            actor = Actor(referral.holder or referral.requester, CLOCK, "")
            changed = deciding(referral, Doing(uuid7(), actor, at, referral.correlation_id))
            if changed is not None:
                await self._write(transaction, changed, Asked(), also)
            return changed

    async def read(self, caller: Caller, shared_id: str) -> Resource:
        """What belongs to a referral under this id. Raises `NotFound`, also for who is no party to the referral."""
        return (await self.look(caller, shared_id))[0]

    async def look(self, caller: Caller, shared_id: str) -> tuple[Resource, Referral]:
        """The same, and the referral to which it belongs."""
        found = await referrals.resource(self._database, shared_id)
        referral = await referrals.find(self._database, found.referral_id) if found else None
        if found is None or referral is None:
            raise _absent()
        await self._let_in(caller, referral)
        return found, referral

    async def _let_in(self, caller: Caller, referral: Referral) -> None:
        """Raise unless the caller is a party to it, or to the referral that this advice became: it came along."""
        try:
            await self.sides(self._database, caller, referral)
        except NotFound:
            if referral.business_status != ADVICE_CONVERTED:
                raise
            became = await referrals.find(self._database, converted_id(referral, self._keys))
            if became is None:
                raise
            await self.sides(self._database, caller, became)

    async def recipient(self, named: TeamNamed) -> Party:
        """The team that is named, as a party. Raises `Unprocessable` for one that takes no referrals."""
        team = await self._team(self._database, named)
        return Party(team.organisation, team.team_id)

    async def outcome(self, referral_id: str, *, repeated: bool = False) -> Outcome:
        """What stands of the referral of this id, which is there."""
        referral = await referrals.find(self._database, referral_id)
        assert referral is not None
        return await _outcome(self._database, referral, repeated=repeated)

    async def add(self, transaction: Transaction, changed: Changed) -> None:
        """Write a change of another referral of the same person, in the transaction of the one that brings it about."""
        await self._write(transaction, changed, Asked(), None)

    async def sides(self, queries: Queries, caller: Caller, referral: Referral) -> frozenset[Side]:
        """On which sides a caller stands. Raises `NotFound` for strangers, `Forbidden` for a role not in force."""
        roles = await directory.roles_of(queries, caller.subject)
        team = await directory.team(queries, referral.recipient.team)
        passed_on = await directory.team(queries, referral.sender.team) if referral.sender.team else None
        parties = {Side.SENDER: (referral.sender, passed_on), Side.REQUESTER: (referral.requester, None)}
        if referral.sent_at is not None:
            # Whom nobody has asked yet knows of no draft.
            parties = {Side.RECIPIENT: (referral.recipient, team), **parties}
        why_not = {side: refusal(caller, party, team, roles, self._now()) for side, (party, team) in parties.items()}
        found = frozenset(side for side, because in why_not.items() if because is None)
        if not found:
            known = {role.team_id for role in roles}
            near = [side for side, (party, _) in parties.items() if _is_near(caller, party, known)]
            raise Forbidden(str(why_not[near[0]])) if near else _absent()
        return found

    async def _shown_again(
        self, queries: Queries, caller: Caller, referral: Referral, made: str, asked_for: str
    ) -> str:
        """Which Task answers a repetition: that which was answered first, and for who is no party any more its own.

        That one has ended: of one that goes on without them they hear no more by asking again.
        """
        try:
            await self.sides(queries, caller, referral)
        except (Forbidden, NotFound):
            if asked_for in (referral.task_id, referral.referral_id):
                raise
            return asked_for
        return made

    async def _team(self, queries: Queries, named: TeamNamed) -> Team:
        teams = (
            await directory.team_by_dos_id(queries, named.dos_id)
            if named.dos_id
            else [team]
            if (team := await directory.team(queries, named.team_id))
            else []
        )
        if not teams:
            says = "The directory has no such team: check the id, or publish the HealthcareService first."
            raise Unprocessable(says, code="not-found", expression=named.path)
        active = [team for team in teams if team.active]
        if len(active) != 1:
            says = "This team takes no referrals any more." if not active else "Several teams have this service id."
            raise Unprocessable(f"{says} Choose another one.", code="business-rule", expression=named.path)
        return active[0]

    async def _write(
        self, transaction: Transaction, changed: Changed, asked: Asked, also: Also | None
    ) -> list[Resource]:
        """Write a change; gives what it wrote, as it is read."""
        referral, doing = changed.referral, changed.doing
        resources = _resources(changed)
        statements = [
            referrals.saving(referral, asked.digest),
            referrals.writing(referral.person_key, resources),
            changes.adding(changed, asked),
            told.adding(changed),
            referrals.sending(REFERRAL, referral.person_key.encode(), self._codec.encode(event(changed))),
        ]
        await at_once.write(transaction, statements)
        if changed.action in _COMES_TO_SOMEBODY:
            await persons.warn(transaction, referral.person_key, referral.referral_id)
        if also is not None:
            await also(transaction, changed)
        _changes.labels(changed.action).inc()
        log.info("referral_changed", event_id=str(doing.event_id), action=changed.action, status=str(referral.status))
        return resources

    async def _with_all_that_was_said(self, queries: Queries, changed: Changed) -> Changed:
        """The correction, with all else of the referral that was a mistake too."""
        referral, tasks = changed.referral, await referrals.former_tasks(queries, changed.referral)
        ids = {number: creation.task_id(self._keys, referral, number) for number in range(1, referral.task_number)}
        former = [mistake.former_task(referral, *each, orjson.loads(tasks[each[1]])) for each in ids.items()]
        said = await messages.every(queries, referral)
        told = [mistake.message(referral, number, each.shared_id, orjson.loads(each.content)) for number, each in said]
        return replace(changed, written=(*changed.written, *former, *told))

    async def _again(self, transaction: Transaction, shared_id: str, before: bytes, request: Request) -> Outcome:
        if before != request.digest:
            raise _other_content()
        referral = await referrals.find(transaction, shared_id)
        assert referral is not None
        return await _outcome(transaction, referral, repeated=True)

    def _doing(self, request: Request, party: Party, referral: Referral | None = None) -> Doing:
        """A change that happens now: never before the one before it."""
        now = self._now()
        actor = Actor(party, request.caller.subject, request.caller.role)
        if referral is None:
            return Doing(uuid7(), actor, now, request.correlation_id)
        return Doing(uuid7(), actor, max(now, referral.changed_at), referral.correlation_id)


def _local_id(request: Request, person_key: str) -> str:
    """What the referral is called. A key that is used again for another person makes another referral: one name for two
    persons would be one resource, which moves from the one's record to the other's.
    """
    if not request.key:
        return str(uuid7())
    caller = request.caller
    return str(uuid5(_KEYED, "\0".join((caller.organisation, caller.system, request.key, person_key))))


async def _locked(transaction: Transaction, shared_id: str) -> tuple[Referral, Resource]:
    """The referral to which an id belongs, which nobody else changes until the transaction ends; its ServiceRequest."""
    parsed = parse_shared_id(shared_id)
    if parsed is None:
        raise _absent()
    await referrals.lock(transaction, parsed.person_key)
    found = await referrals.belonging(transaction, shared_id)
    if found is None:
        raise _absent()
    return found


def _resources(changed: Changed) -> list[Resource]:
    """What a change writes, as it is read."""
    referral_id, event_id, at = changed.referral.referral_id, changed.doing.event_id, changed.doing.at
    return [
        Resource(each.resource_type, each.shared_id, referral_id, event_id, at, content(changed, each))
        for each in changed.written
    ]


def _outcome_of(changed: Changed, resources: Sequence[Resource], request: Resource | None = None) -> Outcome:
    """After a change. `request` is the ServiceRequest before it, which the change may have left as it was."""
    known = {each.shared_id: each for each in [*([request] if request else []), *resources]}
    referral = changed.referral
    return Outcome(referral, known[referral.task_id], known[referral.referral_id])


async def _outcome(queries: Queries, referral: Referral, shared_id: str = "", *, repeated: bool = False) -> Outcome:
    """With the Task in force, or that of this id."""
    is_task = shared_id not in ("", referral.referral_id)
    task = await referrals.resource(queries, shared_id if is_task else referral.task_id)
    service_request = await referrals.resource(queries, referral.referral_id)
    assert task is not None
    assert service_request is not None
    return Outcome(referral, task, service_request, repeated)


async def _made_before(queries: Queries, referral: Referral, request: Request) -> str:
    """The Task that this key left in force before; empty where it is new. Raises `Conflict` if it asked for another."""
    before = await changes.asked_before(queries, referral.person_key, referral.referral_id, request.scoped_key)
    if before is not None and before[0] != request.digest:
        raise _other_content()
    return before[1] if before else ""


def _is_near(caller: Caller, party: Party, teams: Collection[str]) -> bool:
    """Whether somebody may know that there is something of this party: of its organisation, or once in its team."""
    return caller.organisation == party.organisation or (party.team != "" and party.team in teams)


def _other_content() -> Conflict:
    return Conflict("This Idempotency-Key was used for something else: take a new one.", code="duplicate")


def _absent() -> NotFound:
    return NotFound("There is nothing here that you may read.")
