"""Whether what is read of a person has changed: one version for each person (`person_state`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import psycopg

from onestory.shared.database import Queries

NEVER = 0
"""The version of a person of whom nothing was ever said."""


def change(connection: psycopg.Connection, person_keys: Collection[str]) -> None:
    """Note that these persons changed in this transaction, and with them everybody who may be the same person.

    Comes last in a transaction: rows are taken in the order of their keys, and nothing is waited for after them.
    """
    if person_keys:
        connection.execute(_CHANGE, [sorted(person_keys)])


# A provisional identity of which nobody spoke is nobody that a reader could have loaded.
_CHANGE = """
with touched as (
    select unnest(%b::text[]) collate "C" as person_key
), concerned as (
    select person_key from touched
    union
    select link.other_key from touched join patient_link link using (person_key)
    where link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key)
    union
    select link.person_key from touched join patient_link link on link.other_key = touched.person_key
)
insert into person_state as state (person_key, version)
select person_key, pg_current_xact_id()::text::bigint from concerned order by person_key
on conflict (person_key) do update set
    version = excluded.version, changed_at = now(), due_since = coalesce(state.due_since, now())
"""


async def versions(queries: Queries, person_keys: Collection[str]) -> Mapping[str, int]:
    """The versions of these persons."""
    rows = await queries.fetch(
        "select person_key, version from person_state where person_key = any($1)", list(person_keys)
    )
    found = {row["person_key"]: row["version"] for row in rows}
    return {person_key: found.get(person_key, NEVER) for person_key in person_keys}
