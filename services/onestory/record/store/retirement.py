"""What a source's whole list of a type leaves out is retired."""

from __future__ import annotations

from collections.abc import Collection

import psycopg


def listed(connection: psycopg.Connection, person_keys: Collection[str]) -> set[tuple[str, str, str, str]]:
    """(person key, organisation, system, resource type) of these persons that have a whole list."""
    rows = connection.execute(
        """select distinct person_key, organisation, system, resource_type from whole_list
           join unnest(%b::text[]) as asked (person_key) using (person_key)""",
        [list(person_keys)],
    ).fetchall()
    return {(person, organisation, system, kind) for person, organisation, system, kind in rows}


def retire(connection: psycopg.Connection, groups: Collection[tuple[str, str, str, str]]) -> None:
    """Judge all current entries of these groups anew.

    An entry is retired when its key is less than that of the group's greatest whole list, and that event does not
    mention it. Whichever of the two arrives later, this runs with it.
    """
    if not groups:
        return
    connection.execute(
        """with latest as (
               select distinct on (l.person_key, l.organisation, l.system, l.resource_type) l.*
               from whole_list l
               join unnest(%b::text[], %b::text[], %b::text[], %b::text[])
                   as asked (person_key, organisation, system, resource_type)
                   using (person_key, organisation, system, resource_type)
               order by l.person_key, l.organisation, l.system, l.resource_type,
                        l.rank desc, l.published_at desc, l.event_id desc
           ), judged as (
               select c.person_key, c.resource_type, c.shared_id,
                      (c.rank, c.published_at, c.event_id) < (l.rank, l.published_at, l.event_id)
                      and not exists (
                          select from statement s
                          where s.person_key = c.person_key and s.shared_id = c.shared_id and s.event_id = l.event_id
                      ) as retired
               from latest l
               join current c using (person_key, resource_type)
               where c.organisation = l.organisation and c.system = l.system
           )
           update current c set retired = judged.retired
           from judged
           where (c.person_key, c.resource_type, c.shared_id)
               = (judged.person_key, judged.resource_type, judged.shared_id)
             and c.retired <> judged.retired""",
        [list(column) for column in zip(*sorted(groups), strict=True)],
    )
