"""`onestory topics apply|diff`: makes Kafka match `schemas/topics/`, or lists the differences.

The command deletes nothing. It never changes a partition count, because that would send a person to another partition.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from onestory.shared import settings
from onestory.shared.errors import Unavailable
from onestory.shared.kafka.consumer import check_reachable
from onestory.shared.kafka.schemas import Topic, topics

_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as Kafka has it."""

    partitions: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """How one topic differs from its file. `configs` maps a Kafka setting to its values (in Kafka, in the file)."""

    topic: Topic
    missing: bool
    partitions: int | None
    configs: Mapping[str, tuple[str, str]]

    def lines(self) -> Iterator[str]:
        """The difference, one sentence for each part."""
        if self.missing:
            yield f"{self.topic.name}: is missing ({self.topic.partitions} partitions)"
        if self.partitions is not None:
            yield (
                f"{self.topic.name}: has {self.partitions} partitions and the file says {self.topic.partitions}. "
                "A partition count is for the life of a deployment: change the file back."
            )
        for name, (there, wanted) in self.configs.items():
            yield f"{self.topic.name}: {name} is {there or 'not set'}, will be {wanted}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action: `apply` or `diff`."""
    parser.add_argument("action", choices=["apply", "diff"], help="make Kafka match, or only show the difference")


def run(arguments: argparse.Namespace) -> int:
    """Print the differences; `apply` also removes them. Exit code 1: a partition count differs, or `diff` found any."""
    config = settings.read()
    prefixed = [replace(topic, name=config.topic_prefix + topic.name) for topic in topics().values()]
    wanted = {topic.name: topic for topic in prefixed}
    with _admin(config.kafka) as admin:
        found = differences(wanted.values(), _existing(admin, wanted))
        for line in (line for difference in found for line in difference.lines()):
            print(line)
        refused = any(difference.partitions is not None for difference in found)
        if refused or arguments.action == "diff":
            return int(bool(found))
        _create(admin, [each.topic for each in found if each.missing], config.replication_factor)
        _alter(admin, [each for each in found if each.configs])
    print(f"{len(wanted)} topics are as schemas/topics says.")
    return 0


def differences(wanted: Collection[Topic], existing: Mapping[str, ExistingTopic]) -> list[TopicDifference]:
    """The topics that differ from their files. Topics that no file names are ignored."""
    compared = [_difference(topic, existing.get(topic.name)) for topic in wanted]
    return [
        difference
        for difference in compared
        if difference.missing or difference.partitions is not None or difference.configs
    ]


def _difference(topic: Topic, found: ExistingTopic | None) -> TopicDifference:
    if found is None:
        return TopicDifference(topic, True, None, {})
    configs = {
        name: (found.configs.get(name, ""), value)
        for name, value in configs_of(topic).items()
        if found.configs.get(name) != value
    }
    return TopicDifference(topic, False, None if found.partitions == topic.partitions else found.partitions, configs)


def configs_of(topic: Topic) -> dict[str, str]:
    """The settings of a topic under Kafka's names."""
    return {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(topic.retention_ms),
        "max.message.bytes": str(topic.max_message_bytes),
        # A rebuild reads the broker's time again, so it gets the same times.
        "message.timestamp.type": "LogAppendTime",
        # The broker keeps the producer's compression and does no work of its own.
        "compression.type": "producer",
    }


def _existing(admin: KafkaAdminClient, wanted: Collection[str]) -> dict[str, ExistingTopic]:
    there = [topic for topic in admin.describe_topics() if topic["name"] in wanted]
    if not there:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in there]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        topic["name"]: ExistingTopic(
            len(topic["partitions"]), {name: each["value"] for name, each in configs[topic["name"]].items()}
        )
        for topic in there
    }


def _create(admin: KafkaAdminClient, missing: Collection[Topic], replicas: int) -> None:
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": replicas,
            "configs": configs_of(topic),
        }
        for topic in missing
    }
    if wanted:
        try:
            admin.create_topics(wanted, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            # Another `apply` runs at the same time and creates the same topics.
            admin.wait_for_topics(list(wanted))


def _alter(admin: KafkaAdminClient, changed: Collection[TopicDifference]) -> None:
    resources = [
        ConfigResource(
            ConfigResourceType.TOPIC, each.topic.name, {name: wanted for name, (_, wanted) in each.configs.items()}
        )
        for each in changed
    ]
    if resources:
        outcome = admin.alter_configs(resources)["topic"]
        for name, result in outcome.items():
            if result != "OK":
                print(f"{name}: Kafka refused: {result}", file=sys.stderr)
                raise Unavailable(f"Kafka did not change {name}.")


@contextmanager
def _admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    check_reachable(bootstrap)
    admin = None
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            client_id="onestory-topics",
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
        )
        yield admin
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap} does not answer as it should ({type(error).__name__}).") from error
    finally:
        if admin is not None:
            admin.close()
