"""Checks the conditions of a submission against the record: conditional creates and updates, If-Match, If-None-Match.

When several requests create with one identifier at the same time, one of them publishes. Each request reserves the
identifier, looks again, publishes, and leaves its position in the reservation. The others wait until readers see that
position, and then find the resource. The reasons are in docs/explanation/decisions/0028.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog
from uuid_utils.compat import uuid7

from onestory.intake import reservation_store
from onestory.intake.condition_store import (
    AskedIdentifier,
    VisibleVersion,
    resources_of_directory,
    resources_of_persons,
    visible_versions,
)
from onestory.intake.domain.conditions import (
    NO_CONDITIONS,
    ConditionalItem,
    DecidedConditions,
    MatchedResource,
    Precondition,
    failed_precondition,
    match_condition,
    plain_part,
)
from onestory.intake.domain.request import AcceptedEntry, PreparedSubmission, SubmissionContext
from onestory.intake.reservation_store import CreateReservations
from onestory.shared.errors import OneStoryError, PreconditionFailed, Unavailable
from onestory.shared.fhir.definitions import directory_types, is_about_a_person
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, is_nhs_number, is_nhs_number_system
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions, parse_position_token

log = structlog.get_logger()

# How long a create waits for another create of the same resource. A publisher waits at most five seconds.
_WAIT_S = 3.0
_PAUSE_S = 0.02
_MARGIN_S = 10.0

Scopes = Mapping[int, PersonIdentifier | None]
FindScopes = Callable[[DecidedConditions], Awaitable[Scopes]]
"""Returns where the resource of each condition would be, when some conditions are decided."""


class ConditionalWrites:
    """Decides conditions. `send_limit_s` is the longest time of a send to Kafka."""

    def __init__(self, record: Database, visible: VisiblePositions, send_limit_s: float) -> None:
        self._record = record
        self._visible = visible
        # After twice the limit of a send Kafka gets nothing more from it.
        self._reservation_lasts = timedelta(seconds=2 * send_limit_s + _MARGIN_S)

    async def decide(
        self, items: Sequence[ConditionalItem], scopes_of: FindScopes, context: SubmissionContext
    ) -> tuple[DecidedConditions, CreateReservations]:
        """Return the resources that the identifiers of a submission name, and reservations of those that do not exist.

        Give the reservations back with `release`, or set their position. Raises `Unavailable` when PostgreSQL does not
        answer, and when others create the same resources for too long.
        """
        reservations = CreateReservations(uuid7(), frozenset())
        if not items:
            return NO_CONDITIONS, reservations
        deadline = time.monotonic() + _WAIT_S
        visible: list[str] = []
        try:
            while True:
                decided, scopes = await self._match(items, scopes_of, context)
                undecided = scopes.keys() - decided.matches.keys() - decided.errors.keys()
                missing = {
                    _reservation_name(item, scopes[item.index], context)
                    for item in items
                    if item.is_create and item.index in undecided
                }
                if missing <= reservations.names:
                    await self.release(CreateReservations(reservations.holder, reservations.names - missing))
                    return decided, CreateReservations(reservations.holder, frozenset(missing))
                wanted = CreateReservations(reservations.holder, reservations.names | missing)
                if await reservation_store.reserve(self._record, wanted, self._reservation_lasts, visible):
                    reservations = wanted
                else:
                    visible = await self._positions_of_others(wanted, deadline)
        except BaseException:
            await self.release(reservations)
            raise

    async def renew(self, reservations: CreateReservations) -> None:
        """Let the reservations last for a send from now on. Raises `Unavailable` when another request has one of them.

        A large submission may wait and be prepared for longer than a reservation lasts.
        """
        if reservations.names and not await reservation_store.renew(
            self._record, reservations, self._reservation_lasts
        ):
            raise Unavailable(
                "This request took too long, so another request may create the same resource. Nothing was published. "
                "Repeat this one: that is safe."
            )

    async def release(self, reservations: CreateReservations) -> None:
        """Give reservations back, because nothing was sent. Without PostgreSQL they end by themselves."""
        if reservations.names:
            with suppress(Unavailable):
                await reservation_store.release(self._record, reservations)

    async def set_position(self, reservations: CreateReservations, position: str) -> None:
        """Let the reservations end when readers see this position. Without PostgreSQL they end after a time.

        An empty position means that nothing was sent.
        """
        if not position:
            await self.release(reservations)
        elif reservations.names:
            try:
                await reservation_store.set_position(self._record, reservations, position)
            except Unavailable:
                log.warning("reservation_without_position")

    async def _positions_of_others(self, reservations: CreateReservations, deadline: float) -> list[str]:
        """Wait until readers see what the holders of these reservations publish. Return the position tokens.

        Raises `Unavailable` at the deadline. A holder without a position is still at work, or was stopped.
        """
        await asyncio.sleep(_PAUSE_S)
        if time.monotonic() > deadline:
            raise Unavailable("Another request creates the same resource. Repeat this one: that is safe.")
        positions = await reservation_store.positions_of_others(self._record, reservations)
        return [position for position in positions if await self._is_visible(position, deadline)]

    async def _is_visible(self, position: str, deadline: float) -> bool:
        try:
            return await self._visible.wait(parse_position_token(position), max(0.0, deadline - time.monotonic()))
        except Unavailable:
            raise
        except OneStoryError:
            # The message was parked, so readers never see it.
            return True

    async def _match(
        self, items: Sequence[ConditionalItem], scopes_of: FindScopes, context: SubmissionContext
    ) -> tuple[DecidedConditions, Scopes]:
        """Return the matches, and where the resource of each condition is or would be.

        Patients come first: a Patient that exists says whom the other entries are about.
        """
        patients = [item for item in items if item.resource_type == "Patient"]
        decided = await self._matches(patients, {item.index: _number(item) for item in patients}, context)
        scopes = await scopes_of(decided)
        others = [item for item in items if item.index in scopes and item.resource_type != "Patient"]
        found = await self._matches(others, scopes, context)
        return DecidedConditions({**decided.matches, **found.matches}, {**decided.errors, **found.errors}), scopes

    async def _matches(
        self, items: Sequence[ConditionalItem], scopes: Scopes, context: SubmissionContext
    ) -> DecidedConditions:
        asked = [_asked(item, scopes[item.index], context) for item in items]
        of_persons = await resources_of_persons(self._record, context.source, asked)
        of_directory = await resources_of_directory(
            self._record, context.source, [each for each in asked if each.resource_type in directory_types()]
        )
        matches: dict[int, MatchedResource] = {}
        errors: dict[int, OneStoryError] = {}
        for item in items:
            candidates = [*of_persons.get(item.index, ()), *of_directory.get(item.index, ())]
            match = match_condition(item.identifier, candidates, item.path)
            if isinstance(match, OneStoryError):
                errors[item.index] = match
            elif match:
                matches[item.index] = match
        return DecidedConditions(matches, errors)

    async def precondition_errors(
        self, preconditions: Mapping[int, Precondition], prepared: PreparedSubmission, context: SubmissionContext
    ) -> dict[int, PreconditionFailed]:
        """Return the errors of preconditions that do not hold, by index. Raises `Unavailable`."""
        conditional = {
            index: (precondition, entry)
            for index, precondition in preconditions.items()
            if isinstance(entry := prepared.outcomes[index], AcceptedEntry)
        }
        if not conditional:
            return {}
        current = await visible_versions(
            self._record, {entry.shared_id: entry.resource_type for _, entry in conditional.values()}
        )
        errors: dict[int, PreconditionFailed] = {}
        for index, (precondition, entry) in conditional.items():
            version = current.get(entry.shared_id)
            own = entry.event_id if context.idempotency_key else None
            error = failed_precondition(precondition, entry.resource_type, version and version.event_id, own)
            if error:
                errors[index] = error
        return errors

    async def visible_before(self, prepared: PreparedSubmission) -> Mapping[str, VisibleVersion] | None:
        """Return the versions that readers see of the resources of each PUT, by shared id.

        None when PostgreSQL does not answer: the publish goes on without the answer.
        """
        entries = (entry for entry in prepared.outcomes if isinstance(entry, AcceptedEntry) and entry.method == "PUT")
        updated = {entry.shared_id: entry.resource_type for entry in entries}
        try:
            return await visible_versions(self._record, updated) if updated else {}
        except Unavailable:
            return None


def _number(item: ConditionalItem) -> PersonIdentifier | None:
    """Return the person whom the condition of a Patient names by NHS number, or None."""
    system, _, value = item.identifier.partition("|")
    return PersonIdentifier(NHS_NUMBER_SYSTEM, value) if is_nhs_number_system(system) and is_nhs_number(value) else None


def _asked(item: ConditionalItem, person: PersonIdentifier | None, context: SubmissionContext) -> AskedIdentifier:
    keys, source = context.deployment.keys, context.source
    system, _, value = item.identifier.partition("|")
    return AskedIdentifier(
        item.index,
        item.resource_type,
        keys.resource_hash(source.organisation, source.system, item.resource_type, item.identifier),
        keys.person_key(person) if person else "",
        system,
        value,
        plain_part(value),
    )


def _reservation_name(item: ConditionalItem, person: PersonIdentifier | None, context: SubmissionContext) -> bytes:
    """Return the hash of the resource that would be created.

    A resource such as an Organization can be in the directory and in statements about people, so its place is a part.
    """
    place = "" if is_about_a_person(item.resource_type) else person.value if person else "directory"
    parts = (context.source.organisation, context.source.system, item.resource_type, item.identifier, place)
    return hashlib.sha256("\0".join(parts).encode()).digest()
