"""Referrals made and changed over HTTP, compared with bare transactions, and the delay until others see a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import orjson
import psutil
import psycopg
from kafka import KafkaConsumer, TopicPartition
from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.people import new_nhs_number
from tests.referrals import new_team, service_request
from tests.stack import Services
from tests.waiting import until

from onestory.shared.events import ReferralChanged
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import REFERRAL_TOPIC, topics

CONNECTIONS = (4, 8)
REFERRALS = 800
WARM_UP = 100
WAY = ("receive", "accept", "start", "complete")
NURSES = "RZ1"
HEARD = 100
_RATE = 20
_PATIENCE_S = 30.0
# The tables that one command writes, each in one statement.
_TABLES = ("referral", "resource", "change", "outbox")
# The columns that PostgreSQL fills itself.
_ITS_OWN = {"urgency", "changed_in"}


async def run(services: Services) -> list[Figure]:
    """Make referrals, take each through its states, and write the same rows in bare transactions."""
    team = new_team(services, NURSES)
    bench = _Bench(services, team)
    await bench.refer(WARM_UP, CONNECTIONS[0])
    figures: list[Figure] = []
    for connections in CONNECTIONS:
        worked = [bench.cpu_s()]
        created = await bench.refer(REFERRALS, connections)
        worked.append(bench.cpu_s())
        changed = await bench.work(created.headers, connections)
        worked.append(bench.cpu_s())
        raw = await _bare(services.postgres, connections)
        figures += _figures("creations", created, connections, raw, worked[1] - worked[0])
        figures += _figures("transitions", changed, connections, raw, worked[2] - worked[1])
    return figures + await bench.heard()


def _figures(what: str, seen: wire.Answered, connections: int, raw: float, cpu_s: float) -> list[Figure]:
    count = len(seen.latencies)
    assert set(seen.statuses) <= {200, 201}, seen.statuses
    return [
        Figure("referral", f"{what}, {connections} connections", count / seen.seconds, "/s", raw, "bare transactions"),
        *[
            Figure("referral", f"{what}, {connections} connections, p{share:.0%}"[:-1], 1000 * value, "ms")
            for share in (0.5, 0.99)
            if (value := percentile(seen.latencies, share))
        ],
        Figure("referral", f"{what}, {connections} connections, processor of serve", 1000 * cpu_s / count, "ms each"),
    ]


class _Bench:
    """A surgery that refers, and nurses who work on it."""

    def __init__(self, services: Services, team: str) -> None:
        self._services, self._team = services, team
        address = urlsplit(services.base_url)
        self._at = (str(address.hostname), int(address.port or 80))
        self._surgery, self._nurses = (_headers(services.token(each)) for each in (load.PRACTICE, NURSES))

    def cpu_s(self) -> float:
        """Return the CPU seconds of `serve` so far. Other load on the machine does not change this figure."""
        spent = psutil.Process(self._services.pid("serve")).cpu_times()
        return float(spent.user + spent.system)

    async def refer(self, count: int, connections: int) -> wire.Answered:
        """Make new referrals. The kept headers name the Task of each."""
        return await wire.load(*self._at, [self._request() for _ in range(count)], connections, b"Link")

    async def work(self, links: Sequence[str], connections: int) -> wire.Answered:
        """Take each of these referrals from its request to its end."""
        tags = await self._tags()
        return await wire.converse(*self._at, (self._way(_task(link), tags) for link in links), connections, b"ETag")

    async def _tags(self) -> dict[str, str]:
        connection = await asyncpg.connect(self._services.postgres)
        rows = await connection.fetch("select task_id, changed_by from referral.referral where is_open")
        await connection.close()
        return {row["task_id"]: f'W/"{row["changed_by"]}"' for row in rows}

    def _way(self, task: str, tags: dict[str, str]) -> Generator[bytes, str, None]:
        tag = tags[task]
        for action in WAY:
            tag = yield wire.request("POST", f"/fhir/Task/{task}/${action}", {**self._nurses, "If-Match": tag})

    def _request(self) -> bytes:
        said = service_request(new_nhs_number(), self._team, note=[{"text": "Walks with a frame. " * 10}])
        return wire.request("POST", "/fhir/ServiceRequest", self._surgery, orjson.dumps(said))

    async def heard(self) -> list[Figure]:
        """Measure the time from the answer until `care.referral` has a change, and until the record shows it."""
        await asyncio.to_thread(until, partial(_is_relayed, self._services.postgres))
        listener = _Listener(self._services.kafka)
        hearing = asyncio.create_task(asyncio.to_thread(listener.hear, HEARD))
        started, answered = time.perf_counter(), dict[str, float]()
        seen = dict[str, float]()
        watching = list[asyncio.Task[None]]()
        for number in range(HEARD):
            await asyncio.sleep(max(0.0, started + number / _RATE - time.perf_counter()))
            told = await wire.load(*self._at, [self._request()], 1, b"ETag")
            event_id = told.headers[0][3:-1]
            answered[event_id] = time.perf_counter()
            watching.append(asyncio.create_task(self._watch(event_id, seen)))
        heard = await hearing
        await asyncio.gather(*watching)
        delays = {
            "on care.referral": [max(0.0, heard[each] - at) for each, at in answered.items()],
            "on the record": [seen[each] - at for each, at in answered.items() if each in seen],
        }
        return [
            Figure("referral", f"from the answer until it is {where}, p{name}", percentile(values, share) * 1000, "ms")
            for where, values in delays.items()
            if values
            for name, share in (("50", 0.5), ("99", 0.99))
        ]

    async def _watch(self, event_id: str, seen: dict[str, float]) -> None:
        connection = await asyncpg.connect(self._services.postgres)
        deadline = time.perf_counter() + 5.0
        while time.perf_counter() < deadline:
            if await connection.fetchval("select true from record.statement where event_id = $1 limit 1", event_id):
                seen[event_id] = time.perf_counter()
                break
            await asyncio.sleep(0.01)
        await connection.close()


class _Listener:
    """Follows `care.referral` from its end on."""

    def __init__(self, bootstrap: str) -> None:
        self._codec = create_codec("")
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=20)
        places = [TopicPartition(REFERRAL_TOPIC, number) for number in range(topics()[REFERRAL_TOPIC].partitions)]
        self._consumer.assign(places)
        self._consumer.seek_to_end(*places)
        for place in places:
            self._consumer.position(place)

    def hear(self, count: int) -> dict[str, float]:
        """Return the arrival time of each of the next `count` events, by event id."""
        heard = dict[str, float]()
        deadline = time.perf_counter() + _PATIENCE_S
        while len(heard) < count and time.perf_counter() < deadline:
            for messages in self._consumer.poll(timeout_ms=20).values():
                for message in messages:
                    event = self._codec.decode(message.value)
                    assert isinstance(event, ReferralChanged)
                    heard[str(event.event_id)] = time.perf_counter()
        self._consumer.close()
        return heard


def _is_relayed(postgres: str) -> bool:
    with psycopg.connect(postgres) as connection:
        return connection.execute("select from referral.outbox limit 1").rowcount == 0


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}


def _task(link: str) -> str:
    return link.partition("/fhir/Task/")[2].partition(">")[0]


async def _bare(postgres: str, connections: int) -> float:
    """Return transactions per second that write the rows of one command, in tables of the same form."""
    pool = await asyncpg.create_pool(postgres, min_size=connections, max_size=connections)
    async with pool.acquire() as connection:
        await connection.execute("drop schema if exists bare cascade; create schema bare")
        for table in _TABLES:
            await connection.execute(f"create table bare.{table} (like referral.{table} including all)")
    inserts = [await _insert(pool, table) for table in _TABLES]
    keys = iter(range(REFERRALS))
    started = time.perf_counter()
    await asyncio.gather(*[_write(pool, inserts, keys) for _ in range(connections)])
    seconds = time.perf_counter() - started
    await pool.execute("drop schema bare cascade")
    await pool.close()
    return REFERRALS / seconds


async def _insert(pool: asyncpg.Pool, table: str) -> tuple[str, list[object]]:
    """Return the INSERT of one row of the table, and a row. The first value differs in each transaction."""
    source = "referral" if table != "outbox" else ""
    row = await pool.fetchrow(f"select * from referral.{table} limit 1") if source else None  # noqa: S608
    known = (
        {name: value for name, value in row.items() if name not in _ITS_OWN}
        if row
        else {"topic": "care.referral", "key": b"k" * 26, "value": b"v" * 1500}
    )
    names = sorted(known, key=lambda name: name != "person_key")
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    return f"insert into bare.{table} ({', '.join(names)}) values ({places})", [known[name] for name in names]  # noqa: S608


async def _write(pool: asyncpg.Pool, inserts: Sequence[tuple[str, list[object]]], keys: Iterable[int]) -> None:
    async with pool.acquire() as connection:
        for key in keys:
            async with connection.transaction():
                for statement, (first, *rest) in inserts:
                    await connection.execute(statement, f"{key:026d}" if isinstance(first, str) else first, *rest)
