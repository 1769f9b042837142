"""Where the partitions of a topic end now, for processes that write to Kafka and follow no topic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from onestory.shared.errors import Unavailable
from onestory.shared.kafka.consumer import KafkaLog, Partition
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import topics


class TopicEnd:
    """Asks Kafka for the last message of each partition of a topic. It connects at the first question."""

    def __init__(self, bootstrap: str, topic: str, client_id: str, prefix: str = "") -> None:
        self._topic = topic
        self._bootstrap, self._client_id, self._prefix = bootstrap, client_id, prefix
        self._partitions = [Partition(topic, number) for number in range(topics()[topic].partitions)]
        self._asking = threading.Lock()
        self._log: KafkaLog | None = None

    async def last_positions(self) -> Sequence[MessagePosition]:
        """Return the position of the last message in each partition that has one. Raises `Unavailable`."""
        return await asyncio.to_thread(self._last_positions)

    def _last_positions(self) -> list[MessagePosition]:
        with self._asking:
            if self._log is None:
                self._log = KafkaLog(
                    self._bootstrap, None, [self._topic], client_id=self._client_id, prefix=self._prefix
                )
            ends = self._log.end_offsets(self._partitions)
            if not ends:
                self._close()
                raise Unavailable("Kafka does not answer. Try again.")
        return [MessagePosition(at.topic, at.number, end - 1) for at, end in ends.items() if end]

    def close(self) -> None:
        """Close the connection."""
        with self._asking:
            self._close()

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()
