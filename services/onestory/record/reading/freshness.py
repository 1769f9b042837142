"""How fresh the sources of a person's record are: it follows from what the reader sees, and from nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime

from onestory.record.domain import freshness
from onestory.record.domain.freshness import Freshness, Rhythms, Source
from onestory.record.store import freshness as store
from onestory.shared.database import Database


class Sources:
    """Tells of sources. `rhythms` and `sequenced` are settings: what is expected of them, and which number."""

    def __init__(self, database: Database, rhythms: Rhythms, sequenced: Collection[str]) -> None:
        self._database = database
        self._sequenced = frozenset(sequenced)
        self.rhythms = rhythms

    async def freshness(
        self,
        person_keys: Collection[str],
        said: Mapping[Source, datetime],
        at: datetime,
        former: Mapping[str, date] | None = None,
    ) -> list[Freshness]:
        """The sources in `said`, with when each last said something of what the reader sees.

        `person_keys` are the person's identities, `former` the former practices among the organisations. Raises
        `Unavailable`.
        """
        told = await store.told(self._database, person_keys, said)
        return freshness.freshness(told, said, at, rhythms=self.rhythms, sequenced=self._sequenced, former=former or {})
