"""Which organisation's word leads from a local identifier, such as a hospital number, to a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from onestory.record.person import store as person_store
from onestory.record.person.identifiers import IdentifierMatch, ods_codes_in
from onestory.shared.postgres.database import Database

_MAX_PERSONS = 20


async def matches_that_count(
    database: Database,
    system: str,
    matches: Sequence[IdentifierMatch],
    caller: str,
    counts_about: Callable[[IdentifierMatch], Awaitable[bool]],
) -> Sequence[IdentifierMatch]:
    """The matches that may lead a caller of this organisation to a person. Raises `Unavailable`.

    A number in a system that has the ODS code of an organisation leads others to a person only by the word of that
    organisation, of a demographic authority, or of the person's registered practice. `counts_about` says whether a
    match is by one of the latter two. A system without such a code has no known owner: the word of any source counts.
    """
    if all(match.organisation == caller for match in matches):
        return matches
    certain, possible = ods_codes_in(system)
    owners = certain | await person_store.known_organisations(database, possible)
    if not owners:
        return matches
    counting = [match for match in matches if match.organisation in (caller, *owners)]
    others = [match for match in matches if match.organisation not in (caller, *owners)]
    return [*counting, *[match for match in others[:_MAX_PERSONS] if await counts_about(match)]]
