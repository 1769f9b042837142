"""Position tokens of publish answers are parsed, and any other text is refused."""

from __future__ import annotations

import pytest

from onestory.shared.errors import Malformed
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC
from onestory.shared.visible_positions import parse_position_token, position_token


def test_a_token_holds_the_highest_offset_of_each_partition() -> None:
    positions = [
        MessagePosition(RECORD_TOPIC, 3, 17),
        MessagePosition(RECORD_TOPIC, 3, 12),
        MessagePosition(DIRECTORY_TOPIC, 0, 4),
    ]

    token = position_token(positions)

    assert token == "d0-4.r3-17"
    assert parse_position_token(token) == [MessagePosition(DIRECTORY_TOPIC, 0, 4), MessagePosition(RECORD_TOPIC, 3, 17)]


@pytest.mark.parametrize(
    "token", ["", "r3", "r3-", "x3-1", "r3-1.", "r-1-1", "r3-1e3", "r99-1", "r\u0663-1", "r3-" + "9" * 40]
)
def test_what_no_publish_was_told_is_refused_at_once(token: str) -> None:
    with pytest.raises(Malformed):
        parse_position_token(token)
