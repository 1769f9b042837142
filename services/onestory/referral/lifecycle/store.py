"""SQL of current referrals and their resources, of the outbox, and of several statements in one round trip.

A person's referrals change only under that person's lock. Table names are qualified, because a process may have the
tables of another service in its search path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.appointments.model import appointment_from_json, appointment_to_json
from onestory.referral.lifecycle.model import Json, Reason, Referral, ReferralKind, ReferralParties, Status
from onestory.shared.errors import TooLarge
from onestory.shared.events import Party
from onestory.shared.identity import PersonIdentifier, parse_shared_id
from onestory.shared.kafka.producer import KafkaMessage
from onestory.shared.kafka.schemas import topics
from onestory.shared.postgres import outbox
from onestory.shared.postgres.database import Queries, Transaction

# Bytes of a Kafka message besides its value: key and headers.
_ENVELOPE_BYTES = 1_000
_PARTIES = ("requester", "sender", "referrer", "recipient", "holder", "next")
# Fields of `Referral` that are columns with the same name and type.
_SAME_NAME_FIELDS = (
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
    "practice",
    "based_on",
    "group_id",
)
_COLUMNS = (
    *_SAME_NAME_FIELDS,
    *[f"{side}_{part}" for side in _PARTIES for part in ("organisation", "team")],
    "person_system",
    "person_value",
    "kind",
    "status",
    "service_request",
    "reason_code",
    "reason",
    "outputs",
    "appointments",
    "request_digest",
)
_BRIEF_EXPRESSIONS = {
    "service_request": "jsonb_build_object('code', service_request->'code', "
    "'reasonCode', service_request->'reasonCode')",
    "outputs": "'[]'::jsonb",
    "request_digest": "''::bytea",
}
BRIEF_COLUMNS = ", ".join(f"{_BRIEF_EXPRESSIONS.get(name, name)} as {name}" for name in _COLUMNS)
"""The columns for `referral_from_row`, with only the part of the ServiceRequest that a worklist row shows."""
_NEVER_UPDATED = {"person_key", "referral_id", "request_digest"}
_UPSERT = f"""
insert into referral.referral ({", ".join(_COLUMNS)})
values ({", ".join(f"${place}" for place in range(1, len(_COLUMNS) + 1))})
on conflict (person_key, referral_id) do update set
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _NEVER_UPDATED)}
"""  # noqa: S608 - the columns are our own
_FIND_WITH_SERVICE_REQUEST = """
select referral.*, request.event_id as request_event_id, request.changed_at as request_changed_at,
    request.content as request_content
from referral.resource as named
join referral.referral using (person_key, referral_id)
join referral.resource as request on request.person_key = named.person_key and request.shared_id = named.referral_id
where named.person_key = $1 and named.shared_id = $2
"""
_PARTIES_OF_PERSON = """
select referral_id, person_system, person_value, local_id, business_status, sent_at, requester_organisation,
    requester_team, sender_organisation, sender_team, referrer_organisation, referrer_team, recipient_organisation,
    recipient_team, practice, based_on, status, is_open
