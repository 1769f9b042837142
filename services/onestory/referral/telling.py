"""Tells the parties of open referrals what became of the person."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, Counter

from onestory.referral import clock_table
from onestory.referral.domain.command import Changed
from onestory.referral.domain.news import tell
from onestory.referral.handler import Handler
from onestory.referral.store import persons
from onestory.referral.store.persons import ToTell
from onestory.referral.ticking import until_stopped
from onestory.shared.contracts.codec import Codec
from onestory.shared.database import Database, Transaction, create_pool
from onestory.shared.errors import Unavailable
from onestory.shared.identity import Keys
from onestory.shared.settings import Settings

_EVERY_S = 1.0
_PAGE = 200

log = structlog.get_logger()


class Telling:
    """Makes one change of each referral that waits in `to_tell`, which takes it away: so each is made once.

    Several may run: who comes second finds the row gone.
    """

    def __init__(self, database: Database, handler: Handler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._failures = Counter(
            "onestory_referral_news_failed",
            "News of a person that could not be told to a referral's parties, tried again",
            registry=registry,
        )

    async def tick(self, _now: datetime) -> int:
        """Tell all there is to tell; how many referrals it was. Raises `Unavailable`."""
        done, after = 0, 0
        while found := await persons.to_tell(self._database, after, _PAGE):
            for each in found:
                done += await self._tell(each)
            after = found[-1].id
        return done

    async def _tell(self, each: ToTell) -> bool:
        async def also(transaction: Transaction, _: Changed) -> None:
            if not await persons.told(transaction, each.id):
                raise _Told

        try:
            deciding = partial(tell, news=each.news, practice=each.practice)
            changed = await self._handler.unasked(each.referral_id, deciding, also)
            if changed is None:
                async with self._database.transaction() as transaction:
                    await persons.told(transaction, each.id)
        except (_Told, Unavailable) as error:
            if isinstance(error, Unavailable):
                raise
            return False
        except Exception as error:
            # One referral that cannot be told may not keep all others from it.
            self._failures.inc()
            log.error("news_not_told", referral=each.referral_id, error=type(error).__name__)
            return False
        return changed is not None


def prepared(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """What tells all there is to tell until `stop` is set. Raises `Misconfigured`."""
    clocks, keys = clock_table.load(settings.referral_clocks), Keys(settings.key_secret.encode())

    async def run() -> None:
        async with create_pool(settings.postgres) as pool:
            database = Database(pool)
            telling = Telling(database, Handler(database, codec, keys, clocks), registry)
            await until_stopped(telling.tick, _EVERY_S, stop)

    return lambda: asyncio.run(run())


class _Told(Exception):
    """Another process has told it."""
