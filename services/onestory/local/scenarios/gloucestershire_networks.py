"""Sixteen clusters of practices become fourteen networks while referrals are open; a pharmacist has one worklist.

Of the sixteen teams eleven keep their id under another name, one is split by practice, and twice two merge.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from onestory.local.scenarios.checks import CheckTable
from onestory.local.scenarios.client import ScenarioClient, wait_until

CLUSTERS, NETWORKS = 16, 14
_MERGED = {13: 13, 14: 13, 15: 14, 16: 14}
"""Cluster -> network of the clusters that merge. The others keep their number."""
_SPLIT = 1
"""One practice of this cluster goes to the next network."""


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of practices and of open referrals."""

    practices: int = 74
    referrals: int = 200


SIZES = {"small": Size(20, 24), "default": Size(), "full": Size()}


@dataclass(slots=True)
class GloucestershireNetworks:
    """One run. Codes carry a suffix of their own, so that a stack can run it again."""

    client: ScenarioClient
    size: Size
    table: CheckTable = field(default_factory=CheckTable)
    suffix: str = field(default_factory=lambda: secrets.token_hex(2).upper())

    def run(self) -> CheckTable:
        """Run the scenario and return its checks. Raises `Unavailable` where a request that has to succeed fails."""
        self.client.load_directory(self.clusters())
        wait_until(lambda: len(self.client.team_ids(f"nurses {self.suffix}")) == CLUSTERS)
        teams = self.client.team_ids(f"nurses {self.suffix}")
        by_cluster = {number: teams[self._team_name("Cluster", number)] for number in range(1, CLUSTERS + 1)}
        people = self.client.register(
            [self._practice(index % self.size.practices) for index in range(self.size.referrals)]
        )
        tasks = self._refer(people, by_cluster)
        before = self._rows(set(by_cluster.values()))
        self.table.add("referrals open on the clusters' lists", len(tasks), len(before))
        self._check_access(people, "before")

        self.client.load_directory(self.networks())
        expected = self._expected_teams(tasks, by_cluster)
        wait_until(lambda: self._places(expected) == expected)
        self._check_referrals(tasks, before, expected, by_cluster)
        self._check_access(people, "after")
        self._check_topology()
        self._check_pharmacist()
        return self.table

    def _practice(self, index: int) -> str:
        return f"G{self.suffix}{index:02d}"

    @property
    def _trust(self) -> str:
        return f"GT{self.suffix}"

    def _cluster_of(self, index: int) -> int:
        return index % CLUSTERS + 1

    def _moves_away(self, index: int) -> bool:
        """Whether the practice goes to the network after that of its cluster: the last one of the split cluster."""
        return self._cluster_of(index) == _SPLIT and index == max(
            each for each in range(self.size.practices) if self._cluster_of(each) == _SPLIT
        )

    def _network_of(self, index: int) -> int:
        cluster = self._cluster_of(index)
        return cluster + 1 if self._moves_away(index) else _MERGED.get(cluster, cluster)

    def _team_name(self, kind: str, number: int) -> str:
        return f"{kind} {number} nurses {self.suffix}"

    def clusters(self) -> dict[str, Any]:
        """The directory before: sixteen clusters, each with its practices and its team."""
        return {
            "organisations": [{"ods": self._trust, "name": f"Community trust {self.suffix}", "kind": "trust"}],
            "networks": [self._cluster(number, until=None) for number in range(1, CLUSTERS + 1)],
            "teams": [self._team("Cluster", number) for number in range(1, CLUSTERS + 1)],
        }

    def networks(self) -> dict[str, Any]:
        """The directory after: memberships of clusters have ended, fourteen networks have begun, teams follow."""
        renamed = [number for number in range(1, CLUSTERS + 1) if number not in _MERGED and number != _SPLIT]
        ended = [_SPLIT, *_MERGED]
        moved = [self._practice(index) for index in range(self.size.practices) if self._moves_away(index)]
        new_teams = sorted({_SPLIT, *_MERGED.values()})
        return {
            "networks": [
                *[self._cluster(number, until=_yesterday()) for number in range(1, CLUSTERS + 1)],
                *[self._network(number) for number in range(1, NETWORKS + 1)],
            ],
            "teams": [
                *[{**self._team("Network", number), "id": f"cluster-{number}-{self.suffix}"} for number in renamed],
                *[
                    {
                        "id": f"network-{number}-{self.suffix}",
                        "organisation": self._trust,
                        "name": self._team_name("Network", number),
                        "kind": "community-nursing",
                    }
                    for number in new_teams
                ],
                *[
                    {
                        **self._team("Cluster", number),
                        "active": False,
                        "succeeded_by": [
                            {"team": f"network-{_MERGED.get(number, number)}-{self.suffix}"},
                            *(
                                [{"team": f"cluster-{number + 1}-{self.suffix}", "practices": moved}]
                                if number == _SPLIT
                                else []
                            ),
                        ],
                    }
                    for number in ended
                ],
            ],
        }

    def _team(self, kind: str, number: int) -> dict[str, Any]:
        return {
            "id": f"{kind.lower()}-{number}-{self.suffix}",
            "organisation": self._trust,
            "name": self._team_name(kind, number),
            "kind": "community-nursing",
        }

    def _cluster(self, number: int, until: date | None) -> dict[str, Any]:
        times = {"from": date(2017, 4, 1), **({"until": until} if until else {})}
        practices = [index for index in range(self.size.practices) if self._cluster_of(index) == number]
        return {
            "code": f"cluster-{number}-{self.suffix}",
            "name": f"Cluster {number}",
            "members": [{"practice": self._practice(index), **times} for index in practices],
        }

    def _network(self, number: int) -> dict[str, Any]:
        practices = [index for index in range(self.size.practices) if self._network_of(index) == number]
        return {
            "code": f"network-{number}-{self.suffix}",
            "name": f"Network {number}",
            "members": [{"practice": self._practice(index), "from": datetime.now(UTC).date()} for index in practices],
        }

    def _refer(self, people: list[str], teams: dict[int, str]) -> dict[str, int]:
        """The Tasks of new referrals, one for each person, each with the index of its practice.

        A third is asked, a third is accepted and half of these booked, a third is in conversation. A fifth is claimed.
        """

        def refer(index: int) -> str:
            practice = index % self.size.practices
            task = self.client.refer(self._practice(practice), people[index], teams[self._cluster_of(practice)])
            if index % 3 == 1:
                self.client.must_act(self._trust, task, "accept")
            if index % 6 == 1:
                self.client.must_act(self._trust, task, "book", start=_in_days(3 + index % 20))
            if index % 3 == 2:
                self.client.must_act(self._trust, task, "message", category="question", text="Can she walk?")
            if index % 5 == 0:
                self.client.must_act(self._trust, task, "claim", user=f"nurse-{self.suffix}")
            return task

        indexes = range(len(people))
        return dict(
            zip(self.client.in_parallel(refer, indexes), [i % self.size.practices for i in indexes], strict=True)
        )

    def _rows(self, teams: set[str]) -> dict[str, dict[str, Any]]:
        """The rows of these teams' lists by Task. A Task on two lists is kept under two names."""
        found: dict[str, dict[str, Any]] = {}
        for team in sorted(teams):
            for row in self.client.rows(self._trust, f"teams/{team}"):
                found[row["task"] if row["task"] not in found else f"{row['task']} on {team}"] = {**row, "list": team}
        return found

    def _expected_teams(self, tasks: dict[str, int], by_cluster: dict[int, str]) -> dict[str, str]:
        wait_until(lambda: len(self.client.team_ids(f"Network nurses {self.suffix}")) == NETWORKS)
        names = self.client.team_ids(f"Network nurses {self.suffix}")
        return {task: names[self._team_name("Network", self._network_of(practice))] for task, practice in tasks.items()}

    def _places(self, expected: dict[str, str]) -> dict[str, str]:
        return {task: row["list"] for task, row in self._rows(set(expected.values())).items()}

    def _check_referrals(
        self,
        tasks: dict[str, int],
        before: dict[str, dict[str, Any]],
        expected: dict[str, str],
        by_cluster: dict[int, str],
    ) -> None:
        after = self._rows({*expected.values(), *by_cluster.values()})
        self.table.add("referrals lost", 0, len(set(tasks) - set(after)))
        self.table.add("referrals on two lists", 0, len(set(after) - set(tasks)))
        self.table.add(
            "referrals at the team of their network",
            len(tasks),
            sum(after.get(task, {}).get("list") == team for task, team in expected.items()),
        )
        for name, part in (
            ("status", "status"),
            ("clock", "dueAt"),
            ("priority", "priority"),
            ("claim", "claimedBy"),
            ("words of the appointment", "businessStatus"),
            ("turn in the conversation", "yourTurn"),
        ):
            kept = sum(after.get(task, {}).get(part) == row[part] for task, row in before.items())
            self.table.add(f"referrals that keep their {name}", len(tasks), kept)
        moved = {task for task in tasks if before[task]["list"] != expected[task]}
        told = Counter(
            notice["task"]
            for practice in sorted({self._practice(tasks[task]) for task in moved})
            for notice in self.client.notices(practice)
            if notice["code"] == "referral-handed-over" and notice["as"] == "requester"
        )
        self.table.add("requesters told once of a referral that moved", len(moved), sum(told[t] == 1 for t in moved))
        holders = Counter(
            (notice["task"], notice["team"])
            for notice in self.client.notices(self._trust)
            if notice["code"] == "referral-handed-over"
        )
        self.table.add("new teams told once", len(moved), sum(holders[task, expected[task]] == 1 for task in moved))
        summaries = [row for each in self.client.handovers(self._trust) for row in each["referrals"]]
        self.table.add("handover summaries", len(moved), len({row["task"] for row in summaries} & moved))

    def _check_access(self, people: list[str], when: str) -> None:
        """Practices of clusters 13 and 14 come together; one practice leaves those of cluster 1."""
        together = (self._practice(12), people[13], when == "after")
        leaves = next(index for index in range(self.size.practices) if self._moves_away(index))
        left = (self._practice(leaves), people[_SPLIT - 1], when == "before")
        for what, (practice, number, expected) in {
            "a practice of the merged network": together,
            "a practice that left": left,
        }.items():
            wait_until(lambda p=practice, n=number, e=expected: self.client.sees_record(p, n) is e)  # type: ignore[misc]
            seen = self.client.sees_record(practice, number)
            self.table.add(f"{what} reads the other's person, {when}", expected, seen)

    def _check_topology(self) -> None:
        for at, kind, count in ((_yesterday().isoformat(), "cluster", CLUSTERS), ("", "network", NETWORKS)):
            found = [each for each in self.client.topology(at)["networks"] if each["network"].endswith(self.suffix)]
            right = sum(each["network"].startswith(kind) for each in found)
            members = sum(len(each["members"]) for each in found)
            self.table.add(f"{kind}s in the topology {'of yesterday' if at else 'of now'}", count, right)
            self.table.add(f"practices in these {kind}s", self.size.practices, members)

    def _check_pharmacist(self) -> None:
        """A pharmacist of three practices: one list, of those whose referral is open, while the role is in force."""
        user, practices = f"pharmacist-{self.suffix}", [self._practice(index) for index in range(3)]
        teams = [
            {
                "id": f"pharmacy-{each}",
                "organisation": each,
                "name": f"Pharmacist {each}",
                "kind": "primary-care-pharmacy",
            }
            for each in practices
        ]
        roles = [{"user": user, "name": "Pat Example", "team": each["id"], "code": "R8003"} for each in teams]
        self.client.load_directory({"teams": teams, "roles": roles})
        wait_until(lambda: len(self.client.team_ids(f"Pharmacist G{self.suffix}")) == len(practices))
        ids = self.client.team_ids(f"Pharmacist G{self.suffix}")
        people = self.client.register([practice for practice in practices for _ in range(2)])
        tasks = [
            self.client.refer(practices[index // 2], number, ids[f"Pharmacist {practices[index // 2]}"])
            for index, number in enumerate(people)
        ]
        pool = f"GP{self.suffix}"
        wait_until(lambda: len(self.client.rows(pool, "mine", user)) == len(tasks))
        self.table.add("people on the pharmacist's one list", len(tasks), len(self.client.rows(pool, "mine", user)))
        self.client.must_act(practices[0], tasks[0], "cancel", reason="No need any more")
        self.table.add("after one referral ended", len(tasks) - 1, len(self.client.rows(pool, "mine", user)))
        ended = [{**roles[2], "until": _yesterday()}]
        self.client.load_directory({"teams": teams[2:], "roles": ended})
        wait_until(lambda: len(self.client.rows(pool, "mine", user)) == len(tasks) - 3)
        self.table.add(
            "after the role at one practice ended", len(tasks) - 3, len(self.client.rows(pool, "mine", user))
        )


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
