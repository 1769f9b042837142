"""Loads the directory resources that a person's resources refer to, directly or through each other.

The directory is about no person, so every caller may read it. References from resources that a caller does not see are
never followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onestory.record.read import as_of_store
from onestory.record.read import store as read_store
from onestory.record.read.store import DirectoryEntry
from onestory.shared.fhir.references import literal_references
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Queries

# An Organization may be part of another one, and so on. Each step is one query.
_MAX_STEPS = 5
# References of the person's own resources are followed whatever their number; those of the directory up to this one.
_MAX_RESOURCES = 1000

Address = tuple[str, str]
"""Type and id of a directory resource."""
DirectoryVersions = Mapping[Address, UUID | None]
"""The event id of what the directory has at each address; None if it has nothing there."""


@dataclass(frozen=True, slots=True)
class ReferencedDirectory:
    """Directory resources by id, and the versions of all addresses that were looked up."""

    entries: Mapping[str, DirectoryEntry]
    versions: DirectoryVersions


NOTHING_REFERENCED = ReferencedDirectory({}, {})


def directory_addresses(contents: Iterable[bytes], fhir: str) -> set[Address]:
    """The addresses in the directory that these resources refer to. `fhir` is the FHIR base URL."""
    return {address for address in literal_references(contents, fhir) if is_directory_id(address[1])}


async def referenced_directory(
    queries: Queries, addresses: set[Address], fhir: str, at: datetime | None = None
) -> ReferencedDirectory:
    """The directory resources at these addresses, and those that they refer to; as of a moment, or as they are now.

    Makes no query without addresses, and one for each further step. Raises `Unavailable`.
    """
    if not addresses:
        return NOTHING_REFERENCED
    entries: dict[str, DirectoryEntry] = {}
    versions: dict[Address, UUID | None] = {}
    wanted = addresses
    for _ in range(_MAX_STEPS):
        found = (
            await read_store.directory_entries(queries, sorted(wanted))
            if at is None
            else await as_of_store.directory_entries(queries, sorted(wanted), at)
        )
        versions.update(dict.fromkeys(wanted))
        versions.update({(entry.resource_type, entry.shared_id): entry.event_id for entry in found})
        entries.update({entry.shared_id: entry for entry in found})
        wanted = directory_addresses((entry.content for entry in found), fhir) - versions.keys()
        if not wanted or len(versions) + len(wanted) > _MAX_RESOURCES:
            break
    return ReferencedDirectory(entries, versions)


async def is_unchanged(queries: Queries, versions: DirectoryVersions) -> bool:
    """Whether each address still has the same version. Makes no query without addresses."""
    if not versions:
        return True
    found = await read_store.directory_versions(queries, versions)
    return all(found.get(address) == version for address, version in versions.items())
