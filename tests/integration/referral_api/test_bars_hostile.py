"""Published BaRS messages with random changes are taken or refused. None of them causes a status of 500 or above."""

from __future__ import annotations

import random
import uuid

from tests.bars import SENDER, message, new_service, send
from tests.contract.shared_data import needs_shared_data
from tests.hostile.mutation import mutated, written
from tests.people import new_nhs_number
from tests.stack import Services

pytestmark = needs_shared_data

NAMES = ["REFREQ01", "REFREQ03", "REFREQ8A", "VALREQ01", "SERVREQ01", "BOOKREQ01", "BOOKREQ02", "VALRESP01A"]
MESSAGES = 240


def test_a_message_that_was_changed_is_taken_or_refused_as_the_standard_has_it(services: Services) -> None:
    chance, service = random.Random(20261127), new_service(services)
    statuses: set[int] = set()

    with services.client(SENDER) as sender:
        for number in range(MESSAGES):
            said = message(NAMES[number % len(NAMES)], new_nhs_number(), service) | {"id": str(uuid.uuid4())}
            # Two of three messages are changed once only, so that some of them pass the first checks.
            changed = mutated(said, chance) if number % 3 else mutated(mutated(said, chance), chance)
            answer = send(sender, written(changed))
            statuses.add(answer.status_code)
            assert answer.status_code < 500, answer.text
            if answer.status_code != 200:
                coding = answer.json()["issue"][0]["details"]["coding"][0]
                assert coding["code"].startswith("REC_"), answer.text

    assert {200, 400} <= statuses
