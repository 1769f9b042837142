"""A doctor of a pool retires: a named successor has all open work at every practice, with a summary for each person."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from onestory.local.scenarios.checks import CheckTable
from onestory.local.scenarios.client import ScenarioClient, wait_until

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class PoolSize:
    """The numbers of practices, and of referrals of each kind at each practice."""

    practices: int = 4
    each: int = 6


SIZES = {"small": PoolSize(2, 2), "default": PoolSize(), "full": PoolSize(15, 10)}


@dataclass(slots=True)
class SomersetPool:
    """One run. Codes carry a suffix of their own, so that a stack can run it again."""

    client: ScenarioClient
    size: PoolSize
    table: CheckTable = field(default_factory=CheckTable)
    suffix: str = field(default_factory=lambda: secrets.token_hex(2).upper())

    def run(self) -> CheckTable:
        """Run the scenario and return its checks. Raises `Unavailable` where a request that has to succeed fails."""
        self.client.load_directory(self.directory(retired=False))
        words = f"Practice team {self.suffix}"
        wait_until(lambda: len(self.client.team_ids(words)) == self.size.practices)
        teams = self.client.team_ids(words)
        (nurses,) = self.client.team_ids(f"Community nurses {self.suffix}").values()
        received = self._received(teams)
        sent = self._sent(nurses)
        mine = self._claimed(self.doctor)
        self.table.add("referrals that the doctor works on", len(received), len(mine))
        self._check_sessions(next(iter(received)))
        before = {row["task"]: row for row in mine}

        self.client.load_directory(self.directory(retired=True))
        wait_until(lambda: len(self._claimed(self.successor)) == len(received))
        self._check(received, sent, before)
        return self.table

    @property
    def doctor(self) -> str:
        """The user who retires."""
        return f"doctor-{self.suffix}"

    @property
    def successor(self) -> str:
        """The user who follows."""
        return f"successor-{self.suffix}"

    @property
    def _other_day_doctor(self) -> str:
        return f"weekday-{self.suffix}"

    @property
    def _pool(self) -> str:
        return f"SP{self.suffix}"

    @property
    def _trust(self) -> str:
        return f"ST{self.suffix}"

    def _practice(self, index: int) -> str:
        return f"S{self.suffix}{index:02d}"

    def directory(self, *, retired: bool) -> dict[str, Any]:
        """The practices with their teams, and the dated roles of three doctors of the pool at each of them."""
        practices = [self._practice(index) for index in range(self.size.practices)]
        ending = {"until": _today() - timedelta(days=1), "handed_over_to": self.successor} if retired else {}
        other_days = [_DAYS[(datetime.now(UTC).weekday() + 3) % 7]]
        doctors: list[dict[str, Any]] = [
            {"user": self.doctor, "name": "Dr Retiring", "from": date(2019, 9, 2), **ending},
            {"user": self.successor, "name": "Dr Following", "from": date(2026, 1, 5)},
            {"user": self._other_day_doctor, "name": "Dr Otherday", "from": date(2026, 1, 5), "weekdays": other_days},
        ]
        return {
            "organisations": [{"ods": self._pool, "name": f"Doctors' pool {self.suffix}", "kind": "company"}],
            "teams": [
                *[
                    {
                        "id": f"team-{practice}",
                        "organisation": practice,
                        "name": f"Practice team {self.suffix} {practice}",
                        "kind": "general-practice",
                    }
                    for practice in practices
                ],
                {
                    "id": f"nurses-{self.suffix}",
                    "organisation": self._trust,
                    "name": f"Community nurses {self.suffix}",
                    "kind": "community-nursing",
                },
            ],
            "roles": [
                {**doctor, "team": f"team-{practice}", "code": "R0260"} for practice in practices for doctor in doctors
            ],
        }

    def _received(self, teams: dict[str, str]) -> dict[str, str]:
        """Referrals to the practices' teams that the doctor claims: the Task, and the practice of each."""
        practices = [self._practice(i) for i in range(self.size.practices) for _ in range(self.size.each)]
        people = self.client.register(practices)

        def refer(index: int) -> str:
            practice = practices[index]
            task = self.client.refer(self._trust, people[index], teams[f"Practice team {self.suffix} {practice}"])
            self.client.must_act(self._pool, task, "accept", user=self.doctor)
            self.client.must_act(self._pool, task, "claim", user=self.doctor)
            if index % 2:
                start = (datetime.now(UTC) + timedelta(days=4)).isoformat(timespec="seconds")
                self.client.must_act(self._pool, task, "book", user=self.doctor, start=start)
            return task

        wait_until(lambda: len(self._roles_seen()) == self.size.practices)
        return dict(zip(self.client.in_parallel(refer, range(len(people))), practices, strict=True))

    def _roles_seen(self) -> list[Any]:
        answer = self.client.as_caller(self._pool, self.doctor).get("/worklists/teams")
        return list(answer.json().get("teams", [])) if answer.status_code == 200 else []

    def _sent(self, nurses: str) -> dict[str, str]:
        """Referrals that the doctor sends for each practice: the Task, and the practice of each."""
        practices = [self._practice(i) for i in range(self.size.practices)]
        people = self.client.register(practices)

        def refer(index: int) -> str:
            return self.client.refer(practices[index], people[index], nurses, user=self.doctor)

        return dict(zip(self.client.in_parallel(refer, range(len(people))), practices, strict=True))

    def _claimed(self, user: str) -> list[dict[str, Any]]:
        return self.client.rows(self._pool, "mine", user, claimed="me")

    def _check_sessions(self, task: str) -> None:
        refused = self.client.act(
            self._pool, task, "message", user=self._other_day_doctor, category="information", text="x"
        )
        self.table.add("a doctor of another weekday acts today", "refused", _outcome(refused.status_code))

    def _check(self, received: dict[str, str], sent: dict[str, str], before: dict[str, dict[str, Any]]) -> None:
        heirs = {row["task"]: row for row in self._claimed(self.successor)}
        self.table.add("referrals that the successor works on", len(received), len(set(heirs) & set(received)))
        self.table.add("referrals left with the doctor", 0, len(self._claimed(self.doctor)))
        for name, part in (("status", "status"), ("clock", "dueAt"), ("words of the appointment", "businessStatus")):
            kept = sum(heirs.get(task, {}).get(part) == row[part] for task, row in before.items())
            self.table.add(f"referrals that keep their {name}", len(received), kept)
        told = self.client.handovers(self._pool, self.successor)
        summaries = Counter(row["task"] for each in told for row in each["referrals"])
        everything = {*received, *sent}
        self.table.add("handover summaries", len(everything), sum(summaries[task] > 0 for task in everything))
        self.table.add("people in the summaries", len(everything), len({each["nhsNumber"] for each in told}))
        one = next(iter(received))
        late = self.client.act(self._pool, one, "message", user=self.doctor, category="information", text="x")
        self.table.add("the doctor who retired acts", "refused", _outcome(late.status_code))
        start = self.client.act(self._pool, one, "start", user=self.successor)
        self.table.add("the successor goes on with the work", "done", _outcome(start.status_code))
        practice = received[one]
        notices = [each for each in self.client.notices(practice) if each["task"] == one]
        self.table.add("the practice is told", True, any(n["code"] == "referral-handed-over" for n in notices))
        requester = [each for each in self.client.notices(self._trust) if each["task"] == one]
        self.table.add("the requester is told", True, any(n["code"] == "referral-handed-over" for n in requester))


def _outcome(status: int) -> str:
    return "done" if status == 200 else "refused" if status in (403, 404, 409) else str(status)


def _today() -> date:
    return datetime.now(UTC).date()
