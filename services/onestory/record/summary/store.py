"""Whose summary waits, and what the last published one said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
import psycopg

from onestory.record.summary.model import Summary
from onestory.shared.events import REFERRAL_SYSTEM, SummaryChanged
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import RECORD, REFERRAL, SUMMARY
from onestory.shared.postgres import outbox

_CLAIM = 0x5A11


class PublishedSummary(NamedTuple):
    """What the last published summary of a person says: its digest, and that of each part. `valid_until` is None where
    it has run out, or never does.
    """

    digest: str
    parts: Mapping[str, str]
    valid_until: datetime | None


class QuietPeriod(NamedTuple):
    """How long a person must be quiet before they are summarised: `quiet`, and `quiet_in_bulk` while a load goes on.

    A load goes on while many change, or for the person alone when the last summary is `recent`. Nobody waits longer
    than `longest`, however often they change.
    """

    quiet: timedelta
    quiet_in_bulk: timedelta
    recent: timedelta
    longest: timedelta


class Waiting(NamedTuple):
    """How many persons' summaries wait, the longest that one has, and how many of them changed just now."""

    persons: int
    longest_s: float
    changing: int


def waiting(connection: psycopg.Connection) -> Waiting:
    """What waits."""
    row = connection.execute(
        """select count(*), coalesce(extract(epoch from now() - min(due_since)), 0)::float8,
                  count(*) filter (where changed_at > now() - interval '1 second')
           from person_state where due_since is not null"""
    ).fetchone()
    assert row is not None
    return Waiting(*row)


def due(connection: psycopg.Connection, patience: QuietPeriod, *, many: bool, most: int) -> list[str]:
    """The persons who have been quiet for long enough, or have waited for too long; those first who were first due."""
    rows = connection.execute(
        """select person_key from person_state left join summary using (person_key)
           where due_since is not null and (
               changed_at <= now() - case
                   when %(many)s or made_at > now() - %(recent)s then %(quiet_in_bulk)s else %(quiet)s end
               or due_since <= now() - %(longest)s)
           order by due_since limit %(most)s""",
        {**patience._asdict(), "many": many, "most": most},
    ).fetchall()
    return [person_key for (person_key,) in rows]


@contextmanager
def claimed(connection: psycopg.Connection, person_key: str) -> Iterator[bool]:
    """Whether no other summariser works on this person; within, none begins to."""
    name = [_CLAIM, person_key]
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", name).fetchone()
    connection.commit()
    assert row is not None
    try:
        yield row[0]
    finally:
        if row[0]:
            connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", name)
            connection.commit()


def expire(connection: psycopg.Connection, most: int) -> int:
    """Let those wait whose summary says something else by now, though nothing new was said: how many, at most so many.

    A source that falls silent lets those of all its persons run out at one moment. Whoever is being written to is left
    for the next time: nobody is waited for, so no projector is held up.
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


def settle(transaction: psycopg.Connection, versions: Mapping[str, int]) -> bool:
    """Whether these are the versions of these persons still; until the transaction ends nobody changes them.

    Who changed in between is due again, so a summary that is older than another one is never written over it.
    """
    rows = transaction.execute(
        """select person_key, version from person_state
           where person_key = any(%b::text[]) order by person_key for update""",
        [sorted(versions)],
    ).fetchall()
    found: dict[str, int] = dict(rows)
    return all(found.get(person_key, 0) == version for person_key, version in versions.items())


def published(transaction: psycopg.Connection, person_key: str) -> PublishedSummary | None:
    """What the last published summary of a person said."""
    row = transaction.execute(
        "select digest, parts, valid_until from summary where person_key = %s", [person_key]
    ).fetchone()
    return None if row is None else PublishedSummary(*row)


def identifier(transaction: psycopg.Connection, person_key: str) -> PersonIdentifier | None:
    """Whom a key stands for; None where nobody has spoken of them by it."""
    row = transaction.execute("select system, value from person where person_key = %s", [person_key]).fetchone()
    return None if row is None else PersonIdentifier(*row)


def position(transaction: psycopg.Connection, person_keys: list[str]) -> list[MessagePosition]:
    """The greatest offset of what was said of these persons, for each topic and partition."""
    rows = transaction.execute(
        """select system = %b, partition, max("offset") from statement
           where person_key = any(%b::text[]) group by 1, 2 order by 1, 2""",
        [REFERRAL_SYSTEM, person_keys],
    ).fetchall()
    return [MessagePosition(REFERRAL if of_referral else RECORD, *place) for of_referral, *place in rows]


def publish(
    transaction: psycopg.Connection, person_key: str, event: SummaryChanged, summary: Summary, codec: Codec
) -> None:
    """Note what it says, and send it once the transaction has committed."""
    keep(transaction, person_key, summary)
    outbox.append(transaction, SUMMARY, person_key.encode(), codec.encode(event))


def keep(transaction: psycopg.Connection, person_key: str, summary: Summary) -> None:
    """Note what a summary says, and until when."""
    transaction.execute(
        """insert into summary (person_key, digest, parts, valid_until) values (%s, %s, %s, %s)
           on conflict (person_key) do update set
               digest = excluded.digest, parts = excluded.parts, valid_until = excluded.valid_until, made_at = now()""",
        [person_key, summary.digest, orjson.dumps(dict(summary.parts)).decode(), summary.valid_until],
    )


def done(transaction: psycopg.Connection, person_keys: list[str]) -> None:
    """These wait no longer."""
    transaction.execute(
        "update person_state set due_since = null where person_key = any(%b::text[])", [sorted(person_keys)]
    )
