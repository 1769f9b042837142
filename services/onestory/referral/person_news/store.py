"""SQL of what demographic authorities state about people, and of the news that waits for open referrals."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from onestory.referral.person_news.domain import CurrentPersonStatement, KnownPerson, News, PersonStatement
from onestory.shared.events import OrderKey
from onestory.shared.identity_links import IdentityLink
from onestory.shared.postgres.database import Queries, Transaction

# The facts about a person may follow from statements about another identity: one transaction at a time writes them.
_LOCK = 0x9E50


@dataclass(frozen=True, slots=True)
class WaitingNews:
    """A row of `to_tell`: news for one referral that has not been sent yet.

    `reason` is the new practice after a move, or the source that states a death; else empty. `former_practice` is the
    practice before a move; else empty. `from_practice`: people are registered with the organisation that stands for the
    requester, so it is a practice.
    """

    id: int
    referral_id: str
    news: News
    reason: str
    former_practice: str
    from_practice: bool


def lock(transaction: psycopg.Connection) -> None:
    """Locks what is known of people until the transaction ends."""
    transaction.execute("select pg_advisory_xact_lock(%s, hashtext(current_schema))", [_LOCK])


def insert_statements(
    transaction: psycopg.Connection, statements: Sequence[PersonStatement]
) -> set[tuple[str, str, UUID]]:
    """Inserts statements. A statement that is there already gets its lowest rank and earliest time.

    Returns (person key, resource hash, event id) of each statement that is stored now. A statement is missing in it if
    its event id was used before with other content.
    """
    columns = [list(column) for column in zip(*[statement[:-1] for statement in statements], strict=True)]
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
    stored = {(person_key, resource_hash, event_id) for person_key, resource_hash, event_id in rows}
    links = [(*statement[:3], *link) for statement in statements if statement[:3] in stored for link in statement.links]
    with transaction.cursor() as cursor:
        cursor.executemany(
            """insert into referral.person_link (person_key, resource_hash, event_id, other_key, kind)
               values (%s, %s, %s, %s, %s) on conflict do nothing""",
            links,
        )
    return stored


def persons_of(transaction: psycopg.Connection, resource_hashes: Collection[str]) -> set[str]:
    """The person keys of all statements of these resources, old ones too, and of the identities that they link."""
    rows = transaction.execute(
        """select person_key from referral.person_statement where resource_hash = any(%(hashes)s)
           union select other_key from referral.person_link where resource_hash = any(%(hashes)s)""",
        {"hashes": sorted(resource_hashes)},
    ).fetchall()
    return {person_key for (person_key,) in rows}


def links_of(transaction: psycopg.Connection, person_keys: Collection[str]) -> set[IdentityLink]:
    """The identity links in current statements, from these people and to them."""
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
    return {IdentityLink(*row) for row in rows}


def current_statements(
    transaction: psycopg.Connection, person_keys: Sequence[str]
) -> Mapping[str, list[CurrentPersonStatement]]:
    """The current statements of each person key, without those of linked identities."""
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
    current: dict[str, list[CurrentPersonStatement]] = {person_key: [] for person_key in person_keys}
    for person_key, rank, published_at, event_id, deceased, practice in rows:
        current[person_key].append(CurrentPersonStatement(OrderKey(rank, published_at, event_id), deceased, practice))
    return current


def known_people(transaction: psycopg.Connection, person_keys: Sequence[str]) -> Mapping[str, KnownPerson]:
    """The known state of these people, by person key; a person without statements is missing. Locks the rows."""
    rows = transaction.execute(
        """select person_key, deceased, practice from referral.person_known
           where person_key = any(%s) order by person_key for update""",
        [list(person_keys)],
    ).fetchall()
    return {person_key: KnownPerson(deceased, practice) for person_key, deceased, practice in rows}


def upsert_known(transaction: psycopg.Connection, known: Mapping[str, KnownPerson]) -> None:
    """Writes what is known of people now, by person key."""
    transaction.execute(
        """insert into referral.person_known (person_key, deceased, practice)
           select * from unnest(%s::text[], %s::boolean[], %s::text[])
           on conflict (person_key) do update set deceased = excluded.deceased, practice = excluded.practice""",
        [list(known), [person.deceased for person in known.values()], [person.practice for person in known.values()]],
    )


def queue_news(
    transaction: psycopg.Connection, person_key: str, news: News, reason: str, former_practice: str = ""
) -> None:
    """Queues news for every open referral of a person.

    It takes the same lock as commands (`lifecycle/store.py`). So either this statement sees the row of a referral that
    is being created, or the creation sees what is known of the person.
    """
    transaction.execute("select pg_advisory_xact_lock(hashtextextended('referral ' || %s, 0))", [person_key])
    transaction.execute(
        """insert into referral.to_tell (referral_id, news, practice, former_practice)
           select referral_id, %s, %s, %s from referral.referral
           where person_key = %s and is_open order by referral_id""",
        [news.value, reason, former_practice, person_key],
    )


async def queue_death_news(transaction: Transaction, person_key: str, referral_id: str) -> None:
    """Queues the news of a death for a referral that reaches a new party, if the death is known or stated already."""
    await transaction.execute(
        """with known as (select from referral.person_known where person_key = $1 and deceased)
           insert into referral.to_tell (referral_id, news, practice)
           select $2, $3, '' from known
           union all
           select distinct $2, $4, w.organisation from referral.death_word w
           where w.person_key = $1 and w.died and not exists (select from known) and not exists (
               select from referral.death_word o
               where o.resource_hash = w.resource_hash and o.person_key <> w.person_key
                 and (o.asserted_rank, o.asserted_published_at, o.asserted_event_id)
                     > (w.asserted_rank, w.asserted_published_at, w.asserted_event_id))""",
        person_key,
        referral_id,
        News.DECEASED.value,
        News.DEATH_STATED.value,
    )


async def registered_practice(queries: Queries, person_key: str) -> str:
    """The practice (ODS code) that a demographic authority has named last for a person; empty: none."""
    practice: str | None = await queries.fetchval(
        "select practice from referral.person_known where person_key = $1", person_key
    )
    return practice or ""


async def waiting_news(queries: Queries, after: int, limit: int) -> list[WaitingNews]:
    """A page of waiting news in the order of their ids, after the id `after`."""
    rows = await queries.fetch(
        """select t.id, t.referral_id, t.news, t.practice, t.former_practice, exists (
               select from referral.referral r
               where r.person_key = split_part(t.referral_id, '-', 1) and r.referral_id = t.referral_id
                   and (r.referrer_organisation = t.former_practice or exists (
                       select from referral.person_known k where k.practice = r.referrer_organisation))
           ) as from_practice
           from referral.to_tell t where t.id > $1 order by t.id limit $2""",
        after,
        limit,
    )
    return [
        WaitingNews(
            row["id"],
            row["referral_id"],
            News(row["news"]),
            row["practice"],
            row["former_practice"],
            row["from_practice"],
        )
        for row in rows
    ]


async def delete_waiting_news(transaction: Transaction, id_: int) -> bool:
    """Deletes a row of waiting news. Returns whether it was still there."""
    return await transaction.fetchval("delete from referral.to_tell where id = $1 returning true", id_) is True
