"""SQL of the limit of identities: how many provisional identities one source may link to one person.

The first identities of an organisation count, by the order key of the first statement that links each of them. So every
order of arrival gives the same result, and a source cannot push out an identity that it linked earlier.
All links to one person come from statements under that person's key, which one projector handles at a time.
"""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from onestory.shared.identity_links import PROVISIONAL, IdentityLinkRow

_NEW_IDENTITIES = """
select distinct new.person_key
from unnest(%b::text[], %b::text[]) as new (person_key, other_key)
where not exists (
    select from patient_link known where (known.other_key, known.person_key) = (new.other_key, new.person_key))
"""

_CROWDED = """
select l.person_key from patient_link l
where l.person_key = any(%b::text[]) and l.kind = 'provisional'
group by l.person_key
having count(distinct l.other_key) > %b or bool_or(l.beyond_limit)
"""

_DECIDE = """
update patient_link link set beyond_limit = ranked.place > %b
from (
    select person_key, other_key,
        row_number() over (
            partition by person_key, organisation order by rank, published_at, event_id, other_key
        ) as place
    from (
        select distinct on (l.person_key, s.organisation, l.other_key)
            l.person_key, s.organisation, l.other_key, s.rank, s.published_at, s.event_id
        from patient_link l
        join statement s using (person_key, shared_id, event_id)
        where l.person_key = any(%b::text[]) and l.kind = 'provisional'
        order by l.person_key, s.organisation, l.other_key, s.rank, s.published_at, s.event_id
    ) first_statement
) ranked
where (link.person_key, link.other_key) = (ranked.person_key, ranked.other_key) and link.kind = 'provisional'
    and link.beyond_limit <> (ranked.place > %b)
returning link.other_key
"""

_BEYOND = "select person_key, other_key from patient_link where person_key = any(%b::text[]) and beyond_limit"


def persons_with_new_identities(connection: psycopg.Connection, links: Collection[IdentityLinkRow]) -> set[str]:
    """The persons to whom these links would add an identity. Call it before the links are added."""
    provisional = [(link.person_key, link.other_key) for link in links if link.kind == PROVISIONAL]
    if not provisional:
        return set()
    columns = [list(column) for column in zip(*provisional, strict=True)]
    return {person_key for (person_key,) in connection.execute(_NEW_IDENTITIES, columns).fetchall()}


def decide_identities(
    connection: psycopg.Connection, person_keys: Collection[str], limit: int
) -> tuple[set[tuple[str, str]], set[str]]:
    """Decide for these persons which links are beyond the limit.

    Returns (person key, other key) of all links beyond it, and the other keys of those that changed.
    """
    if not person_keys:
        return set(), set()
    crowded = [key for (key,) in connection.execute(_CROWDED, [sorted(person_keys), limit]).fetchall()]
    if not crowded:
        return set(), set()
    changed = {key for (key,) in connection.execute(_DECIDE, [limit, crowded, limit]).fetchall()}
    beyond = {(person_key, other) for person_key, other in connection.execute(_BEYOND, [crowded]).fetchall()}
    return beyond, changed
