"""Replaying: parked messages go to Kafka again as they were, and are marked once it has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from onestory.record.domain.replay import portions
from onestory.record.store import replays
from onestory.record.store.replays import Listed
from onestory.shared.errors import Unavailable
from onestory.shared.producer import Producer


def replay(connection: psycopg.Connection, producer: Producer, chosen: Sequence[Listed]) -> None:
    """Send them again in this order.

    What was sent and not marked, because something went away in between, may be sent once more: the record takes an
    event once, whatever the order. Raises `Unavailable`; what is marked by then stays marked.
    """
    done = 0
    with asyncio.Runner() as runner:
        for portion in portions((each.parked_id, each.size) for each in chosen):
            messages = replays.messages(connection, portion)
            try:
                positions = runner.run(producer.send([messages[parked_id] for parked_id in portion]))
            except Unavailable as error:
                raise Unavailable(
                    f"Kafka did not acknowledge: {done} of {len(chosen)} parked messages were replayed and marked. "
                    "Repeating is harmless."
                ) from error
            replays.mark(connection, portion, positions)
            done += len(portion)
