"""SQL of the words of sources that are no demographic authority about deaths."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import psycopg

from onestory.referral.person_news.death_words import DeathWord

# Words about one Patient may come from two projectors, when its source moves it to another person. A word of a death is
# compared with what was there before, so no other word may be written meanwhile.
_LOCK = 0xDEA7


def lock(transaction: psycopg.Connection, *, alone: bool) -> None:
    """Wait for the words that another transaction writes: `alone` for all of them, else only for words of a death."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    transaction.execute(f"select {function}(%s, hashtext(current_schema))".encode(), [_LOCK])


def known_deaths(transaction: psycopg.Connection, words: Sequence[DeathWord]) -> bool:
    """Whether one of these Patients says of anybody, as far as is stored, that the person died."""
    return (
        transaction.execute(
            "select from referral.death_word where resource_hash = any(%s) and died limit 1",
            [[word.resource_hash for word in words]],
        ).fetchone()
        is not None
    )


def persons_of(transaction: psycopg.Connection, words: Sequence[DeathWord]) -> set[str]:
    """The keys of all persons whom these Patients are or were about."""
    rows = transaction.execute(
        "select person_key from referral.death_word where resource_hash = any(%s)",
        [[word.resource_hash for word in words]],
    ).fetchall()
    return {person_key for (person_key,) in rows} | {word.person_key for word in words}


def upsert_words(transaction: psycopg.Connection, words: Sequence[DeathWord]) -> None:
    """Write words. A stored word with a greater order key stays."""
    transaction.execute(
        """insert into referral.death_word as known (person_key, resource_hash, event_id, rank, published_at,
               organisation, died, asserted_rank, asserted_published_at, asserted_event_id)
           select person_key, resource_hash, event_id, rank, published_at, organisation, died,
               case when asserted then rank end, case when asserted then published_at end,
               case when asserted then event_id end
           from unnest(%b::text[], %b::text[], %b::uuid[], %b::bigint[], %b::timestamptz[], %b::text[], %b::boolean[],
                       %b::boolean[])
               as word (person_key, resource_hash, event_id, rank, published_at, organisation, asserted, died)
           on conflict (person_key, resource_hash) do update set
               event_id = excluded.event_id, rank = excluded.rank, published_at = excluded.published_at,
               died = excluded.died,
               (asserted_rank, asserted_published_at, asserted_event_id) = (
                   select a.* from (values
                       (known.asserted_rank, known.asserted_published_at, known.asserted_event_id),
                       (excluded.asserted_rank, excluded.asserted_published_at, excluded.asserted_event_id)) a
                   order by 1 desc nulls last, 2 desc, 3 desc limit 1)
           where (excluded.rank, excluded.published_at, excluded.event_id)
               > (known.rank, known.published_at, known.event_id)""",
        [list(column) for column in zip(*words, strict=True)],
        binary=True,
    )


def sources_of_deaths(transaction: psycopg.Connection, person_keys: Collection[str]) -> set[tuple[str, str]]:
    """(person key, organisation) of each organisation that says now that the person died."""
    rows = transaction.execute(
        """select distinct w.person_key, w.organisation from referral.death_word w
           where w.person_key = any(%s) and w.died and not exists (
               select from referral.death_word o
               where o.resource_hash = w.resource_hash and o.person_key <> w.person_key
                 and (o.asserted_rank, o.asserted_published_at, o.asserted_event_id)
                     > (w.asserted_rank, w.asserted_published_at, w.asserted_event_id))""",
        [sorted(person_keys)],
    ).fetchall()
    return {(person_key, organisation) for person_key, organisation in rows}
