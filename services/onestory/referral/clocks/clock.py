"""The clock of the referrals: finds what is overdue, and escalates it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import structlog
import yaml
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from onestory.referral.clocks import store as clocks_store
from onestory.referral.clocks.domain import Clocks, clocks
from onestory.referral.clocks.escalation import Overdue, escalate
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.metrics import until_stopped
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.events import Party
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.schemas import folder
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import PREFIX, Settings

# The clocks, loaded: `schemas/referral/clocks.yaml`, and over it what a deployment set.


def load(setting: str = "") -> Clocks:
    """The clocks, where `setting` is ONESTORY_REFERRAL_CLOCKS. Raises `Misconfigured`."""
    variable = f"{PREFIX}REFERRAL_CLOCKS"
    table = yaml.safe_load((folder() / "referral" / "clocks.yaml").read_text())
    try:
        return clocks(_over(table, json.loads(setting or "{}")))
    except json.JSONDecodeError as error:
        raise Misconfigured(f"{variable} is no JSON.") from error
    except ValueError as error:
        raise Misconfigured(f"{variable}: {error}") from error


def escalation_contact(setting: str) -> Party | None:
    """Whom ONESTORY_REFERRAL_ESCALATION names: `ODS`, or `ODS/team`; None: nobody. Raises `Misconfigured`."""
    organisation, _, team = setting.partition("/")
    if not setting:
        return None
    if not organisation.isalnum() or "/" in team:
        raise Misconfigured(f"{PREFIX}REFERRAL_ESCALATION names an organisation or a team: ODS, or ODS/team.")
    return Party(organisation.upper(), team)


def _over(table: Any, changes: Any) -> Any:
    """The table with these changes: what they do not name stays as it is."""
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**table, **{name: _over(table.get(name), change) for name, change in changes.items()}}


_EVERY_S = 2.0
_PAGE = 100

log = structlog.get_logger()


class Clock:
    """Escalates what is overdue, each referral in a transaction of its own, under its person's lock.

    Several may run: who comes second finds that it has been done. None has to win an election first, so a process that
    died, or cannot be reached, keeps nobody from escalating.
    """

    def __init__(
        self,
        database: Database,
        handler: ReferralHandler,
        deployment: Party | None,
        registry: CollectorRegistry,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._handler = handler
        self._deployment = deployment
        self._now = now or (lambda: datetime.now(UTC))
        self._escalations = Counter("onestory_referral_escalations", "Referrals escalated", registry=registry)
        self._failures = Counter(
            "onestory_referral_escalations_failed", "Escalations that could not be made, tried again", registry=registry
        )

    async def tick(self) -> int:
        """Escalate all that is overdue; how many were. Raises `Unavailable`.

        They are taken page by page, the most urgent first: what becomes urgent meanwhile does not wait behind the many
        that are all late at the end of a working day. What fails is counted and tried again at the next tick.
        """
        done, left = 0, set[str]()
        while found := await clocks_store.not_escalated(self._database, self._now(), left, _PAGE):
            for each in found:
                if await self._escalate(each):
                    done += 1
                else:
                    left.add(each.referral_id)
        return done

    async def _escalate(self, each: Overdue) -> bool:
        try:
            deciding = partial(escalate, overdue=each, deployment=self._deployment)
            changed = await self._handler.unasked(each.referral_id, deciding)
        except Unavailable:
            raise
        except Exception as error:
            # One referral that cannot be escalated may not keep all others from it.
            self._failures.inc()
            log.error("escalation_failed", referral=each.referral_id, error=type(error).__name__)
            return False
        if changed is not None:
            self._escalations.inc()
            log.info("referral_escalated", event_id=str(changed.doing.event_id), kind=str(changed.referral.kind))
        return changed is not None


def prepared(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """What lets the clock of this deployment tick until `stop` is set. Raises `Misconfigured`."""
    clocks, deployment = load(settings.referral_clocks), escalation_contact(settings.referral_escalation)
    keys = Keys(settings.key_secret.encode())
    OverdueGauges(partial(postgres_database.connect, settings.postgres, "referral"), registry)

    async def tick() -> None:
        async with create_pool(settings.postgres) as pool:
            database = Database(pool)
            handler = ReferralHandler(database, codec, keys, clocks)
            clock = Clock(database, handler, deployment, registry)
            await until_stopped(lambda _: clock.tick(), _EVERY_S, stop)

    return lambda: asyncio.run(tick())


class OverdueGauges(Collector):
    """What an operator sees of overdue referrals: read from PostgreSQL when the metrics are asked for."""

    def __init__(self, connect: Callable[[], psycopg.Connection], registry: CollectorRegistry) -> None:
        self._connect = connect
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Prometheus asks for it. There are none while PostgreSQL does not answer."""
        try:
            with self._connect() as connection:
                count, untold, oldest_s = clocks_store.figures(connection, datetime.now(UTC))
        except (Unavailable, psycopg.Error) as error:
            log.warning("overdue_not_read", because=type(error).__name__)
            return
        yield GaugeMetricFamily("onestory_referrals_overdue", "Open referrals whose next actor is late", count)
        yield GaugeMetricFamily("onestory_referrals_overdue_untold", "Those of them not escalated yet", untold)
        yield GaugeMetricFamily("onestory_referral_overdue_seconds", "For how long the oldest of them is", oldest_s)
