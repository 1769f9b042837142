"""Projects messages of `care.directory` into the tables that commands read teams and roles from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg

from onestory.referral.directory import ownership_store, projection_store
from onestory.referral.directory.model import CurrentDirectoryStatement, DirectoryStatement
from onestory.referral.directory.ownership import DosClaim, RefusedClaim
from onestory.referral.directory.rows import ROW_BY_TYPE, TeamRow, refuse_foreign_row, to_row
from onestory.referral.directory.successions import (
    SuccessionRow,
    refuse_foreign_succession,
    stated_successions,
)
from onestory.referral.metrics import ReferralMetrics, count_reused_event_ids, count_unusable
from onestory.shared.errors import Unprocessable
from onestory.shared.events import ConsumedMessage, DirectoryChanged, Operation, rank_of
from onestory.shared.identity import is_directory_id, is_storable
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC


class DirectoryBatch(NamedTuple):
    """The statements of a batch, and its unusable messages, each with the reason."""

    statements: list[DirectoryStatement]
    unusable: list[tuple[ConsumedMessage, str]]


class DirectoryProjection:
    """Projects teams and roles. It writes in the caller's transaction, which holds the positions too.

    An unusable message is counted and logged; the statement before it stays the current one.
    """

    def __init__(self, gauges: ReferralMetrics, authorities: Collection[str] = ()) -> None:
        self._gauges = gauges
        self._authorities = frozenset(authorities)

    def prepare(self, messages: Sequence[ConsumedMessage]) -> DirectoryBatch:
        """Return the statements of these messages, and the unusable messages. Needs no database."""
        batch = DirectoryBatch([], [])
        for message in messages:
            try:
                statement = to_statement(message, self._authorities)
            except Unprocessable as error:
                batch.unusable.append((message, error.issues[0].code))
                continue
            if statement is not None:
                batch.statements.append(statement)
        return batch

    def write(self, transaction: psycopg.Connection, batch: DirectoryBatch) -> Callable[[], None]:
        """Store the statements, and write the rows of the resources that they are about.

        Returns the function that reports metrics and logs; call it after the commit.
        """
        unique, reused = deduplicate(batch.statements)
        if unique:
            projection_store.lock_directory(transaction)
            stored = projection_store.insert_statements(transaction, unique)
            reused += [statement for statement in unique if (statement.shared_id, statement.event_id) not in stored]
            current = projection_store.current_resources(transaction, {shared_id for shared_id, _ in stored})
            projection_store.write_rows(transaction, [to_row(statement) for statement in current])
            successions = [row for statement in current for row in _successions(statement)]
            projection_store.write_successions(transaction, [each.shared_id for each in current], successions)
            ownership_store.write_authorities(transaction, self._authorities)
            ownership_store.insert_claims(transaction, _claims(unique, stored))
            if {statement.resource_type for statement in unique} & _CHANGE_OWNERSHIP:
                ownership_store.refresh(transaction)
        waiting = projection_store.count_unresolved(transaction) if unique else {}
        refused = ownership_store.refused_claims(transaction) if unique else []
        return lambda: self._observe(batch, reused, waiting, refused)

    def _observe(
        self,
        batch: DirectoryBatch,
        reused: Sequence[DirectoryStatement],
        waiting: dict[str, int],
        refused: Sequence[RefusedClaim],
    ) -> None:
        self._gauges.directory_waits(waiting)
        if waiting:
            self._gauges.claims_refused(refused, {statement.shared_id for statement in batch.statements})
        count_unusable(self._gauges, batch.unusable)
        count_reused_event_ids(self._gauges, DIRECTORY_TOPIC, [statement.event_id for statement in reused])


_CHANGE_OWNERSHIP = {"Organization", "OrganizationAffiliation", "HealthcareService"}


def _claims(statements: Iterable[DirectoryStatement], stored: Collection[tuple[str, UUID]]) -> Iterator[DosClaim]:
    """The DoS service ids that these statements of teams name; empty where a statement names none."""
    for said in statements:
        if said.resource_type != "HealthcareService" or (said.shared_id, said.event_id) not in stored:
            continue
        dos_id = ""
        if said.content is not None:
            row = to_row(
                CurrentDirectoryStatement(said.shared_id, said.resource_type, said.said_by, said.content, True)
            )
            assert isinstance(row, TeamRow)
            dos_id = row.own_dos_service_id
        yield DosClaim(said.shared_id, said.event_id, said.said_by, said.published_at, dos_id)


def to_statement(message: ConsumedMessage, authorities: Collection[str] = ()) -> DirectoryStatement | None:
    """Return the statement of a message; None for a resource type that the referral service does not use.

    Raises `Unprocessable` for an unusable message; the issue's code is the reason. An unusable statement does not
    count at all, so the statement before it stays the current one.
    """
    event = message.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, DirectoryChanged):
        raise Unprocessable(f"{type(event).__name__} does not belong on {message.topic}.", code="wrong-topic")
    entry = event.entry
    if entry.resource_type not in ROW_BY_TYPE:
        return None
    if (message.key or b"") != entry.shared_id.encode() or not is_directory_id(entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _refuse_unusable(event, authorities)
    return DirectoryStatement(
        entry.shared_id,
        event.event_id,
        rank_of(event.sequence, entry.recorded_at),
        event.published_at,
        entry.resource_type,
        event.source.organisation,
        entry.operation.value,
        entry.content,
        hashlib.sha256(entry.content or b"").digest(),
    )


def _refuse_unusable(event: DirectoryChanged, authorities: Collection[str]) -> None:
    entry, organisation = event.entry, event.source.organisation
    if not is_storable(organisation):
        raise Unprocessable("The source's organisation is too long, or contains NUL.", code="source-form")
    if entry.key_id is not None or (entry.content is None) is (entry.operation is Operation.ASSERT):
        raise Unprocessable("An assertion has readable content, and a retraction has none.", code="content-form")
    if entry.content is not None:
        said = CurrentDirectoryStatement(entry.shared_id, entry.resource_type, organisation, entry.content, True)
        refuse_foreign_row(to_row(said), authorities)
        refuse_foreign_succession(_successions(said), authorities)


def _successions(statement: CurrentDirectoryStatement) -> list[SuccessionRow]:
    return stated_successions(statement, msgspec.json.decode(statement.content))


def deduplicate(
    statements: Iterable[DirectoryStatement],
) -> tuple[list[DirectoryStatement], list[DirectoryStatement]]:
    """Return each event once, with its earliest rank and time, and the statements that reuse an id otherwise."""
    unique: dict[tuple[str, UUID], DirectoryStatement] = {}
    reused = []
    for statement in statements:
        first = unique.setdefault((statement.shared_id, statement.event_id), statement)
        if first.digest != statement.digest or first.operation != statement.operation:
            reused.append(statement)
            continue
        earliest = first._replace(
            rank=min(first.rank, statement.rank), published_at=min(first.published_at, statement.published_at)
        )
        unique[statement.shared_id, statement.event_id] = earliest
    return list(unique.values()), reused
