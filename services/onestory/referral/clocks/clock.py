"""Reads the clocks and escalation contact from settings, and escalates overdue referrals in a loop."""

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
from onestory.referral.clocks.domain import Clocks, parse_clocks
from onestory.referral.clocks.escalation import Overdue, escalate
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.metrics import run_periodically
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.events import Party
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.schemas import schemas_folder
from onestory.shared.postgres import database as postgres_database
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import PREFIX, Settings


def load_clocks(setting: str = "") -> Clocks:
    """The clocks of `schemas/referral/clocks.yaml`, with the changes of a deployment.

    `setting` is ONESTORY_REFERRAL_CLOCKS, as JSON; empty: no changes. Raises `Misconfigured`.
    """
    variable = f"{PREFIX}REFERRAL_CLOCKS"
    table = yaml.safe_load((schemas_folder() / "referral" / "clocks.yaml").read_text())
    try:
        return parse_clocks(_overlay(table, json.loads(setting or "{}")))
    except json.JSONDecodeError as error:
        raise Misconfigured(f"{variable} is no JSON.") from error
    except ValueError as error:
        raise Misconfigured(f"{variable}: {error}") from error


def escalation_contact(setting: str) -> Party | None:
    """The party in ONESTORY_REFERRAL_ESCALATION: `ODS`, or `ODS/team`; None: it is empty. Raises `Misconfigured`."""
    organisation, _, team = setting.partition("/")
    if not setting:
        return None
    if not organisation.isalnum() or "/" in team:
        raise Misconfigured(f"{PREFIX}REFERRAL_ESCALATION names an organisation or a team: ODS, or ODS/team.")
    return Party(organisation.upper(), team)


def _overlay(table: Any, changes: Any) -> Any:
    """The table with these changes, at any depth. An entry that they do not name stays."""
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**table, **{name: _overlay(table.get(name), change) for name, change in changes.items()}}


_EVERY_S = 2.0
_PAGE = 100

log = structlog.get_logger()


class Escalator:
    """Escalates overdue referrals, each in a transaction of its own, under its person's lock.

    Several processes may run it: the second one finds the referral escalated. There is no leader election, so a process
    that died or cannot be reached does not stop the others.
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
        """Escalates all overdue referrals; returns their number. Raises `Unavailable`.

        It reads them page by page, the most urgent first. So a referral that becomes urgent meanwhile does not wait
        behind the many that are late at the end of a working day. A failed one is counted and tried at the next tick.
        """
        escalated, failed = 0, set[str]()
        while page := await clocks_store.not_escalated(self._database, self._now(), failed, _PAGE):
            for overdue in page:
                if await self._escalate(overdue):
                    escalated += 1
                else:
                    failed.add(overdue.referral_id)
        return escalated

    async def _escalate(self, overdue: Overdue) -> bool:
        try:
            decide = partial(escalate, overdue=overdue, deployment=self._deployment)
            change = await self._handler.change_without_request(overdue.referral_id, decide)
        except Unavailable:
            raise
        except Exception as error:
            # One referral that cannot be escalated must not stop the others.
            self._failures.inc()
            log.error("escalation_failed", referral=overdue.referral_id, error=type(error).__name__)
            return False
        if change is not None:
            self._escalations.inc()
            log.info("referral_escalated", event_id=str(change.context.event_id), kind=str(change.referral.kind))
        return change is not None


def escalation_loop(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """A function that escalates in a loop until `stop` is set, to be run in a thread. Raises `Misconfigured`."""
    clocks, deployment = load_clocks(settings.referral_clocks), escalation_contact(settings.referral_escalation)
    keys = Keys(settings.key_secret.encode())
    OverdueGauges(partial(postgres_database.connect, settings.postgres, "referral"), registry)

    async def tick() -> None:
        async with create_pool(settings.postgres, "record") as pool:
            database = Database(pool)
            handler = ReferralHandler(database, codec, keys, clocks)
            escalator = Escalator(database, handler, deployment, registry)
            await run_periodically(lambda _: escalator.tick(), _EVERY_S, stop)

    return lambda: asyncio.run(tick())


class OverdueGauges(Collector):
    """Gauges of overdue referrals, read from PostgreSQL whenever Prometheus scrapes them."""

    def __init__(self, connect: Callable[[], psycopg.Connection], registry: CollectorRegistry) -> None:
        self._connect = connect
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges; none while PostgreSQL does not answer."""
        try:
            with self._connect() as connection:
                count, not_escalated, oldest_s = clocks_store.overdue_figures(connection, datetime.now(UTC))
        except (Unavailable, psycopg.Error) as error:
            log.warning("overdue_gauges_unavailable", because=type(error).__name__)
            return
        yield GaugeMetricFamily("onestory_referrals_overdue", "Open referrals whose next actor is late", count)
        yield GaugeMetricFamily(
            "onestory_referrals_overdue_untold", "Overdue referrals that are not escalated yet", not_escalated
        )
        yield GaugeMetricFamily(
            "onestory_referral_overdue_seconds", "Seconds since the earliest due time of overdue referrals", oldest_s
        )
