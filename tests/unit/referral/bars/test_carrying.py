"""The resources of a message are stated byte for byte. Their ids match earlier messages of the same referral only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tests.people import patient
from tests.unit.intake.door import AMINA, decide, full_url, observation, post, shared_id, statement

from onestory.referral.bars.message import MessageEntry, local_ids_by_url, record_event, to_collection

Json = dict[str, Any]
FIRST, SECOND = UUID(int=1), UUID(int=2)
URLS = [full_url(place) for place in range(3)]
WEIGHT = b'{"resourceType":"Observation","status":"final","code":{"text":"Weight"},"valueQuantity":{"value":70.10}}'


def message(*raws: bytes) -> bytes:
    placed = zip(URLS, raws, strict=False)
    entries = b",".join(b'{"fullUrl":"%b","resource":%b}' % (url.encode(), raw) for url, raw in placed)
    return b'{"resourceType":"Bundle","type":"message","id":"m","entry":[%b]}' % entries


def collected(body: bytes, owned: Sequence[int], earlier: dict[str, str], request_id: UUID) -> bytes:
    """The collection that the record gets of a message."""
    entries = [
        MessageEntry(index, entry["fullUrl"], entry["resource"]["resourceType"], entry["resource"])
        for index, entry in enumerate(json.loads(body)["entry"])
    ]
    return to_collection(body, entries, owned, earlier, request_id)


def names(body: bytes) -> list[str]:
    return [entry["resource"]["id"] for entry in json.loads(body)["entry"]]


def test_an_entry_without_an_id_is_named_by_message_and_full_url() -> None:
    once, again = (collected(message(WEIGHT), (), {}, FIRST) for _ in range(2))
    other = collected(message(WEIGHT), (), {}, SECOND)

    assert names(once) == names(again) != names(other)


def test_an_entry_keeps_its_own_id_and_every_other_byte() -> None:
    named = WEIGHT.replace(b'"status"', b'"id":"w1","status"')

    body = collected(message(named), (), {}, FIRST)

    assert names(body) == ["w1"]
    assert b'"value":70.10' in body
    assert json.loads(body)["type"] == "collection"


def test_a_later_message_meets_what_an_earlier_one_of_the_same_referral_stated() -> None:
    body = collected(message(WEIGHT.replace(b'"status"', b'"id":"new","status"')), (), {URLS[0]: "w1"}, SECOND)

    assert names(body) == ["w1"]


def test_an_id_of_ours_stays_unless_this_room_keeps_the_entry() -> None:
    ours = shared_id(AMINA, "Observation", "o1")
    said = message(WEIGHT.replace(b'"status"', b'"id":"%b","status"' % ours.encode()))

    assert names(collected(said, (), {}, FIRST)) == [ours]
    assert names(collected(said, [0], {}, FIRST)) != [ours]


def test_what_is_kept_here_is_not_stated_and_what_refers_to_it_leads_there() -> None:
    subject = {"reference": URLS[0]}
    request = {"resourceType": "ServiceRequest", "status": "active", "intent": "plan", "subject": subject}
    weight = observation({"reference": URLS[0]}, "w1", basedOn=[{"reference": URLS[1]}])
    said = [patient(AMINA, "p1"), {**request, "id": "r1"}, weight]
    entries = [{"fullUrl": url, "resource": each} for url, each in zip(URLS, said, strict=True)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    event = statement(decide(post(bundle)))
    kept = shared_id(AMINA, "ServiceRequest", "kept")

    stated = record_event(event, {1: kept})

    assert stated is not None
    assert [entry.resource_type for entry in stated.entries] == ["Patient", "Observation"]
    assert json.loads(stated.entries[1].content or b"")["basedOn"] == [{"reference": f"ServiceRequest/{kept}"}]
    assert local_ids_by_url(URLS, event) == dict(zip(URLS, ["p1", "r1", "w1"], strict=True))
