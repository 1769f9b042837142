"""Carries out successions and tells of closed teams, in a loop.

It looks for open referrals that still stand where they no longer belong. So a referral that was being made while a team
closed is found too, and a restart loses nothing. Each change is made once, under its person's lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, Counter

from onestory.referral.clocks import clock
from onestory.referral.directory import ownership_store
from onestory.referral.lifecycle.change_store import AlsoWrite
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange
from onestory.referral.metrics import run_periodically
from onestory.referral.succession import store as succession_store
from onestory.referral.succession.domain import (
    DirectorySuccession,
    hand_over,
    handover_summary,
    tell_of_closed_team,
)
from onestory.referral.succession.store import StrandedReferral, SuccessionMove
from onestory.shared.errors import Unavailable
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.postgres.database import Database, Transaction, create_pool
from onestory.shared.settings import Settings

_EVERY_S = 0.5
_PAGE = 100
_REFRESH_EVERY = 60
"""Ticks between two looks at bindings whose time has begun or ended."""

log = structlog.get_logger()

Decide = Callable[[Referral, ChangeContext], ReferralChange | None]


class SuccessionRunner:
    """Moves and tells, each referral in a transaction of its own."""

    def __init__(self, database: Database, handler: ReferralHandler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._ticks = 0
        self._moved = Counter("onestory_referral_handovers", "Referrals that a succession moved", registry=registry)
        self._failures = Counter(
            "onestory_referral_handovers_failed",
            "Referrals that a succession could not move, or whose parties could not be told, tried again",
            registry=registry,
        )

    async def tick(self, now: datetime) -> int:
        """Do all that waits; return the number of referrals that changed. Raises `Unavailable`."""
        changed, failed = 0, set[str]()
        while page := await succession_store.moves(self._database, now, failed, _PAGE):
            for move in page:
                changed += await self._move(move, failed)
        changed += await self._tell_of_closed_teams(now)
        async with self._database.transaction() as transaction:
            await succession_store.forget_open_teams(transaction)
            if self._ticks % _REFRESH_EVERY == 0:
                await ownership_store.refresh_by_time(transaction)
        self._ticks += 1
        return changed

    async def _tell_of_closed_teams(self, now: datetime) -> int:
        changed = 0
        while page := await succession_store.at_closed_teams(self._database, now, _PAGE):
            done = sum([await self._tell_of_closed_team(each) for each in page])
            changed += done
            if not done:
                break
        return changed

    async def _move(self, move: SuccessionMove, failed: set[str]) -> bool:
        succession, before = move.succession, list[Referral]()

        def decide(referral: Referral, context: ChangeContext) -> ReferralChange | None:
            before.append(referral)
            return hand_over(referral, context, succession, had_claim=move.had_claim)

        async def keep(transaction: Transaction, change: ReferralChange) -> None:
            await _insert_handover(transaction, succession, before[-1], change)

        moved = await self._change(move.referral_id, decide, keep)
        if moved:
            self._moved.inc()
        else:
            failed.add(move.referral_id)
        return moved

    async def _tell_of_closed_team(self, waiting: StrandedReferral) -> bool:
        async def keep(transaction: Transaction, _: ReferralChange) -> None:
            await succession_store.insert_told(transaction, waiting.team_id, waiting.referral_id)

        return await self._change(waiting.referral_id, partial(tell_of_closed_team, team_id=waiting.team_id), keep)

    async def _change(self, referral_id: str, decide: Decide, also: AlsoWrite | None) -> bool:
        try:
            return await self._handler.change_without_request(referral_id, decide, also) is not None
        except Unavailable:
            raise
        except Exception as error:
            # One referral that cannot be changed must not stop the others.
            self._failures.inc()
            log.error("succession_failed", referral=referral_id, error=type(error).__name__)
            return False


async def _insert_handover(
    transaction: Transaction, succession: DirectorySuccession, before: Referral, change: ReferralChange
) -> None:
    at = change.context.at
    summary = handover_summary(before, at)
    await succession_store.insert_handover(transaction, succession, before.person_key, summary, at)


def succession_loop(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """A function that runs successions until `stop` is set, to be run in a thread. Raises `Misconfigured`."""
    clocks, keys = clock.load_clocks(settings.referral_clocks), Keys(settings.key_secret.encode())

    async def run() -> None:
        async with create_pool(settings.postgres, "record") as pool:
            database = Database(pool)
            runner = SuccessionRunner(database, ReferralHandler(database, codec, keys, clocks), registry)
            await run_periodically(runner.tick, _EVERY_S, stop)

    return lambda: asyncio.run(run())
