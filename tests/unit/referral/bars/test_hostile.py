"""Any input in place of a message is understood or refused with a reason. There is no third outcome."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from tests.bars import published
from tests.contract.shared_data import needs_shared_data
from tests.hostile.mutation import mutated, written

from onestory.referral.bars.matching import (
    nhs_numbers,
    refuse_other_sender,
    refuse_other_subject,
    slot_id,
    target_service,
)
from onestory.referral.bars.meaning import read_meaning, request_priority
from onestory.referral.bars.message import to_collection
from onestory.referral.bars.parse import parse_message
from onestory.shared.errors import OneStoryError

NAMES = ["REFREQ01", "REFREQ03", "REFREQ8A", "REFRESP01", "VALREQ01", "VALRESP01A", "VALRESP01B", "SERVREQ01"]


def understood(body: bytes) -> None:
    """Makes every decision about a message that needs no query to the database."""
    message = parse_message(body)
    read_meaning(message)
    refuse_other_subject(message)
    refuse_other_sender(message, "RND")
    target_service(message, "")
    slot_id(message)
    nhs_numbers(message)
    request_priority(message)
    to_collection(body, message.entries, [message.focus.index], {}, UUID(int=1))


@needs_shared_data
@pytest.mark.parametrize("name", [*NAMES, "BOOKREQ01", "BOOKREQ02"])
def test_a_message_that_was_changed_is_understood_or_refused_with_a_reason(name: str) -> None:
    chance, said = random.Random(20261127), published(name)
    refused: list[OneStoryError] = []

    for _ in range(150):
        try:
            understood(written(mutated(said, chance)))
        except OneStoryError as error:
            refused.append(error)

    assert refused
    assert all(issue.diagnostics and issue.code for error in refused for issue in error.issues)
