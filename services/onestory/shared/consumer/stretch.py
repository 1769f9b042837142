"""Reading a stretch of a topic once, from a moment until now: for an operator's question, not for a projector."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from onestory.shared.consumer.arrival import Arrival
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.log import Place
from onestory.shared.consumer.positions import Position
from onestory.shared.consumer.reader import Reader
from onestory.shared.contracts.codec import Codec

_WAIT_MS = 500


def arrivals_since(log: KafkaLog, codec: Codec, since: datetime) -> Iterator[Arrival]:
    """The messages of all partitions of a log without a group, from this time to where they ended when it was called.

    Those of one partition are in order. One batch of a few megabytes is held at a time. Raises `Unavailable`.
    """
    reader = Reader(log, codec)
    stretch = log.stretch(since)
    for place, (start, _) in stretch.items():
        reader.start(place, Position(start, since))
    ahead = {place for place, (start, end) in stretch.items() if start < end}
    while ahead:
        batch = reader.gather(_WAIT_MS)
        for arrival in batch.arrivals:
            if arrival.offset < stretch[Place(arrival.topic, arrival.partition)][1]:
                yield arrival
        ahead -= {place for place, move in batch.moves.items() if move.to.next_offset >= stretch[place][1]}
