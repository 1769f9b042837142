"""The two sides of a referral exchange messages, and advice becomes a referral, over HTTP."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from tests.people import new_nhs_number
from tests.referrals import (
    FHIR,
    REASON,
    a_text,
    act,
    advice_request,
    new_team,
    read,
    refer,
    say,
    service_request,
    task_of,
)
from tests.stack import Services

HOLDER = "https://onestory.nhs.uk/StructureDefinition/referral-holder"
NEXT = "https://onestory.nhs.uk/StructureDefinition/referral-next-actor"
MAY_CONVERT = "https://onestory.nhs.uk/StructureDefinition/advice-may-be-converted"
LARGEST = 5_000_000
PATIENCE_S = 30.0


def who(task: dict[str, Any], url: str) -> str:
    """Return the organisation or team in the extension with this URL."""
    found = next(each["valueReference"] for each in task["extension"] if each["url"] == url)
    return str(found.get("reference") or found["identifier"]["value"])


def word(task: dict[str, Any]) -> str:
    return str(task["businessStatus"]["coding"][0]["code"])


def messages(client: httpx.Client, task_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/fhir/Task/{task_id}/$messages")
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", [])]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["issue"][0]["diagnostics"])


def told(services: Services, task_id: str) -> list[tuple[str, list[str]]]:
    """Return each change of the Task's referral: its action, and the recipient and reason of each notice."""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(
            """select c.action, c.notices
               from referral.change c join referral.resource r using (person_key, referral_id)
               where r.shared_id = %s order by c.version""",
            [task_id],
        ).fetchall()
    return [(action, [f"{each['recipient']} {each['reason']}" for each in notices]) for action, notices in rows]


def test_a_question_gives_the_requester_the_turn_and_the_reply_gives_it_back(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    task_id = task_of(sent)

    asked = say(nurses, task_id, sent.headers["ETag"], "question")
    assert asked.status_code == 200, asked.text
    waiting = read(surgery, task_id)
    answered = say(surgery, task_id, asked.headers["ETag"], "answer", "Yes, on Monday: 0.9 on both sides.")
    after = read(nurses, task_id)

    assert waiting.headers["ETag"] == asked.headers["ETag"]
    assert (who(waiting.json(), HOLDER), who(waiting.json(), NEXT)) == ("A81001", "A81001")
    assert who(after.json(), NEXT) == f"HealthcareService/{team}"
    assert (asked.json()["resourceType"], answered.json()["status"]) == ("Communication", "completed")
    assert answered.json()["inResponseTo"] == [{"reference": f"Communication/{asked.json()['id']}"}]
    assert told(services, task_id)[1:] == [
        ("ask", ["requester referral-question"]),
        ("answer", ["recipient referral-answered"]),
    ]


def test_a_question_to_the_requester_leaves_a_team_that_has_accepted_responsible(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])

    say(nurses, task_of(sent), accepted.headers["ETag"], "question")

    task = read(surgery, task_of(sent)).json()
    assert (who(task, HOLDER), who(task, NEXT)) == (f"HealthcareService/{team}", "A81001")


def test_a_conversation_is_read_in_order_and_by_pages(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    task_id, tag = task_of(sent), sent.headers["ETag"]
    texts = [f"Message {number}" for number in range(5)]
    for place, text in enumerate(texts):
        tag = say((surgery, nurses)[place % 2], task_id, tag, "information", text).headers["ETag"]

    pages, url = [], f"/fhir/Task/{task_id}/$messages?_count=2"
    while url:
        page = nurses.get(url).json()
        pages.append([each["resource"]["payload"][0]["contentString"] for each in page["entry"]])
        assert page["total"] == 5
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")

    assert pages == [texts[:2], texts[2:4], texts[4:]]
    assert [each["payload"][0]["contentString"] for each in messages(surgery, task_id)] == texts


@pytest.mark.parametrize("asked", ["_count=0", "_count=x", f"_count={'9' * 5000}", "_cursor=x", "_sort=sent"])
def test_a_page_that_does_not_exist_is_refused(surgery: httpx.Client, team: str, asked: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))

    assert surgery.get(f"/fhir/Task/{task_of(sent)}/$messages?{asked}").status_code == 400


