"""Local identifiers of people: kept as they are said, found while they are in force."""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from onestory.record.domain.local_identifier import Bearer, LocalIdentifier
from onestory.shared.database import Queries
from onestory.shared.identity import PROVISIONAL_SYSTEM

_BEARERS = """
select distinct said.person_key, said.organisation
from patient_identifier said
join current c on c.person_key = said.person_key and c.resource_type = 'Patient' and c.shared_id = said.shared_id
    and c.event_id = said.event_id and c.visible
where said.system = $1 and said.value = $2
"""

_GIVER = "select split_part(value, '|', 1) from person where person_key = $1 and system = $2"


def add(connection: psycopg.Connection, identifiers: Collection[LocalIdentifier]) -> None:
    """Keep what new Patient statements say."""
    if identifiers:
        connection.execute(
            """insert into patient_identifier (system, value, person_key, shared_id, event_id, organisation)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*identifiers, strict=True)],
        )


async def giver(queries: Queries, person_key: str) -> str | None:
    """The organisation whose provisional identity a key is; None where it is none that anybody has spoken of."""
    return await queries.fetchval(_GIVER, person_key, PROVISIONAL_SYSTEM)  # type: ignore[no-any-return]


async def bearers(queries: Queries, system: str, value: str) -> list[Bearer]:
    """Of whom it is said that this is the identifier, and by whom."""
    return [Bearer(*row) for row in await queries.fetch(_BEARERS, system, value)]
