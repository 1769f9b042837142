"""Reads the networks of organisations from the directory, and keeps them until the directory changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

import orjson
import structlog

from onestory.record.read import network_store
from onestory.record.read.network_store import DirectoryContent
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.affiliations import (
    Affiliation,
    is_membership,
    memberships,
    named_organisations,
    read_affiliation,
    read_organisation,
)
from onestory.shared.networks import Membership, Networks
from onestory.shared.postgres.database import Database

_CHECK_EVERY_S = 0.2

log = structlog.get_logger()


class NetworkReader:
    """Reads the networks that directory authorities state.

    `authorities` are ODS codes. `fallback` is the setting ONESTORY_NETWORKS. A change of the directory counts at most
    0.2 s after the projector wrote it: a query for each read would cost more than it gives.
    """

    def __init__(
        self,
        database: Database,
        authorities: Collection[str],
        fallback: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._authorities = frozenset(authorities)
        self._fallback = dict(fallback)
        self._clock = clock
        self._networks = Networks((), fallback)
        self._version = -1
        self._checked_at = float("-inf")

    async def current(self) -> Networks:
        """The networks now. Raises `Unavailable`."""
        now = self._clock()
        if now - self._checked_at < _CHECK_EVERY_S:
            return self._networks
        version = await network_store.network_version(self._database)
        if version != self._version:
            self._networks = Networks(await self._memberships(), self._fallback)
            self._version = version
        self._checked_at = now
        return self._networks

    async def _memberships(self) -> list[Membership]:
        async with self._database.snapshot() as queries:
            stated = await network_store.stated_affiliations(queries, self._authorities)
            affiliations = list(_affiliations(stated))
            ids, codes = named_organisations(affiliations)
            contents = await network_store.stated_organisations(queries, self._authorities, ids, codes)
        organisations = [
            read_organisation(each.shared_id, each.source, orjson.loads(each.content), asserted=each.current)
            for each in contents
        ]
        return memberships(affiliations, organisations)


def _affiliations(stated: Iterable[DirectoryContent]) -> Iterable[Affiliation]:
    """The memberships in these statements. Earlier ones are not active: they show that the directory decides."""
    for each in stated:
        resource = orjson.loads(each.content)
        if not is_membership(resource):
            continue
        try:
            affiliation = read_affiliation(each.shared_id, each.source, resource, asserted=True)
        except Unprocessable as error:
            log.warning("network_membership_unusable", resource=each.shared_id, reason=error.issues[0].code)
            continue
        yield affiliation if each.current else replace(affiliation, active=False)
