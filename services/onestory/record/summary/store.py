"""SQL of the summariser: which summaries are due, and the digests of the last published ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import orjson
import psycopg

from onestory.record.summary.model import Summary
from onestory.shared.events import REFERRAL_SYSTEM, SummaryChanged
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message, tombstone
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import RECORD_TOPIC, REFERRAL_TOPIC, SUMMARY_TOPIC
from onestory.shared.postgres import outbox

_LOCK_CLASS = 0x5A11


class PublishedSummary(NamedTuple):
    """The digests of the last published summary of a person, whole and by part.

    `valid_until` is None if the summary has expired or never does.
    """

    digest: str
    parts: Mapping[str, str]
    valid_until: datetime | None


class QuietPeriod(NamedTuple):
    """How long a person must be unchanged before they are summarised: `quiet`, or `quiet_in_bulk` during a bulk load.

    A bulk load is when many persons change, or for one person when their last summary is younger than `recent`. After
    `longest` a person is summarised even if they keep changing.
    """

    quiet: timedelta
    quiet_in_bulk: timedelta
    recent: timedelta
    longest: timedelta


class Waiting(NamedTuple):
    """How many persons wait for a summary, the longest wait in seconds, and how many of them changed just now."""

    persons: int
    longest_s: float
    changing: int


def waiting(connection: psycopg.Connection) -> Waiting:
    """Counts the persons that wait for a summary."""
    row = connection.execute(
        """select count(*), coalesce(extract(epoch from now() - min(due_since)), 0)::float8,
                  count(*) filter (where changed_at > now() - interval '1 second')
           from person_state where due_since is not null"""
    ).fetchone()
    assert row is not None
    return Waiting(*row)


def due_persons(connection: psycopg.Connection, quiet_period: QuietPeriod, *, many: bool, most: int) -> list[str]:
    """The person keys that are due: unchanged for long enough, or waiting too long. The longest waiting come first."""
    rows = connection.execute(
        """select person_key from person_state left join summary using (person_key)
           where due_since is not null and (
               changed_at <= now() - case
                   when %(many)s or made_at > now() - %(recent)s then %(quiet_in_bulk)s else %(quiet)s end
               or due_since <= now() - %(longest)s)
           order by due_since limit %(most)s""",
        {**quiet_period._asdict(), "many": many, "most": most},
    ).fetchall()
    return [person_key for (person_key,) in rows]


@contextmanager
def person_lock(connection: psycopg.Connection, person_key: str) -> Iterator[bool]:
    """Takes the lock on a person; yields False if another summariser holds it. Commits the connection."""
    lock = [_LOCK_CLASS, person_key]
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", lock).fetchone()
    connection.commit()
    assert row is not None
    try:
        yield row[0]
    finally:
        if row[0]:
            connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", lock)
            connection.commit()


def requeue_expired(connection: psycopg.Connection, most: int) -> int:
    """Makes persons due whose published summary has expired, at most so many. Returns the number.

    When a source becomes stale, the summaries of all its persons expire at one moment. Rows that are locked are skipped
    until the next time, so no projector has to wait.
    """
    return connection.execute(
        """with run_out as (
               select state.person_key from summary join person_state state using (person_key)
               where valid_until <= now() order by state.person_key limit %s for update of state skip locked
           ), expired as (
               update summary set valid_until = null from run_out where summary.person_key = run_out.person_key
           )
           update person_state state set due_since = coalesce(state.due_since, now())
           from run_out where state.person_key = run_out.person_key""",
        [most],
    ).rowcount


def lock_if_unchanged(transaction: psycopg.Connection, versions: Mapping[str, int]) -> bool:
    """Locks these persons until the transaction ends. Returns whether they still have these versions.

    A person that changed meanwhile is due again, so an older summary never overwrites a newer one.
    """
    rows = transaction.execute(
        """select person_key, version from person_state
           where person_key = any(%b::text[]) order by person_key for update""",
        [sorted(versions)],
    ).fetchall()
    found: dict[str, int] = dict(rows)
    return all(found.get(person_key, 0) == version for person_key, version in versions.items())


def last_published(transaction: psycopg.Connection, person_key: str) -> PublishedSummary | None:
    """The last published summary of a person; None if there is none."""
    row = transaction.execute(
        "select digest, parts, valid_until from summary where person_key = %s", [person_key]
    ).fetchone()
    return None if row is None else PublishedSummary(*row)


def person_identifier(transaction: psycopg.Connection, person_key: str) -> PersonIdentifier | None:
    """The identifier that a person key belongs to; None if no source has used it."""
    row = transaction.execute("select system, value from person where person_key = %s", [person_key]).fetchone()
    return None if row is None else PersonIdentifier(*row)


def latest_positions(transaction: psycopg.Connection, person_keys: list[str]) -> list[MessagePosition]:
    """The greatest offset of these persons' statements, for each topic and partition."""
    rows = transaction.execute(
        """select system = %b, partition, max("offset") from statement
           where person_key = any(%b::text[]) group by 1, 2 order by 1, 2""",
        [REFERRAL_SYSTEM, person_keys],
    ).fetchall()
    return [MessagePosition(REFERRAL_TOPIC if of_referral else RECORD_TOPIC, *place) for of_referral, *place in rows]


def publish(
    transaction: psycopg.Connection,
    person_key: str,
    event: SummaryChanged,
    summary: Summary,
    directory_ids: Collection[str],
    codec: Codec,
) -> None:
    """Saves the digests of a summary and adds its event to the outbox, in the caller's transaction."""
    save(transaction, person_key, summary, directory_ids)
    outbox.append(transaction, event_message(SUMMARY_TOPIC, person_key.encode(), event, codec))


def publish_removal(transaction: psycopg.Connection, person_key: str, event_id: UUID, at: datetime) -> None:
    """Deletes the digests of a person's summary and adds its tombstone to the outbox, in the caller's transaction."""
    transaction.execute("delete from summary where person_key = %s", [person_key])
    outbox.append(transaction, tombstone(SUMMARY_TOPIC, person_key, "summary-removed", str(event_id), at))


def save(transaction: psycopg.Connection, person_key: str, summary: Summary, directory_ids: Collection[str]) -> None:
    """Saves the digests of a summary, when it expires, and the ids of the directory resources that it names."""
    transaction.execute(
        """insert into summary (person_key, digest, parts, valid_until, directory) values (%s, %s, %s, %s, %s)
           on conflict (person_key) do update set
               digest = excluded.digest, parts = excluded.parts, valid_until = excluded.valid_until, made_at = now(),
               directory = excluded.directory""",
        [
            person_key,
            summary.digest,
            orjson.dumps(dict(summary.parts)).decode(),
            summary.valid_until,
            sorted(directory_ids),
        ],
    )


def persons_naming(transaction: psycopg.Connection, directory_ids: Collection[str]) -> set[str]:
    """The keys of persons whose last published summary names one of these directory resources."""
    rows = transaction.execute(
        "select person_key from summary where directory && %b::text[]", [sorted(directory_ids)]
    ).fetchall()
    return {person_key for (person_key,) in rows}


def mark_done(transaction: psycopg.Connection, person_keys: list[str]) -> None:
    """Marks the summaries of these persons as no longer due."""
    transaction.execute(
        "update person_state set due_since = null where person_key = any(%b::text[])", [sorted(person_keys)]
    )
