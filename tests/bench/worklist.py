"""Worklists of a team among 100,000 open referrals, compared with the bare query, and the delay of a followed list."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import httpx
import psycopg
from psycopg import sql
from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.event_stream import Stream, following
from tests.people import new_nhs_number
from tests.referrals import new_team, refer, service_request
from tests.stack import Services
from tests.waiting import until

OPEN = 100_000
TEAMS, LARGE = 95, 5_000
NURSES = "RZ1"
READS = 600
CONNECTIONS = 4
CHANGES = 100
LISTENERS = 20
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_STATES = ("requested", "received", "accepted", "in-progress", "on-hold")
_PRIORITIES = ("routine",) * 6 + ("urgent",) * 2 + ("asap", "stat")
_BARE = """
select * from referral.referral where is_open and recipient_team = $1 order by urgency, due_at, referral_id limit 51
"""
_ITS_OWN = ("urgency", "changed_in")


async def run(services: Services) -> list[Figure]:
    """Fill the tables, read first pages, and follow a list."""
    teams = [new_team(services, NURSES) for _ in range(TEAMS + 1)]
    await asyncio.to_thread(_fill, services, teams)
    figures = await _read(services, "first page of a team of 1,000", teams[1:])
    figures += await _read(services, "first page of a team of 5,000", teams[:1])
    figures += await asyncio.to_thread(_followed, services)
    await asyncio.to_thread(_empty, services)
    return figures


async def _read(services: Services, what: str, teams: Sequence[str]) -> list[Figure]:
    address = urlsplit(services.base_url)
    headers = {"Authorization": f"Bearer {services.token(NURSES)}"}
    asked = [wire.request("GET", f"/worklists/teams/{teams[n % len(teams)]}", headers) for n in range(READS)]
    alone, together = [
        await wire.load(str(address.hostname), int(address.port or 80), asked, connections)
        for connections in (1, CONNECTIONS)
    ]
    assert {*alone.statuses, *together.statuses} == {200}, (alone.statuses, together.statuses)
    bare = await _bare(services.postgres, teams)
    found = [Figure("worklist", f"{what}, {CONNECTIONS} connections", READS / together.seconds, "/s")]
    for share in (0.5, 0.99):
        value, raw = (1000 * percentile(each, share) for each in (alone.latencies, bare))
        found.append(Figure("worklist", f"{what}, p{100 * share:.0f}", value, "ms", raw, "bare query of the rows"))
    return found


async def _bare(postgres: str, teams: Sequence[str]) -> list[float]:
    """Return the seconds of each bare query for the same rows."""
    connection, seconds = await asyncpg.connect(postgres), list[float]()
    for number in range(READS):
        began = time.perf_counter()
        await connection.fetch(_BARE, teams[number % len(teams)])
        seconds.append(time.perf_counter() - began)
    await connection.close()
    return seconds


def _fill(services: Services, teams: Sequence[str]) -> None:
    """Copy one referral for other people, teams, priorities and times."""
    with services.client(load.PRACTICE) as surgery:
        sent = refer(surgery, service_request(new_nhs_number(), teams[0])).raise_for_status()
    with psycopg.connect(services.postgres) as connection, connection.cursor() as cursor:
        cursor.execute("select * from referral.referral where referral_id = %s", [sent.json()["id"]])
        assert cursor.description is not None
        columns = [each.name for each in cursor.description if each.name not in _ITS_OWN]
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        here = sql.SQL("copy (select {} from referral.referral where referral_id = {}) to stdout")
        with cursor.copy(here.format(listed, sql.Literal(sent.json()["id"]))) as out:
            line = b"".join(bytes(each) for each in out).decode().rstrip("\n")
        like = dict(zip(columns, line.split("\t"), strict=True))
        with cursor.copy(sql.SQL("copy referral.referral ({}) from stdin").format(listed)) as into:
            for row in _rows(like, teams):
                into.write(("\t".join(row[name] for name in columns) + "\n").encode())
        connection.commit()
        connection.autocommit = True
        cursor.execute("vacuum analyze referral.referral")


def _empty(services: Services) -> None:
    with psycopg.connect(services.postgres) as connection:
        connection.execute("delete from referral.referral where local_id like 'bench-%'")


def _rows(like: Mapping[str, str], teams: Sequence[str]) -> Iterator[dict[str, str]]:
    chance, now = random.Random(20260501), datetime.now(UTC)
    for number in range(OPEN):
        team = teams[0] if number < LARGE else teams[1 + number % TEAMS]
        status = chance.choice(_STATES)
        held = status in ("accepted", "in-progress", "on-hold")
        person = "".join(chance.choices(_ALPHABET, k=26))
        due = now + timedelta(minutes=chance.randrange(-500, 20_000))
        yield {
            **like,
            "person_key": person,
            "referral_id": f"{person}-{''.join(chance.choices(_ALPHABET, k=26))}",
            "task_id": f"{person}-{''.join(chance.choices(_ALPHABET, k=26))}",
            "local_id": f"bench-{number}",
            "recipient_team": team,
            "next_team": team,
            "status": status,
            "priority": chance.choice(_PRIORITIES),
            "due_at": due.isoformat(),
            # Referrals that are or soon become late count as escalated, so that no clock escalates them.
            "escalated_at": now.isoformat() if due < now + timedelta(hours=1) else "\\N",
            "changed_at": (now - timedelta(minutes=chance.randrange(20_000))).isoformat(),
            "claimed_by": f"user-{number % 40}" if number % 3 == 0 else "",
            **({"holder_organisation": NURSES, "holder_team": team} if held else {}),
        }


def _followed(services: Services) -> list[Figure]:
    """Measure the time from the answer to a change until every open list has it."""
    team, delays = new_team(services, NURSES), list[float]()
    with (
        services.client(load.PRACTICE) as surgery,
        services.client(NURSES) as nurses,
        _open(nurses, team) as streams,
    ):
        for _ in range(CHANGES):
            sent = refer(surgery, service_request(new_nhs_number(), team)).raise_for_status()
            answered, wanted = time.perf_counter(), sent.json()["id"]
            until(partial(_have, streams, wanted), 10)
            delays.append(time.perf_counter() - answered)
    what = f"from the answer until {LISTENERS} open lists have the change"
    return [
        Figure("worklist", f"{what}, p{100 * share:.0f}", 1000 * percentile(delays, share), "ms")
        for share in (0.5, 0.99)
    ]


@contextmanager
def _open(nurses: httpx.Client, team: str) -> Iterator[list[Stream]]:
    with ExitStack() as all_of_them:
        address = f"/worklists/teams/{team}/events"
        yield [all_of_them.enter_context(following(nurses, address)) for _ in range(LISTENERS)]


def _have(streams: Sequence[Stream], referral_id: str) -> bool:
    return all(any(row["referral"] == referral_id for row in each.named("changed")) for each in streams)
