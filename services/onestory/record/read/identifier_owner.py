"""Which organisation's word leads from a local identifier, such as a hospital number, to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

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
    *,
    authorities: Collection[str],
    networks: Collection[str],
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
    always = {caller, *owners, *authorities}
    counting = [match for match in matches if match.organisation in always]
    others = by_likelihood([match for match in matches if match.organisation not in always], networks)
    return [*counting, *[match for match in others[:_MAX_PERSONS] if await counts_about(match)]]


def by_likelihood(matches: Sequence[IdentifierMatch], networks: Collection[str]) -> list[IdentifierMatch]:
    """The matches in the order in which they are examined: first those by organisations in `networks`.

    Within each part every organisation has one match before any has its second. So no source can push out another by
    giving the number to many persons.
    """
    earlier: Counter[str] = Counter()
    placed = []
    for match in sorted(matches):
        placed.append((match.organisation not in networks, earlier[match.organisation], match))
        earlier[match.organisation] += 1
    return [match for _, _, match in sorted(placed)]
