"""Referrals as they stand, what they consist of, and every change of them.

A person's referrals change under that person's lock. Names are qualified: a process may have another room's tables in
its search path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.lifecycle.change_store import SqlStatement
from onestory.referral.lifecycle.model import Json, Reason, Referral, ReferralKind, Status
from onestory.shared.errors import TooLarge
from onestory.shared.events import Party
from onestory.shared.identity import PersonIdentifier, parse_shared_id
from onestory.shared.kafka.schemas import topics
from onestory.shared.postgres.database import Queries, Transaction

# Of a Kafka message beside its value.
_ENVELOPE_BYTES = 1_000
_PARTIES = ("requester", "sender", "recipient", "holder", "next")
# Fields that are columns of the same name.
_PLAIN = (
    "person_key",
    "local_id",
    "referral_id",
    "task_id",
    "task_number",
    "version",
    "priority",
    "business_status",
    "is_open",
    "requester_subject",
    "correlation_id",
    "created_at",
    "changed_at",
    "changed_by",
    "sent_at",
    "due_at",
    "until",
    "escalated_at",
    "acts_next",
    "question_id",
    "state_due_at",
    "claimed_by",
)
_COLUMNS = (
    *_PLAIN,
    *[f"{side}_{part}" for side in _PARTIES for part in ("organisation", "team")],
    "person_system",
    "person_value",
    "kind",
    "status",
    "service_request",
    "reason_code",
    "reason",
    "outputs",
    "request_digest",
)
_CUT_DOWN = {
    "service_request": "jsonb_build_object('code', service_request->'code', "
    "'reasonCode', service_request->'reasonCode')",
    "outputs": "'[]'::jsonb",
    "request_digest": "''::bytea",
}
BRIEF = ", ".join(f"{_CUT_DOWN.get(name, name)} as {name}" for name in _COLUMNS)
"""The columns of `referral_of`, with no more of what was asked for than a line shows."""
_KEPT = {"person_key", "referral_id", "request_digest"}
_SAVE = f"""
insert into referral.referral ({", ".join(_COLUMNS)})
values ({", ".join(f"${place}" for place in range(1, len(_COLUMNS) + 1))})
on conflict (person_key, referral_id) do update set
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEPT)}
"""  # noqa: S608 - the columns are our own
_BELONGING = """
select referral.*, request.event_id as request_event_id, request.changed_at as request_changed_at,
    request.content as request_content
