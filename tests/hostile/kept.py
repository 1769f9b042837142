"""Queries on the record after it has projected everything that the hostile organisation sent."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from kafka import KafkaConsumer, TopicPartition
from tests.hostile.submissions import ORGANISATION
from tests.stack import Services

from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC

DEADLINE_S = 60.0


def projected(services: Services) -> list[tuple[str, str, str, bytes | None]]:
    """All rows of the hostile organisation in the record: type, shared id, event id, content."""
    columns = "resource_type, shared_id, event_id::text, content"
    return query(
        services,
        f"""select {columns} from record.statement where organisation = %(org)s
            union all select {columns} from record.directory_statement where organisation = %(org)s""",  # noqa: S608
        org=ORGANISATION,
    )


def await_no_lag(services: Services) -> None:
    """Return when the projector has read everything that Kafka has."""
    consumer = KafkaConsumer(bootstrap_servers=services.kafka)
    try:
        topics = {topic: consumer.partitions_for_topic(topic) for topic in (RECORD_TOPIC, DIRECTORY_TOPIC)}
        places = [TopicPartition(topic, each) for topic, partitions in topics.items() for each in partitions]
        ends = {(at.topic, at.partition): end for at, end in consumer.end_offsets(places).items() if end}
    finally:
        consumer.close()
    deadline = time.monotonic() + DEADLINE_S
    while behind := ends.items() - _at_least(services, ends):
        assert time.monotonic() < deadline, f"the projector stands still before {behind}"
        time.sleep(0.1)


def _at_least(services: Services, ends: dict[tuple[str, int], int]) -> set[tuple[tuple[str, int], int]]:
    rows = query(services, "select topic, partition, next_offset from record.visible_position")
    return {(place, end) for topic, partition, at in rows if (end := ends.get(place := (topic, partition), 0)) <= at}


def query(services: Services, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(services.postgres) as connection:
        return connection.execute(sql.encode(), values).fetchall()
