"""The stack fixture gives real PostgreSQL databases and a real Kafka broker that keeps its messages when killed."""

from __future__ import annotations

import psycopg
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition
from tests.stack import Stack


def test_every_database_is_a_fresh_one(stack: Stack) -> None:
    first, second = stack.fresh_database(), stack.fresh_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE here (id int)")

    with psycopg.connect(second) as connection:
        found = connection.execute("SELECT to_regclass('here')").fetchone()

    assert found == (None,)


def test_what_kafka_acknowledged_is_there_after_it_was_killed(stack: Stack) -> None:
    # given a message of 16 MB that the broker has acknowledged
    topic, message = "test.killed", b"x" * 16_777_216
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=stack.kafka, acks="all", max_request_size=17_825_792)
    producer.send(topic, message).get(timeout=30)
    producer.close()

    # when it is killed and started again
    stack.kill_kafka()
    stack.start_kafka()

    # then it is still there, stamped by the broker
    consumer = KafkaConsumer(bootstrap_servers=stack.kafka, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    records = [record for batch in consumer.poll(timeout_ms=30_000).values() for record in batch]
    consumer.close()
    assert [record.value for record in records] == [message]
    assert records[0].timestamp_type == 1  # LogAppendTime
