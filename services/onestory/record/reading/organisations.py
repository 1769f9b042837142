"""Organizations that are named by reference, and their ODS codes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onestory.record.store import entries, versions
from onestory.record.store.entries import CurrentEntry
from onestory.record.store.versions import Resource
from onestory.shared.database import Database
from onestory.shared.fhir.practice import ods_code


async def codes(database: Database, said: Sequence[CurrentEntry], named: Collection[str]) -> Mapping[str, str]:
    """The ODS codes behind these shared ids, of Organizations that came along with what was said of the person, or that
    are in the directory.
    """
    if not named:
        return {}
    with_person = [entry for entry in said if entry.shared_id in named]
    contents = dict(await entries.contents(database, with_person))
    for shared_id in set(named) - set(contents):
        standing = await versions.standing(database, Resource("Organization", shared_id, None))
        if standing and standing.version.content:
            contents[shared_id] = standing.version.content
    found = {shared_id: ods_code(content) for shared_id, content in contents.items()}
    return {shared_id: code for shared_id, code in found.items() if code}
