"""Fuzzed and hostile input over real HTTP is taken or refused with a reason, and has no other effect."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
import pytest
from tests.hostile.kept import await_no_lag, projected, query
from tests.hostile.mutation import written
from tests.hostile.reads import Reads
from tests.hostile.submissions import ORGANISATION, Submissions
from tests.hostile.wire import Answer, Request, exchange, exchange_bytes, read_refusals, unfair, unfair_outcome
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.stack import Services

from onestory.shared.fhir.validate import validate

SUBMISSIONS = int(os.environ.get("ONESTORY_TEST_HOSTILE", "3000"))
READS = SUBMISSIONS // 2
SEED = int(os.environ.get("ONESTORY_TEST_SEED", "20261122"))
_WORKERS = 4
_SAID = b"Okafor"  # the family name of every person in these tests; no refusal may contain it
_PROCESSES = ("serve", "project")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer."""

    request: Request
    answer: Answer


@dataclass(frozen=True, slots=True)
class Before:
    """The processes before the hostile requests, and the length of their logs."""

    pids: dict[str, int | None]
    logs: dict[str, int]


@pytest.fixture(scope="module", autouse=True)
def before(services: Services) -> Before:
    return Before(
        {name: services.pid(name) for name in _PROCESSES}, {name: len(services.log(name)) for name in _PROCESSES}
    )


@pytest.fixture(scope="module")
def headers(services: Services) -> dict[str, str]:
    """The headers of a well-behaved publisher."""
    token = services.token(ORGANISATION)
    return {"Host": "x", "Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module")
def submitted(services: Services, headers: dict[str, str]) -> list[Exchange]:
    """All hostile submissions, each with its answer."""
    return sent(services, Submissions(SEED, headers["Authorization"])(SUBMISSIONS))


@pytest.fixture(scope="module")
def known(services: Services, headers: dict[str, str]) -> list[str]:
    """The paths of one person's resources, and the path of the person."""
    person = new_nhs_number()
    body = written(transaction(patient(person, f"{person}p"), condition(person, f"{person}c")))
    answer = exchange(services.base_url, Request("", "POST", "/fhir", {**headers, "Prefer": "wait=20"}, body))
    places = [entry["response"]["location"] for entry in answer.json()["entry"]]
    return [place.partition("/fhir/")[2].partition("/_history")[0] for place in places] + [f"Patient/{person}"]


def sent(services: Services, requests: Iterable[Request]) -> list[Exchange]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(lambda each: Exchange(each, exchange(services.base_url, each)), list(requests)))


def complaints(exchanges: Iterable[Exchange]) -> list[str]:
    """Return the faults of the answers, including refusals inside the answers to batches."""
    found = []
    for each in exchanges:
        request, answer = each.request, each.answer
        wrong = unfair(request, answer)
        for outcome in read_refusals(answer):
            wrong = wrong or unfair_outcome(outcome, request)
        if not answer.taken and _SAID in answer.body:
            wrong = "the refusal quotes what was sent"
        if wrong:
            found.append(f"{request.what}: {wrong}\n  {request.method} {request.path[:80]} {request.body[:600]!r}")
    return found


def taken_by(exchanges: Iterable[Exchange]) -> tuple[set[tuple[str, str]], set[str]]:
    """Return the taken resources of the answers: (shared id, event id) where they name it, and all event ids."""
    named: set[tuple[str, str]] = set()
    events: set[str] = set()
    for each in exchanges:
        if each.answer.taken and each.request.method != "GET":
            named |= _locations(each.answer)
            events |= set(each.answer.headers.get("x-onestory-event-id", "").split(", ")) - {""}
    return named, events | {event for _, event in named}


def _locations(answer: Answer) -> set[tuple[str, str]]:
    places = [answer.headers["location"]] if "location" in answer.headers else []
    if answer.status == 200 and answer.body and answer.json().get("resourceType") == "Bundle":
        responses = [entry["response"] for entry in answer.json()["entry"]]
        places = [response["location"] for response in responses if "location" in response]
    found = [re.fullmatch(r".*/fhir/[A-Za-z]+/([a-z2-7-]+)/_history/([0-9a-f-]{36})", place) for place in places]
    return {(match[1], match[2]) for match in found if match}


def test_every_hostile_submission_is_taken_or_refused_with_a_reason(submitted: list[Exchange]) -> None:
    wrong = complaints(submitted)

    assert not wrong, f"{len(wrong)} of {len(submitted)}:\n" + "\n".join(wrong[:20])
    taken = sum(each.answer.taken for each in submitted)
    assert len(submitted) / 20 < taken < len(submitted) * 19 / 20


def test_what_was_taken_is_in_the_record_and_what_was_refused_is_not(
    services: Services, submitted: list[Exchange], known: list[str]
) -> None:
    named, events = taken_by(submitted)
    await_no_lag(services)

    mine = {place.rpartition("/")[2] for place in known}
    rows = [row for row in projected(services) if row[1] not in mine]

    assert {event for _, _, event, _ in rows} == events
    assert named <= {(shared_id, event) for _, shared_id, event, _ in rows}
    assert not query(services, "select reason from record.parked where publisher like %(org)s", org=f"{ORGANISATION}%")
    assert not [(kind, validate(content)) for kind, _, _, content in rows if content and validate(content)]