def test_a_message_carries_attachments_and_names_what_it_is_about(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    picture = {"contentType": "image/png", "data": base64.b64encode(b"a picture").decode(), "title": "The ulcer"}
    about = {"reference": f"ServiceRequest/{sent.json()['id']}"}

    answer = say(
        surgery,
        task_of(sent),
        sent.headers["ETag"],
        "information",
        "See the picture.",
        {"name": "attachment", "valueAttachment": picture},
        {"name": "about", "valueReference": about},
    )

    assert answer.status_code == 200, answer.text
    said = nurses.get(f"/fhir/Communication/{answer.json()['id']}").json()
    assert said == answer.json()
    assert said["payload"] == [{"contentString": "See the picture."}, {"contentAttachment": picture}]
    assert said["about"] == [about]
    assert said["basedOn"] == [about]
    assert said["partOf"] == [{"reference": f"Task/{task_of(sent)}"}]
    assert said["recipient"] == [{"reference": f"HealthcareService/{team}", "type": "HealthcareService"}]


def test_the_same_key_sends_one_message(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    task_id = task_of(sent)
    body = {"parameter": [{"name": "category", "valueCode": "question"}, a_text("Has she had a Doppler?")]}
    headers = FHIR | {"If-Match": sent.headers["ETag"], "Idempotency-Key": f"q-{task_id}"}

    def ask() -> httpx.Response:
        return nurses.post(
            f"/fhir/Task/{task_id}/$message", json={"resourceType": "Parameters"} | body, headers=headers
        )

    first = ask()
    later = say(surgery, task_id, first.headers["ETag"], "answer", "Yes.")
    again = ask()

    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json() == first.json()
    assert again.headers["ETag"] == later.headers["ETag"]
    assert len(messages(nurses, task_id)) == 2


def test_a_stranger_reads_and_says_nothing(services: Services, surgery: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))

    with services.client("RZ9", network="elsewhere") as stranger:
        assert stranger.get(f"/fhir/Task/{task_of(sent)}/$messages").status_code == 404
        assert say(stranger, task_of(sent), sent.headers["ETag"], "information").status_code == 404

    assert messages(surgery, task_of(sent)) == []


TOO_LARGE = {"contentType": "image/png", "data": base64.b64encode(bytes(LARGEST + 3)).decode()}
BAD: dict[str, tuple[list[dict[str, Any]], int, str]] = {
    "nothing in it": ([{"name": "category", "valueCode": "question"}], 422, "The message is empty"),
    "spaces alone": ([{"name": "category", "valueCode": "question"}, a_text(" \n")], 422, "The message is empty"),
    "no category": ([a_text("Hello")], 422, "Send category: question"),
    "another category": ([{"name": "category", "valueCode": "gossip"}, a_text("Hello")], 422, "Send category:"),
    "an answer to nothing": (
        [{"name": "category", "valueCode": "answer"}, a_text("Yes")],
        409,
        "There is no open question to answer",
    ),
    "an attachment that is too large": (
        [{"name": "category", "valueCode": "information"}, {"name": "attachment", "valueAttachment": TOO_LARGE}],
        413,
        "publish them as DocumentReference",
    ),
    "a text that is too long": (
        [{"name": "category", "valueCode": "information"}, a_text("x" * 1_000_001)],
        413,
        "send it as an attachment",
    ),
    "an attachment elsewhere": (
        [
            {"name": "category", "valueCode": "information"},
            {"name": "attachment", "valueAttachment": {"contentType": "image/png", "url": "https://example.org/x.png"}},
        ],
        422,
        "Send the attachment as data",
    ),
    "about somebody else": (
        [
            {"name": "category", "valueCode": "information"},
            a_text("See this."),
            {"name": "about", "valueReference": {"reference": f"Observation/{'a' * 26}-{'b' * 26}"}},
        ],
        422,
        "Send a Reference to a resource on this person's record",
    ),
    "about something that FHIR does not know": (
        [
            {"name": "category", "valueCode": "information"},
            {"name": "about", "valueReference": {"reference": f"Poem/{'a' * 26}-{'b' * 26}"}},
        ],
        422,
        "Send a Reference to a resource on this person's record",
    ),
    "an unknown parameter": ([{"name": "colour", "valueCode": "red"}], 422, "This operation takes category, text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_message_that_cannot_be_sent_changes_nothing(surgery: httpx.Client, team: str, name: str) -> None:
    said, status, because = BAD[name]
    sent = refer(surgery, service_request(new_nhs_number(), team))

    answer = act(surgery, task_of(sent), "message", sent.headers["ETag"], *said)

    assert because in refused(answer, status)
    assert read(surgery, task_of(sent)).headers["ETag"] == sent.headers["ETag"]
    assert messages(surgery, task_of(sent)) == []


def test_what_has_ended_takes_no_more_messages(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    ended = act(surgery, task_of(sent), "cancel", sent.headers["ETag"], REASON)

    answer = say(nurses, task_of(sent), ended.headers["ETag"], "information")

    assert "The referral has ended (cancelled)" in refused(answer, 409)
    assert read(surgery, task_of(sent)).headers["ETag"] == ended.headers["ETag"]


def test_advice_is_asked_for_given_and_closed_while_the_requester_stays_responsible(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, advice_request(new_nhs_number(), team))
    task_id, tag = task_of(sent), sent.headers["ETag"]
    steps = [(nurses, "question"), (surgery, "answer"), (nurses, "answer"), (surgery, "question"), (nurses, "answer")]
    seen = []

    for client, category in steps:
        answer = say(client, task_id, tag, category, f"A {category}")
        assert answer.status_code == 200, answer.text
        tag, task = answer.headers["ETag"], read(surgery, task_id).json()
        seen.append((word(task), who(task, NEXT)))
        assert who(task, HOLDER) == "A81001"
    closed = act(surgery, task_id, "complete", tag)

    assert seen == [
        ("REFERRER_TO_SUBMIT_FURTHER_INFORMATION", "A81001"),
        ("PROVIDER_RESPONSE_REQUIRED", f"HealthcareService/{team}"),
        ("REFERRER_TO_REVIEW_RESPONSE", "A81001"),
        ("PROVIDER_RESPONSE_REQUIRED", f"HealthcareService/{team}"),
        ("REFERRER_TO_REVIEW_RESPONSE", "A81001"),
    ]
    assert closed.status_code == 200, closed.text
    assert (closed.json()["status"], word(closed.json())) == ("completed", "CONVERSATION_ENDED_CLOSED")
    assert ("advise", ["requester advice-answered"]) in told(services, task_id)
    assert all("person" not in each for _, reasons in told(services, task_id) for each in reasons)


@pytest.mark.parametrize("action", ["accept", "start", "book", "resume"])
def test_advice_is_not_accepted_or_worked_on(
    surgery: httpx.Client, nurses: httpx.Client, team: str, action: str
) -> None:
    sent = refer(surgery, advice_request(new_nhs_number(), team))

    answer = act(nurses, task_of(sent), action, sent.headers["ETag"])

    assert "answer with $message" in refused(answer, 409)
    assert read(surgery, task_of(sent)).headers["ETag"] == sent.headers["ETag"]


def test_advice_that_has_not_been_given_is_cancelled_and_not_closed(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, advice_request(new_nhs_number(), team))
    received = act(nurses, task_of(sent), "receive", sent.headers["ETag"])

    closed = act(surgery, task_of(sent), "complete", received.headers["ETag"])
    cancelled = act(surgery, task_of(sent), "cancel", received.headers["ETag"], REASON)

    assert "PROVIDER_RESPONSE_REQUIRED" in refused(closed, 409)
    assert word(cancelled.json()) == "CONVERSATION_ENDED_CANCELLED"


def test_advice_becomes_a_referral_with_everything_that_was_said(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    elements = {
        "identifier": [{"system": "https://fhir.nhs.uk/Id/UBRN", "value": "1"}],
        "supportingInfo": [{"display": "A letter"}],
    }
    sent = refer(surgery, advice_request(new_nhs_number(), team, **elements))
    question = say(nurses, task_of(sent), sent.headers["ETag"], "question")
    answer = say(surgery, task_of(sent), question.headers["ETag"], "answer", "Yes.")
    advised = say(nurses, task_of(sent), answer.headers["ETag"], "answer", "Please refer her.")

    made = act(surgery, task_of(sent), "convert", advised.headers["ETag"], {"name": "priority", "valueCode": "urgent"})

    assert made.status_code == 200, made.text
    request, task = made.json(), read(nurses, task_of(made)).json()
    said = [f"Communication/{each.json()['id']}" for each in (question, answer, advised)]
    assert request["supportingInfo"] == [{"display": "A letter"}, *({"reference": each} for each in said)]
    assert (request["reasonCode"], request["code"]) == (sent.json()["reasonCode"], sent.json()["code"])
    assert request["replaces"] == [{"reference": f"ServiceRequest/{sent.json()['id']}"}]
    assert (request["priority"], request["status"]) == ("urgent", "active")
    assert not {"category", "identifier"} & request.keys()
    assert (task["status"], who(task, HOLDER), who(task, NEXT)) == (
        "requested",
        "A81001",
        f"HealthcareService/{team}",
    )
    ended = read(surgery, task_of(sent)).json()
    assert (ended["status"], word(ended)) == ("completed", "ADVICE_CONVERTED")
    assert ended["output"][0]["valueReference"]["reference"] == f"ServiceRequest/{request['id']}"
    assert told(services, task_of(sent))[-1] == ("convert", ["recipient advice-converted"])
    assert told(services, task_of(made)) == [("request", ["recipient referral-requested", "person referral-requested"])]


def test_advice_becomes_one_referral_however_often_it_is_asked(
    surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, advice_request(new_nhs_number(), team))
    task_id = task_of(sent)
    headers = FHIR | {"If-Match": sent.headers["ETag"], "Idempotency-Key": f"c-{task_id}"}

    def convert() -> httpx.Response:
        return surgery.post(f"/fhir/Task/{task_id}/$convert", json={"resourceType": "Parameters"}, headers=headers)

    first, again = convert(), convert()
    now = read(surgery, task_id).headers["ETag"]
    other = act(surgery, task_id, "convert", now)
    said = say(nurses, task_id, now, "information")

    assert (first.status_code, again.json(), again.headers["Link"]) == (200, first.json(), first.headers["Link"])
    assert f"ServiceRequest/{first.json()['id']}" in refused(other, 409)
    assert "ADVICE_CONVERTED" in refused(said, 409)


def test_the_team_that_advises_makes_a_referral_of_it_where_the_requester_allowed_it(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    plain = refer(surgery, advice_request(new_nhs_number(), team))
    allowed = [{"url": MAY_CONVERT, "valueBoolean": True}]
    open_to = refer(surgery, advice_request(new_nhs_number(), team, extension=allowed))

    kept = act(nurses, task_of(plain), "convert", plain.headers["ETag"])
    made = act(nurses, task_of(open_to), "convert", open_to.headers["ETag"])

    assert "Only the requester of the advice" in refused(kept, 403)
    assert read(surgery, task_of(plain)).headers["ETag"] == plain.headers["ETag"]
    assert made.status_code == 200, made.text
    assert "extension" not in made.json()
    task = read(surgery, task_of(made)).json()
    assert (task["status"], who(task, HOLDER)) == ("requested", "A81001")
    assert ("convert", ["requester advice-converted"]) in told(services, task_of(open_to))
    assert told(services, task_of(made)) == [("request", ["requester referral-requested", "person referral-requested"])]


def test_a_conversion_that_cannot_be_made_changes_nothing(services: Services, surgery: httpx.Client, team: str) -> None:
    unknown = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{'a' * 26}"}}
    asked = refer(surgery, advice_request(new_nhs_number(), team, priority="urgent"))
    referral = refer(surgery, service_request(new_nhs_number(), team))

    answers = {
        "unknown team": act(surgery, task_of(asked), "convert", asked.headers["ETag"], unknown),
        "less urgent": act(
            surgery,
            task_of(asked),
            "convert",
            asked.headers["ETag"],
            {"name": "priority", "valueCode": "routine"},
        ),
        "a referral": act(surgery, task_of(referral), "convert", referral.headers["ETag"]),
    }

    assert "The directory has no such team" in refused(answers["unknown team"], 422)
    assert "may be more urgent, not less" in refused(answers["less urgent"], 422)
    assert "this is a referral already" in refused(answers["a referral"], 409)
    for each in (asked, referral):
        assert read(surgery, task_of(each)).headers["ETag"] == each.headers["ETag"]


def test_another_team_to_which_advice_is_converted_reads_what_was_said_before(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    other = new_team(services, "RZ2")
    sent = refer(surgery, advice_request(new_nhs_number(), team))
    advised = say(nurses, task_of(sent), sent.headers["ETag"], "answer", "The lymphoedema service is the right one.")
    to = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{other}"}}
    message = f"/fhir/Communication/{advised.json()['id']}"

    with services.client("RZ2", network="elsewhere") as service, services.client("RZ9", network="far") as stranger:
        before = service.get(message)
        made = act(surgery, task_of(sent), "convert", advised.headers["ETag"], to)

        assert before.status_code == 404
        assert read(service, task_of(made)).json()["owner"]["reference"] == f"HealthcareService/{other}"
        assert made.json()["supportingInfo"] == [{"reference": message.removeprefix("/fhir/")}]
        assert service.get(message).json() == advised.json()
        assert messages(service, task_of(sent)) == [advised.json()]
        assert stranger.get(message).status_code == 404


def on_the_record(client: httpx.Client, number: str, how_many: int) -> list[dict[str, Any]]:
    """Wait until the record has this many Communications of the person, and return them."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        entries = client.get(f"/fhir/Communication?patient={number}&_sort=sent").json().get("entry", [])
        if len(entries) >= how_many:
            return [each["resource"] for each in entries]
        assert time.monotonic() < deadline, f"{len(entries)} of {how_many} messages reached the record"
        time.sleep(0.05)


def test_what_is_said_stands_on_the_record(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    number = new_nhs_number()
    sent = refer(surgery, service_request(number, team))
    asked = say(nurses, task_of(sent), sent.headers["ETag"], "question")
    answered = say(surgery, task_of(sent), asked.headers["ETag"], "answer", "Yes.")

    kept = on_the_record(surgery, number, 2)

    for live, recorded in zip((asked.json(), answered.json()), kept, strict=True):
        assert {**recorded, "meta": {}} == {**live, "meta": {}}
        assert recorded["meta"]["versionId"] == live["meta"]["versionId"]
        assert recorded["meta"]["tag"] == live["meta"]["tag"]


def test_a_message_is_not_changed_by_publishing_it_anew(surgery: httpx.Client, nurses: httpx.Client, team: str) -> None:
    number = new_nhs_number()
    sent = refer(surgery, service_request(number, team))
    said = say(surgery, task_of(sent), sent.headers["ETag"], "information", "As it was said.").json()
    on_the_record(surgery, number, 1)
    changed = said | {"payload": [{"contentString": "As it was not said."}]}

    answer = surgery.put(f"/fhir/Communication/{said['id']}", json=changed, headers=FHIR)

    assert answer.status_code == 403, answer.text
    assert messages(nurses, task_of(sent))[0]["payload"] == [{"contentString": "As it was said."}]


@pytest.mark.parametrize("action", ["convert", "message"])
def test_of_several_at_once_one_is_done(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str, action: str
) -> None:
    sent = refer(surgery, advice_request(new_nhs_number(), team))
    said = [{"name": "category", "valueCode": "question"}, a_text("And now?")] if action == "message" else []

    with ThreadPoolExecutor(4) as several:
        answers = list(
            several.map(lambda _: act(surgery, task_of(sent), action, sent.headers["ETag"], *said), range(4))
        )

    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412]
    assert [each for each, _ in told(services, task_of(sent))] == ["request", {"convert": "convert"}.get(action, "ask")]
