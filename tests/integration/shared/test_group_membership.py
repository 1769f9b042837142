"""Members of a consumer group return, leave, die and are replaced. Real Kafka assigns the partitions.

Session time-outs here are either so long that they cannot cause any result, or as short as Kafka allows.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from tests.people import condition, new_nhs_number, patient
from tests.stack import Services, Stack
from tests.waiting import until

from onestory.local import processes, up
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.kafka.consumer import KafkaLog, Partition

PARTITIONS = 6
LONG_S, SHORT_S = 120.0, 6.0
SOON_S = 60.0
"""Half of the long session: whatever came by then did not wait for it."""


class Member:
    """A group member that polls in its own thread, as a projector does. The thread ends before the consumer."""

    def __init__(self, stack: Stack, topic: str, instance: str, session_s: float) -> None:
        self.log = KafkaLog(stack.kafka, topic, [topic], instance=instance, session_s=session_s)
        self.assigned: frozenset[Partition] = frozenset()
        self.seen: list[frozenset[Partition]] = []
        """Every assignment so far, in order. An assignment that repeats the one before it is left out."""
        self.failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def _poll(self) -> None:
        while not self._ended.is_set():
            try:
                self.log.poll(50, 1)
            except Exception as error:
                self.failure = error
                return
            self.assigned = frozenset(self.log.assigned())
            if not self.seen or self.seen[-1] != self.assigned:
                self.seen.append(self.assigned)

    def die(self) -> None:
        """End like a killed process: the connections close, and the group gets no message."""
        self._ended.set()
        self._thread.join()
        self.log._consumer._coordinator.is_dynamic_member = lambda: False  # closes without leaving the group
        self.log._close()

    def leave(self) -> None:
        """End like a process that stops in order."""
        self._ended.set()
        self._thread.join()
        self.log.close()


@pytest.fixture
def topic(stack: Stack) -> str:
    """A topic with several partitions. The group has the same name."""
    name = f"test.{uuid.uuid4().hex[:8]}"
    with closing(KafkaAdminClient(bootstrap_servers=stack.kafka)) as admin:
        admin.create_topics({name: {"num_partitions": PARTITIONS, "replication_factor": 1}}, wait_for_metadata=True)
    return name


@contextmanager
def members(stack: Stack, topic: str, instances: Sequence[str], session_s: float) -> Iterator[list[Member]]:
    """Members of one group that share all partitions."""
    with ExitStack() as closing:
        found = []
        for instance in instances:
            found.append(Member(stack, topic, instance, session_s))
            closing.callback(found[-1].leave)
        until(lambda: all(each.assigned for each in found) and shared(found) == everything(topic))
        yield found


def everything(topic: str) -> list[Partition]:
    return [Partition(topic, each) for each in range(PARTITIONS)]


def shared(found: Sequence[Member]) -> list[Partition]:
    """All assigned partitions. A partition that two members have occurs twice."""
    return sorted(place for each in found for place in each.assigned)


def test_a_member_that_was_killed_and_comes_back_under_its_name_gets_the_same_partitions_at_once(
    stack: Stack, topic: str
) -> None:
    with members(stack, topic, ["one", "two"], LONG_S) as (one, two):
        had = one.assigned
        one.die()

        again = Member(stack, topic, "one", LONG_S)
        try:
            until(lambda: again.assigned == had, SOON_S)
        finally:
            again.leave()

        assert two.failure is None


def test_without_a_name_a_killed_member_is_waited_for_until_its_session_ends(stack: Stack, topic: str) -> None:
    with members(stack, topic, [""], SHORT_S) as (one,):
        one.die()
        died = time.monotonic()

        with members(stack, topic, [""], SHORT_S):
            # The last heartbeat may be one second old.
            assert time.monotonic() - died > SHORT_S - 2


@pytest.mark.parametrize("instances", [("one", "two"), ("", "")])
def test_another_member_takes_over_from_one_that_does_not_come_back(
    stack: Stack, topic: str, instances: Sequence[str]
) -> None:
    with members(stack, topic, instances, SHORT_S) as (one, two):
        one.die()

        until(lambda: sorted(two.assigned) == everything(topic))


@pytest.mark.parametrize("instances", [("one", "two"), ("", "")])
def test_a_member_that_stops_in_order_hands_its_partitions_over_at_once(
    stack: Stack, topic: str, instances: Sequence[str]
) -> None:
    with members(stack, topic, instances, LONG_S) as (one, two):
        one.leave()

        until(lambda: sorted(two.assigned) == everything(topic), SOON_S)


def test_a_member_keeps_what_it_keeps_while_another_joins_and_leaves(stack: Stack, topic: str) -> None:
    with members(stack, topic, ["one"], LONG_S) as (one,):
        two = Member(stack, topic, "two", LONG_S)
        try:
            until(lambda: bool(two.assigned) and shared([one, two]) == everything(topic), SOON_S)
            kept = one.assigned
        finally:
            two.leave()
        until(lambda: sorted(one.assigned) == everything(topic), SOON_S)
        assert 0 < len(kept) < PARTITIONS

        # It had no partitions before it joined. After that it always had the ones that it keeps.
        joined = next(place for place, each in enumerate(one.seen) if each)
        assert all(kept <= each for each in one.seen[joined:])


def test_a_join_that_outlasts_its_poll_is_finished_by_the_next_one(stack: Stack, topic: str) -> None:
    with closing(KafkaLog(stack.kafka, topic, [topic])) as log:
        until(lambda: log.poll(100, 1) is not None and sorted(log.assigned()) == everything(topic))
        coordinator = log._consumer._coordinator
        # This looks as if the topic's metadata had changed. By the next poll the metadata is as before.
        known, coordinator._assignment_snapshot = coordinator._assignment_snapshot, {}
        until(lambda: log.poll(0, 1) is not None and coordinator.rejoining)
        coordinator._assignment_snapshot = known
        assert not coordinator.stable()

        until(lambda: log.poll(100, 1) is not None and coordinator.stable(), SOON_S)

        assert sorted(log.assigned()) == everything(topic)


def test_of_two_members_with_one_name_the_first_is_told_so_and_the_second_goes_on(stack: Stack, topic: str) -> None:
    with members(stack, topic, ["one"], LONG_S) as (first,):
        second = Member(stack, topic, "one", LONG_S)
        try:
            until(lambda: first.failure is not None)
            first.leave()
            until(lambda: sorted(second.assigned) == everything(topic))
            # The first member leaves and takes nothing from the second. The group learns this with the next heartbeats.
            until(lambda: second.log._consumer._coordinator.heartbeat.last_send > time.monotonic() - 0.5)
            assert sorted(second.assigned) == everything(topic)
        finally:
            second.leave()

    assert isinstance(first.failure, Misconfigured)
    assert "ONESTORY_INSTANCE" in first.failure.issues[0].diagnostics


def test_a_session_that_kafka_does_not_allow_is_said_so(stack: Stack, topic: str) -> None:
    with closing(KafkaLog(stack.kafka, topic, [topic], session_s=1.0)) as log, pytest.raises(Misconfigured) as caught:
        until(lambda: log.poll(100, 1) is None)

    assert "ONESTORY_CONSUMER_SESSION_S" in caught.value.issues[0].diagnostics


def test_a_member_waits_while_the_group_has_one_of_a_version_that_rebalances_eagerly(stack: Stack, topic: str) -> None:
    # The earlier version created KafkaConsumer without a strategy, as here.
    with closing(KafkaConsumer(topic, bootstrap_servers=stack.kafka, group_id=topic)) as earlier:
        until(lambda: earlier.poll(100) is not None and len(earlier.assignment()) == PARTITIONS)
        with closing(KafkaLog(stack.kafka, topic, [topic], instance="one")) as log:
            with pytest.raises(Unavailable) as caught:
                until(lambda: log.poll(100, 1) is None)
            earlier.close()

            until(lambda: log.poll(100, 1) is not None and sorted(log.assigned()) == everything(topic))

    assert "earlier version" in caught.value.issues[0].diagnostics


SAID = {"Content-Type": "application/fhir+json"}


def test_a_projector_that_is_killed_and_started_again_goes_on_before_its_session_is_over(
    services: Services, practice: httpx.Client
) -> None:
    number = new_nhs_number()
    known = practice.put(f"/fhir/Patient/{number}-p", json=patient(number, f"{number}-p"), headers=SAID)
    services.kill("project")
    killed = time.monotonic()
    said = practice.put(f"/fhir/Condition/{number}-c", json=condition(number, f"{number}-c"), headers=SAID)
    services.start("project")

    after = said.headers["X-OneStory-Position"]
    until(lambda: practice.get("/fhir/Condition", params={"patient": number, "after": after}).status_code == 200)

    assert known.is_success
    assert time.monotonic() - killed < services.session_s - 2
    print(f"{time.monotonic() - killed:.1f} s from the kill to what was published meanwhile")


def test_a_second_projector_under_the_same_name_ends_the_first_one(services: Services, practice: httpx.Client) -> None:
    first = services.pid("project")
    assert first is not None
    surroundings = up.process_environment("project", services.home, services.stack) | {"ONESTORY_HEALTH_PORT": "0"}
    command = [*up.onestory_command(), *up.PROCESS_COMMANDS["project"]]

    with processes.log_file(services.home, "second").open("wb") as log:
        second = subprocess.Popen(command, env=surroundings, stdout=log, stderr=log)
    try:
        until(lambda: services.pid("project") is None)
        number = new_nhs_number()
        sent = {**SAID, "Prefer": "wait=30"}
        shown = practice.put(f"/fhir/Patient/{number}-p", json=patient(number, f"{number}-p"), headers=sent)
    finally:
        second.terminate()
        second.wait(30)
        services.start("project")

    assert shown.is_success, shown.text
    assert second.returncode == 0
    assert os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) == 1
    assert "ONESTORY_INSTANCE" in services.log("project")