def test_what_was_taken_reads_back(services: Services, submitted: list[Exchange], headers: dict[str, str]) -> None:
    await_no_lag(services)
    rows = projected(services)

    some = rows[:: 1 + len(rows) // 300]
    paths = [f"/fhir/{kind}/{shared_id}/_history/{event}" for kind, shared_id, event, _ in some]
    read = sent(services, [Request(path, "GET", path, headers) for path in paths])

    assert len(read) > 50
    for (_, shared_id, _, content), each in zip(some, read, strict=True):
        assert each.answer.status == (410 if content is None else 200), each
        assert content is None or each.answer.json()["id"] == shared_id


def test_every_hostile_read_is_answered_or_refused_with_a_reason(
    services: Services, headers: dict[str, str], known: list[str]
) -> None:
    stranger = {**headers, "Authorization": f"Bearer {services.token('B99999', network='elsewhere')}"}

    own = sent(services, Reads(SEED, headers, known)(READS))
    others = sent(services, Reads(SEED + 1, stranger, known)(READS))

    wrong = complaints([*own, *others])
    assert not wrong, f"{len(wrong)} of {2 * READS}:\n" + "\n".join(wrong[:20])
    assert any(_SAID in each.answer.body for each in own)
    assert not [each.request for each in others if _SAID in each.answer.body]


def _person() -> str:
    return written(
        transaction(patient(number := new_nhs_number(), f"{number}p"), condition(number, f"{number}c"))
    ).decode()


_FAMILY = '"family": "Okafor"'
REFUSED: dict[str, tuple[tuple[str, str], int, str]] = {
    "malformed JSON": ((_FAMILY, '"family" "Okafor"'), 400, ""),
    "a name twice": ((_FAMILY, '"family": "A", "family": "Okafor"'), 422, "Bundle.entry[0].resource.name[0].family"),
    "not a number": ((_FAMILY, '"_x": NaN, "family": "Okafor"'), 400, ""),
    "a lone surrogate": (("Okafor", "\\ud800"), 400, ""),
    "deep nesting": ((_FAMILY, f'"x": {"[" * 100_000}{"]" * 100_000}'), 400, ""),
    "an unknown element": ((_FAMILY, '"surname": "Okafor"'), 422, "Bundle.entry[0].resource.name[0].surname"),
    "an unknown type": (('"Condition", "id"', '"Problem", "id"'), 422, "Bundle.entry[1].resource"),
    "an id of no form": (('c", "code"', '/c", "code"'), 422, "Bundle.entry[1].resource.id"),
    "no code that FHIR allows": (
        (_FAMILY, '"use": "pet", "family": "Okafor"'),
        422,
        "Bundle.entry[0].resource.name[0].use",
    ),
    "a query in the address": (('"url": "Patient/', '"url": "Patient?name='), 400, "Bundle.entry[0].request.url"),
    "a transaction with GET": (('"method": "PUT"', '"method": "GET"'), 422, "Bundle.entry[0].request.method"),
    "no method of FHIR": (('"method": "PUT"', '"method": "delete"'), 422, "Bundle.entry[0].request.method"),
    "a search result": (('"type": "transaction"', '"type": "searchset"'), 422, "Bundle.type"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_broken_bundle_is_refused_at_its_place(services: Services, headers: dict[str, str], what: str) -> None:
    change, status, at = REFUSED[what]

    answer = exchange(services.base_url, Request(what, "POST", "/fhir", headers, _person().replace(*change).encode()))

    assert answer.status == status, answer
    assert answer.json()["issue"][0].get("expression", [""]) == [at]


def test_what_names_nobody_somebody_else_or_the_future_is_refused_at_its_place(
    services: Services, headers: dict[str, str]
) -> None:
    one, other = new_nhs_number(), new_nhs_number()
    wrong_digit = one[:-1] + str((int(one[-1]) + 1) % 10)
    told = {
        "Bundle.entry[0].resource.identifier[0].value": transaction(patient(wrong_digit, "p")),
        "Bundle.entry[1].resource": transaction(patient(one, "p"), patient(other, "p2")),
        "Bundle.entry[1].resource.subject": transaction(patient(one, "p"), condition(other, "c")),
        "Bundle.entry[0].resource.meta.lastUpdated": transaction(said_at(patient(one, "p"), "2999-01-01T00:00:00Z")),
    }

    answers = [
        exchange(services.base_url, Request("", "POST", "/fhir", headers, written(each))) for each in told.values()
    ]

    assert [answer.status for answer in answers] == [422] * len(told)
    assert [answer.json()["issue"][0].get("expression", [""])[0] for answer in answers] == list(told)


def test_what_is_too_large_or_wrong_everywhere_is_refused_in_few_words(
    services: Services, headers: dict[str, str]
) -> None:
    bundle = b'{"resourceType": "Bundle", "type": "batch", "entry": [%b]}'
    bodies = [
        (413, headers, b'{"resourceType": "Bundle", "type": "' + b"x" * 10_000_000),
        (413, {**headers, "Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000), 1)),
        (413, {**headers, "Content-Encoding": "gzip"}, gzip.compress(b"") * 510_000),
        (422, headers, bundle % b",".join([b"{}"] * 10_000)),
        (413, headers, bundle % b",".join([b"{}"] * 200_000)),
    ]

    for status, how, body in bodies:
        request = Request("large", "POST", "/fhir", how, body)
        answer = exchange(services.base_url, request)
        assert answer.status == status, answer.body[:300]
        assert not unfair(request, answer)
        assert len(answer.body) < 50_000


def test_a_body_whose_preparation_ends_is_refused_and_the_next_one_is_published(
    services: Services, headers: dict[str, str]
) -> None:
    problem = {**condition(number := new_nhs_number(), "c"), "note": [{"text": "x" * 100_000}]}
    large = Request("large", "POST", "/fhir", headers, written(transaction(patient(number, "p"), problem)))
    assert exchange(services.base_url, large).status == 200
    workers = psutil.Process(services.pid("serve")).children()

    for worker in workers:
        worker.suspend()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(exchange, services.base_url, large)
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        for worker in workers:
            worker.kill()

    assert answer.result().status == 413
    assert "Nothing was published. Split the submission." in answer.result().json()["issue"][0]["diagnostics"]
    assert exchange(services.base_url, large).status == 200


@pytest.mark.parametrize(
    "parts",
    [
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"],
        [b"EAT /fhir HTTP/1.1\r\nHost: x\r\n\r\n"],
        ["GET /fhir/Patient/é HTTP/1.1\r\nHost: x\r\n\r\n".encode()],
        [b"GET /fhir/metadata HTTP/9.9\r\nHost: x\r\n\r\n"],
        [b"POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n{}"],
        [b"POST /fhir HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
        [b"POST /fhir HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"],
        [b"POST /fhir HTTP/1.1\r\nHost: x\r\nX-Odd\x00: y\r\n\r\n"],
        [b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX: ", *[b"y" * 100_000] * 20],
    ],
)
def test_what_is_no_http_is_refused(services: Services, parts: list[bytes]) -> None:
    answer = exchange_bytes(services.base_url, parts)

    assert answer.status in (400, 431)
    assert not unfair(Request("no HTTP", "GET", ""), answer)


def test_a_body_counts_only_when_it_has_come_whole(services: Services, headers: dict[str, str]) -> None:
    person = new_nhs_number()
    body = written(transaction(patient(person, f"{person}p")))
    chunked = Request("", "POST", "/fhir", {**headers, "Transfer-Encoding": "chunked", "Prefer": "wait=20"}).head()
    whole = Request("", "POST", "/fhir", headers, body).head()

    def chunks(*parts: bytes) -> list[bytes]:
        return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]

    cut = [
        exchange_bytes(services.base_url, [whole, body[:-1]], "POST", hang_up=True),
        exchange_bytes(services.base_url, [chunked, *chunks(body)], "POST", hang_up=True),
        exchange_bytes(services.base_url, [chunked, *chunks(body[:90]), b"nonsense\r\n"], "POST"),
        exchange_bytes(services.base_url, [chunked, *chunks(body[:-1]), b"0\r\n\r\n"], "POST"),
    ]

    assert [answer.status for answer in cut] == [0, 0, 400, 400]
    address = f"/fhir/Patient/{person}/$everything"
    assert exchange(services.base_url, Request("", "GET", address, headers)).status == 404
    taken = exchange_bytes(services.base_url, [chunked, *chunks(body[:7], body[7:]), b"0\r\n\r\n"], "POST")
    assert taken.status == 200, taken
    assert exchange(services.base_url, Request("", "GET", address, headers)).status == 200


def test_the_processes_live_on_and_nothing_unexpected_happened_in_them(
    services: Services, before: Before, headers: dict[str, str], submitted: list[Exchange]
) -> None:
    assert submitted
    await_no_lag(services)
    person = new_nhs_number()

    body = written(transaction(patient(person, f"{person}p")))
    answer = exchange(services.base_url, Request("", "POST", "/fhir", {**headers, "Prefer": "wait=20"}, body))

    assert answer.headers["preference-applied"] == "wait=20"
    assert {name: services.pid(name) for name in _PROCESSES} == before.pids
    logged = [line for name in _PROCESSES for line in services.log(name)[before.logs[name] :].splitlines()]
    assert not [line for line in logged if "Traceback" in line or _level(line) in ("error", "critical")]


def _level(line: str) -> str:
    try:
        return str(json.loads(line).get("level"))
    except ValueError:
        return "critical"  # not a line of the project's logger
