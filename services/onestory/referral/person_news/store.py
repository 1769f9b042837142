"""What is known of the people who are referred, and which referrals have yet to hear of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from onestory.referral.person_news.domain import CurrentPersonStatement, KnownPerson, News, PersonStatement
from onestory.shared.events import OrderKey
from onestory.shared.person_links import PersonLink
from onestory.shared.postgres.database import Queries, Transaction

# What is known of a person may follow from what was said of another: one after the other decides what it is.
_LOCK = 0x9E50


@dataclass(frozen=True, slots=True)
class ToTell:
    """A row of `to_tell`."""

    id: int
    referral_id: str
    news: News
    practice: str


def lock(transaction: psycopg.Connection) -> None:
    """Be the only one who works out what is known of people, until this transaction ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK])


def keep(transaction: psycopg.Connection, said: Sequence[PersonStatement]) -> set[tuple[str, str, UUID]]:
    """Keep statements, each clock with its earliest value; the names of those kept, also of those known before."""
    columns = [list(column) for column in zip(*[each[:-1] for each in said], strict=True)]
    rows = transaction.execute(
        """insert into referral.person_statement (person_key, resource_hash, event_id, rank, published_at, operation,
               deceased, practice, organisation_id, digest)
           select * from unnest(%b::text[], %b::text[], %b::uuid[], %b::bigint[], %b::timestamptz[], %b::text[],
                                %b::boolean[], %b::text[], %b::text[], %b::bytea[])
           on conflict (person_key, resource_hash, event_id) do update set
               rank = least(person_statement.rank, excluded.rank),
               published_at = least(person_statement.published_at, excluded.published_at)
           where (person_statement.operation, person_statement.digest) = (excluded.operation, excluded.digest)
           returning person_key, resource_hash, event_id""",
        columns,
        binary=True,
    ).fetchall()
    kept = {(person_key, resource_hash, event_id) for person_key, resource_hash, event_id in rows}
    linked = [(*each[:3], *link) for each in said if each[:3] in kept for link in each.links]
    with transaction.cursor() as cursor:
        cursor.executemany(
            """insert into referral.person_link (person_key, resource_hash, event_id, other_key, kind)
               values (%s, %s, %s, %s, %s) on conflict do nothing""",
            linked,
        )
    return kept


def persons_of(transaction: psycopg.Connection, resource_hashes: Collection[str]) -> set[str]:
    """Everybody of whom these resources were ever said, and whom they ever named as the same person."""
    rows = transaction.execute(
        """select person_key from referral.person_statement where resource_hash = any(%(hashes)s)
           union select other_key from referral.person_link where resource_hash = any(%(hashes)s)""",
        {"hashes": sorted(resource_hashes)},
    ).fetchall()
    return {person_key for (person_key,) in rows}


def links(transaction: psycopg.Connection, person_keys: Collection[str]) -> set[PersonLink]:
    """What statements that stand say of these people and others, in either direction."""
    rows = transaction.execute(
        """select k.person_key, k.other_key, k.kind
           from referral.person_link k
           cross join lateral (
               select event_id, operation, rank, published_at from referral.person_statement s
               where s.person_key = k.person_key and s.resource_hash = k.resource_hash
               order by rank desc, published_at desc, event_id desc limit 1
           ) as l
           where (k.person_key = any(%(keys)s) or k.other_key = any(%(keys)s))
             and l.event_id = k.event_id and l.operation = 'assert'
             and not exists (
                 select from referral.person_statement o
                 where o.resource_hash = k.resource_hash and o.person_key <> k.person_key and o.operation = 'assert'
                   and (o.rank, o.published_at, o.event_id) > (l.rank, l.published_at, l.event_id))""",
        {"keys": sorted(person_keys)},
    ).fetchall()
    return {PersonLink(*row) for row in rows}