from referral.referral where person_key = $1
"""
_FIND = "select * from referral.referral where person_key = $1 and referral_id = $2"


@dataclass(frozen=True, slots=True)
class ReferralResource:
    """A row of `referral.resource`: the current version of a resource. `event_id` is its version id."""

    resource_type: str
    shared_id: str
    referral_id: str
    event_id: UUID
    changed_at: datetime
    content: bytes


async def lock(transaction: Transaction, person_key: str) -> None:
    """Locks a person until the transaction ends: no other transaction changes a referral of this person."""
    await transaction.execute("select pg_advisory_xact_lock(hashtextextended('referral ' || $1, 0))", person_key)


async def find(queries: Queries, referral_id: str) -> Referral | None:
    """The referral with this id; None: there is none."""
    row = await queries.fetchrow(_FIND, _person_key(referral_id), referral_id)
    return None if row is None else referral_from_row(row)


async def find_with_service_request(queries: Queries, shared_id: str) -> tuple[Referral, ReferralResource] | None:
    """The referral to which the resource with this id belongs, and its ServiceRequest; None: there is none."""
    row = await queries.fetchrow(_FIND_WITH_SERVICE_REQUEST, _person_key(shared_id), shared_id)
    if row is None:
        return None
    columns = ("request_event_id", "request_changed_at", "request_content")
    return referral_from_row(row), ReferralResource(
        "ServiceRequest", row["referral_id"], row["referral_id"], *map(row.get, columns)
    )


async def creation_digest(queries: Queries, referral_id: str) -> bytes | None:
    """The digest of the request that created a referral; None: there is no such referral."""
    digest: bytes | None = await queries.fetchval(
        "select request_digest from referral.referral where person_key = $1 and referral_id = $2",
        _person_key(referral_id),
        referral_id,
    )
    return digest


async def find_resource(queries: Queries, shared_id: str) -> ReferralResource | None:
    """The resource with this id; None: there is none, or the id is no shared id."""
    if not _person_key(shared_id):
        return None
    row = await queries.fetchrow(
        """select resource_type, shared_id, referral_id, event_id, changed_at, content
           from referral.resource where person_key = $1 and shared_id = $2""",
        _person_key(shared_id),
        shared_id,
    )
    return None if row is None else ReferralResource(*row)


async def parties_of_person(queries: Queries, person_key: str) -> list[ReferralParties]:
    """The parties of all referrals of a person."""
    rows = await queries.fetch(_PARTIES_OF_PERSON, person_key)
    return [
        ReferralParties(
            referral_id=row["referral_id"],
            person=PersonIdentifier(row["person_system"], row["person_value"]),
            local_id=row["local_id"],
            business_status=row["business_status"],
            sent_at=row["sent_at"],
            requester=_party(row, "requester"),
            sender=_party(row, "sender"),
            referrer=_party(row, "referrer"),
            recipient=_party(row, "recipient"),
            practice=row["practice"],
            based_on=row["based_on"],
            status=Status(row["status"]),
            is_open=row["is_open"],
        )
        for row in rows
    ]


async def service_requests(queries: Queries, person_key: str, referral_ids: Collection[str]) -> list[ReferralResource]:
    """The ServiceRequests of these referrals of a person, the last changed first."""
    rows = await queries.fetch(
        """select resource_type, shared_id, referral_id, event_id, changed_at, content
           from referral.resource
           where person_key = $1 and resource_type = 'ServiceRequest' and referral_id = any($2::text[])
           order by changed_at desc""",
        person_key,
        sorted(referral_ids),
    )
    return [ReferralResource(*row) for row in rows]


def upsert_referral(referral: Referral, request_digest: bytes) -> SqlStatement:
    """Writes the current referral. `request_digest` is used only when the referral is new."""
    return SqlStatement(_UPSERT, _values(referral, request_digest))


def upsert_resources(person_key: str, resources: Sequence[ReferralResource]) -> SqlStatement:
    """Writes the current versions of resources."""
    values = [
        person_key,
        [resource.shared_id for resource in resources],
        [resource.resource_type for resource in resources],
        [resource.referral_id for resource in resources],
        [resource.event_id for resource in resources],
        [resource.changed_at for resource in resources],
        [resource.content for resource in resources],
    ]
    return SqlStatement(
        """insert into referral.resource
               (person_key, shared_id, resource_type, referral_id, event_id, changed_at, content)
           select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::bytea[])
           on conflict (person_key, shared_id) do update set
               event_id = excluded.event_id, changed_at = excluded.changed_at, content = excluded.content""",
        values,
    )


def insert_outbox(message: KafkaMessage) -> SqlStatement:
    """Puts a message into the outbox; the relay sends it after the commit.

    Raises `TooLarge` for a message that Kafka never accepts: in the outbox it would block all later messages.
    """
    if len(message.value or b"") > topics()[message.topic].max_message_bytes - _ENVELOPE_BYTES:
        raise TooLarge("This is too large for one message: send documents apart, as DocumentReference.")
    return SqlStatement(
        "insert into referral.outbox (topic, key, value, headers) values ($1, $2, $3, $4)",
        [message.topic, message.key, message.value, outbox.stored_headers(message.headers)],
    )


async def send_to_outbox(transaction: Transaction, message: KafkaMessage) -> None:
    """Puts a message into the outbox, in a round trip of its own. Raises what `insert_outbox` raises."""
    statement = insert_outbox(message)
    await transaction.execute(statement.sql, *statement.values)


def referral_from_row(row: Mapping[str, Any]) -> Referral:
    """The referral in a row of `referral.referral`."""
    return Referral(
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        kind=ReferralKind(row["kind"]),
        status=Status(row["status"]),
        requester=_party(row, "requester"),
        sender=_party(row, "sender"),
        referrer=_party(row, "referrer"),
        recipient=_party(row, "recipient"),
        service_request=orjson.loads(row["service_request"]),
        reason=Reason(row["reason_code"] or "", orjson.loads(row["reason"])) if row["reason"] else None,
        outputs=tuple(orjson.loads(row["outputs"])),
        appointments=tuple(map(appointment_from_json, orjson.loads(row["appointments"]))),
        **{name: row[name] for name in _SAME_NAME_FIELDS},
    )


def _values(referral: Referral, request_digest: bytes) -> list[object]:
    holder, next_actor = referral.holder, referral.next_actor
    values: dict[str, object] = {name: getattr(referral, name) for name in _SAME_NAME_FIELDS}
    values |= {
        "person_system": referral.person.system,
        "person_value": referral.person.value,
        "kind": str(referral.kind),
        "status": str(referral.status),
        "service_request": _json(referral.service_request),
        "reason_code": referral.reason.code if referral.reason else None,
        "reason": _json(referral.reason.concept) if referral.reason else None,
        "outputs": _json(list(referral.outputs)),
        "appointments": _json([appointment_to_json(each) for each in referral.appointments]),
        "request_digest": request_digest,
        **_columns("requester", referral.requester),
        **_columns("sender", referral.sender),
        **_columns("referrer", referral.referrer),
        **_columns("recipient", referral.recipient),
        **_columns("holder", holder),
        **_columns("next", next_actor),
    }
    return [values[name] for name in _COLUMNS]


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


# A placeholder of SQL, such as $1.
_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """SQL that writes, and the values of its placeholders $1, $2, ..."""

    sql: str
    values: Sequence[object]


async def execute_together(transaction: Transaction, statements: Sequence[SqlStatement]) -> None:
    """Executes several statements in one round trip: a command spends most of its time waiting for round trips.

    No statement sees rows that another one writes, so each has to write to a table of its own.
    """
    values = [value for statement in statements for value in statement.values]
    counts = tuple((statement.sql, len(statement.values)) for statement in statements)
    await transaction.execute(_combined(counts), *values)


@cache
def _combined(statements: tuple[tuple[str, int], ...]) -> str:
    parts, used = [], 0
    for sql, count in statements:
        parts.append(_renumbered(sql, used))
        used += count
    expressions = ", ".join(f"part_{index} as ({part})" for index, part in enumerate(parts[:-1]))
    return f"with {expressions} {parts[-1]}" if expressions else parts[-1]


def _renumbered(sql: str, by: int) -> str:
    return _PLACEHOLDER.sub(lambda placeholder: f"${int(placeholder[1]) + by}", sql)