from referral.resource as named
join referral.referral using (person_key, referral_id)
join referral.resource as request on request.person_key = named.person_key and request.shared_id = named.referral_id
where named.person_key = $1 and named.shared_id = $2
"""
_FIND = "select * from referral.referral where person_key = $1 and referral_id = $2"


@dataclass(frozen=True, slots=True)
class ReferralResource:
    """A resource that belongs to a referral, as it stands. `event_id` is its version id."""

    resource_type: str
    shared_id: str
    referral_id: str
    event_id: UUID
    changed_at: datetime
    content: bytes


async def lock(transaction: Transaction, person_key: str) -> None:
    """Until the transaction ends nobody else changes a referral of this person."""
    await transaction.execute("select pg_advisory_xact_lock(hashtextextended('referral ' || $1, 0))", person_key)


async def find(queries: Queries, referral_id: str) -> Referral | None:
    """The referral of this id."""
    row = await queries.fetchrow(_FIND, _person_key(referral_id), referral_id)
    return None if row is None else referral_of(row)


async def belonging(queries: Queries, shared_id: str) -> tuple[Referral, ReferralResource] | None:
    """The referral to which this id belongs, and its ServiceRequest."""
    row = await queries.fetchrow(_BELONGING, _person_key(shared_id), shared_id)
    if row is None:
        return None
    shown = ("request_event_id", "request_changed_at", "request_content")
    return referral_of(row), ReferralResource(
        "ServiceRequest", row["referral_id"], row["referral_id"], *map(row.get, shown)
    )


async def digest(queries: Queries, referral_id: str) -> bytes | None:
    """The digest of what created a referral; None where there is no such referral."""
    found: bytes | None = await queries.fetchval(
        "select request_digest from referral.referral where person_key = $1 and referral_id = $2",
        _person_key(referral_id),
        referral_id,
    )
    return found


async def resource(queries: Queries, shared_id: str) -> ReferralResource | None:
    """What belongs to a referral under this id; nothing, where it is no id that we give."""
    if not _person_key(shared_id):
        return None
    row = await queries.fetchrow(
        """select resource_type, shared_id, referral_id, event_id, changed_at, content
           from referral.resource where person_key = $1 and shared_id = $2""",
        _person_key(shared_id),
        shared_id,
    )
    return None if row is None else ReferralResource(*row)


async def former_tasks(queries: Queries, referral: Referral) -> dict[str, bytes]:
    """The Tasks of a referral that are not in force any more, by their ids."""
    rows = await queries.fetch(
        """select shared_id, content from referral.resource
           where person_key = $1 and referral_id = $2 and resource_type = 'Task' and shared_id <> $3""",
        referral.person_key,
        referral.referral_id,
        referral.task_id,
    )
    return {row["shared_id"]: row["content"] for row in rows}


async def requests(queries: Queries, person_key: str) -> list[ReferralResource]:
    """The ServiceRequests of all referrals of a person, the latest first."""
    rows = await queries.fetch(
        """select resource_type, shared_id, referral_id, event_id, changed_at, content
           from referral.resource where person_key = $1 and resource_type = 'ServiceRequest'
           order by changed_at desc""",
        person_key,
    )
    return [ReferralResource(*row) for row in rows]


def saving(referral: Referral, request_digest: bytes) -> SqlStatement:
    """The referral as it stands now. The digest is kept from when it was created."""
    return SqlStatement(_SAVE, _values(referral, request_digest))


def writing(person_key: str, resources: Sequence[ReferralResource]) -> SqlStatement:
    """These resources as they stand now."""
    values = [
        person_key,
        [each.shared_id for each in resources],
        [each.resource_type for each in resources],
        [each.referral_id for each in resources],
        [each.event_id for each in resources],
        [each.changed_at for each in resources],
        [each.content for each in resources],
    ]
    return SqlStatement(
        """insert into referral.resource
               (person_key, shared_id, resource_type, referral_id, event_id, changed_at, content)
           select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::bytea[])
           on conflict (person_key, shared_id) do update set
               event_id = excluded.event_id, changed_at = excluded.changed_at, content = excluded.content""",
        values,
    )


def sending(topic: str, key: bytes, value: bytes) -> SqlStatement:
    """Send this once the transaction has committed. Raises `TooLarge` for what Kafka will never take: in the outbox, it
    would keep everything behind it from being sent.
    """
    if len(value) > topics()[topic].max_message_bytes - _ENVELOPE_BYTES:
        raise TooLarge("This is too large for one message: send documents apart, as DocumentReference.")
    return SqlStatement("insert into referral.outbox (topic, key, value) values ($1, $2, $3)", [topic, key, value])


async def send(transaction: Transaction, topic: str, key: bytes, value: bytes) -> None:
    """The same by itself."""
    statement = sending(topic, key, value)
    await transaction.execute(statement.sql, *statement.values)


def referral_of(row: Mapping[str, Any]) -> Referral:
    """A row of `referral`, as the domain knows it."""
    return Referral(
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        kind=ReferralKind(row["kind"]),
        status=Status(row["status"]),
        requester=_party(row, "requester"),
        sender=_party(row, "sender"),
        recipient=_party(row, "recipient"),
        service_request=orjson.loads(row["service_request"]),
        reason=Reason(row["reason_code"] or "", orjson.loads(row["reason"])) if row["reason"] else None,
        outputs=tuple(orjson.loads(row["outputs"])),
        **{name: row[name] for name in _PLAIN},
    )


def _values(referral: Referral, request_digest: bytes) -> list[object]:
    holder, next_actor = referral.holder, referral.next_actor
    known: dict[str, object] = {name: getattr(referral, name) for name in _PLAIN}
    known |= {
        "person_system": referral.person.system,
        "person_value": referral.person.value,
        "kind": str(referral.kind),
        "status": str(referral.status),
        "service_request": _json(referral.service_request),
        "reason_code": referral.reason.code if referral.reason else None,
        "reason": _json(referral.reason.concept) if referral.reason else None,
        "outputs": _json(list(referral.outputs)),
        "request_digest": request_digest,
        **_columns("requester", referral.requester),
        **_columns("sender", referral.sender),
        **_columns("recipient", referral.recipient),
        **_columns("holder", holder),
        **_columns("next", next_actor),
    }
    return [known[name] for name in _COLUMNS]


def _columns(side: str, party: Party | None) -> dict[str, str | None]:
    return {
        f"{side}_organisation": party.organisation if party else None,
        f"{side}_team": party.team if party else None,
    }


def _party(row: Mapping[str, Any], side: str) -> Party:
    return Party(row[f"{side}_organisation"], row[f"{side}_team"])


def _json(value: Json | list[Json]) -> str:
    return orjson.dumps(value).decode()


def _person_key(shared_id: str) -> str:
    parsed = parse_shared_id(shared_id)
    return parsed.person_key if parsed else ""