def standing(transaction: psycopg.Connection, person_keys: Sequence[str]) -> Mapping[str, list[CurrentPersonStatement]]:
    """What stands of each person, under this number alone."""
    rows = transaction.execute(
        """select m.person_key, l.rank, l.published_at, l.event_id, l.deceased,
               case when l.practice <> '' then l.practice else coalesce(practice.ods, '') end
           from (
               select distinct person_key, resource_hash from referral.person_statement where person_key = any(%s)
           ) as m
           cross join lateral (
               select * from referral.person_statement s
               where s.person_key = m.person_key and s.resource_hash = m.resource_hash
               order by rank desc, published_at desc, event_id desc limit 1
           ) as l
           left join referral.directory_organisation practice on practice.shared_id = l.organisation_id
           where l.operation = 'assert' and not exists (
               select from referral.person_statement o
               where o.resource_hash = m.resource_hash and o.person_key <> m.person_key and o.operation = 'assert'
                 and (o.rank, o.published_at, o.event_id) > (l.rank, l.published_at, l.event_id))""",
        [list(person_keys)],
    ).fetchall()
    found: dict[str, list[CurrentPersonStatement]] = {person_key: [] for person_key in person_keys}
    for person_key, rank, published_at, event_id, deceased, practice in rows:
        found[person_key].append(CurrentPersonStatement(OrderKey(rank, published_at, event_id), deceased, practice))
    return found


def known(transaction: psycopg.Connection, person_keys: Sequence[str]) -> Mapping[str, KnownPerson]:
    """What was known of these people; nothing of those whom nobody spoke of."""
    rows = transaction.execute(
        """select person_key, deceased, practice from referral.person_known
           where person_key = any(%s) order by person_key for update""",
        [list(person_keys)],
    ).fetchall()
    return {person_key: KnownPerson(deceased, practice) for person_key, deceased, practice in rows}


def put(transaction: psycopg.Connection, now: Mapping[str, KnownPerson]) -> None:
    """This is known of these people now."""
    transaction.execute(
        """insert into referral.person_known (person_key, deceased, practice)
           select * from unnest(%s::text[], %s::boolean[], %s::text[])
           on conflict (person_key) do update set deceased = excluded.deceased, practice = excluded.practice""",
        [list(now), [each.deceased for each in now.values()], [each.practice for each in now.values()]],
    )


def have_told(transaction: psycopg.Connection, person_key: str, news: News, practice: str) -> None:
    """Have the parties of every open referral of the person told.

    Under the person's lock, the one that commands take (`store/referrals.py`): of a referral that is being made, either
    its row is seen here, or what is known is there before it is.
    """
    transaction.execute("select pg_advisory_xact_lock(hashtextextended('referral ' || %s, 0))", [person_key])
    transaction.execute(
        """insert into referral.to_tell (referral_id, news, practice)
           select referral_id, %s, %s from referral.referral
           where person_key = %s and is_open order by referral_id""",
        [news.value, practice if news is News.MOVED else "", person_key],
    )


async def warn(transaction: Transaction, person_key: str, referral_id: str) -> None:
    """Have the parties of a referral that comes to somebody told where it is known already that the person has died."""
    await transaction.execute(
        """insert into referral.to_tell (referral_id, news, practice)
           select $2, $3, '' from referral.person_known where person_key = $1 and deceased""",
        person_key,
        referral_id,
        News.DECEASED.value,
    )


async def to_tell(queries: Queries, after: int, most: int) -> list[ToTell]:
    """What is yet to be told, in order, after this one."""
    rows = await queries.fetch(
        "select id, referral_id, news, practice from referral.to_tell where id > $1 order by id limit $2", after, most
    )
    return [ToTell(row["id"], row["referral_id"], News(row["news"]), row["practice"]) for row in rows]


async def told(transaction: Transaction, id_: int) -> bool:
    """Take a row away; whether it was still there."""
    return await transaction.fetchval("delete from referral.to_tell where id = $1 returning true", id_) is True
