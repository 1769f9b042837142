"""Links to entries of a Bundle lead to the record, and every other byte stays (http://hl7.org/fhir/R4/http.html#trules)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.people import patient
from tests.unit.intake.door import (
    AMINA,
    BEN,
    DOOR,
    Json,
    content,
    decide,
    full_url,
    place,
    post,
    put,
    refused,
    shared_id,
    statement,
)

from onestory.intake.domain.request import Submission
from onestory.shared.events import RecordChanged

LETTER, EMIS = full_url(1), "https://emis.example/fhir"
OPENS = f"Binary/{shared_id(AMINA, 'Binary', 'b1')}"


def letter(**elements: Any) -> Json:
    return {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "TGV0dGVy", **elements}


def narrative(html: str) -> Json:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{html}</div>'}


def document(url: str, **elements: Any) -> Json:
    return {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": f"Patient/{AMINA}"},
        "content": [{"attachment": {"contentType": "text/plain", "url": url}}],
        **elements,
    }


def published(said: Json, binary_url: str = LETTER, document_url: str = full_url(2)) -> Json:
    """The DocumentReference as it is in the record, after a Bundle with a Patient, a Binary and it."""
    entries = [(full_url(0), patient(AMINA, "p1")), (binary_url, letter()), (document_url, said)]
    bundle = {"resourceType": "Bundle", "type": "collection"}
    listed = [{"resource": each, **({"fullUrl": url} if url else {})} for url, each in entries]
    return content(statement(decide(post({**bundle, "entry": listed}))).entries[2])


@pytest.mark.parametrize(
    ("url", "binary_url", "document_url"),
    [
        (LETTER, LETTER, full_url(2)),
        ("Binary/b1", LETTER, full_url(2)),
        ("Binary/b1", "", ""),
        ("Binary/b1/_history/2", LETTER, full_url(2)),
        ("Binary/b1", f"{EMIS}/Binary/b1", f"{EMIS}/DocumentReference/d1"),
        (f"{EMIS}/Binary/b1", f"{EMIS}/Binary/b1", full_url(2)),
        (f"{DOOR.base_url}/Binary/b1", LETTER, full_url(2)),
    ],
)
def test_the_address_of_an_attachment_is_the_id_of_the_binary_in_the_record(
    url: str, binary_url: str, document_url: str
) -> None:
    assert published(document(url), binary_url, document_url)["content"][0]["attachment"]["url"] == OPENS


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    "link", ["<a href={0}>letter</a>", "<p><img alt='x' src={0}/></p>", "<a  class='b'\n href = {0}>x</a>"]
)
def test_a_link_in_the_narrative_is_rewritten(link: str, quote: str) -> None:
    given = document("https://elsewhere.example/letter.pdf", text=narrative(link.format(f"{quote}{LETTER}{quote}")))

    assert published(given)["text"] == narrative(link.format(f"{quote}{OPENS}{quote}"))


@pytest.mark.parametrize(
    "html",
    [
        f"<p>{LETTER}</p>",
        "<a href='#b1'>x</a>",
        "<a href='https://elsewhere.example/x'>x</a>",
        f"<a name='{LETTER}'>x</a>",
        f"href='{LETTER}'",
        "<a href='Binary/b2'>x</a>",
    ],
)
def test_other_text_in_the_narrative_stays(html: str) -> None:
    assert published(document(LETTER, text=narrative(html)))["text"] == narrative(html)


@pytest.mark.parametrize("name", ["valueUri", "valueUrl", "valueOid", "valueUuid"])
def test_a_link_in_an_extension_is_rewritten(name: str) -> None:
    url = "urn:oid:1.2.3" if name == "valueOid" else LETTER
    extension = [{"url": "http://x.example/e", name: url}]
    identifier = [{"system": "urn:ietf:rfc:3986", "value": url, "extension": extension}]

    result = published(document("https://elsewhere.example", identifier=identifier), binary_url=url)

    assert result["identifier"] == [{**identifier[0], "extension": [{"url": "http://x.example/e", name: OPENS}]}]


def test_what_is_no_link_stays_though_it_is_equal() -> None:
    coding = {"system": LETTER, "code": LETTER, "display": LETTER}
    given = document(
        LETTER,
        meta={"profile": [LETTER], "tag": [coding]},
        identifier=[{"system": LETTER, "value": LETTER}],
        type={"coding": [coding], "text": LETTER},
        description=f'a "{LETTER}" b',
        extension=[{"url": LETTER, "valueString": LETTER}, {"url": "http://x.example/c", "valueCanonical": LETTER}],
    )

    result = published(given)

    assert [result[name] for name in ("identifier", "type", "description", "extension")] == [
        given[name] for name in ("identifier", "type", "description", "extension")
    ]
    assert result["meta"]["profile"] == [LETTER]
    assert result["meta"]["tag"][0] == coding
    assert result["content"][0]["attachment"]["url"] == OPENS


def test_a_relative_uri_is_no_link() -> None:
    extension = [{"url": "http://x.example/e", "valueUri": "Binary/b1"}]

    assert published(document(LETTER, extension=extension))["extension"] == extension


def test_all_bytes_but_the_links_stay() -> None:
    value = '{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"\\u00e9 \\/ x"}, '
    value += f'"valueQuantity":{{"value": 70.10e0}},"subject":{{"reference":"Patient/{AMINA}"}},"extension":'
    value += f'[{{"url":"http:\\/\\/x","valueUrl": "urn:uuid\\u003a{LETTER[9:]}"}}]}}'
    entry = f'[{{"fullUrl":"{LETTER}","resource":{json.dumps(letter())}}},{{"resource":{value}}}]'
    body = f'{{"resourceType":"Bundle","type":"collection","entry":{entry}}}'.encode()

    written = statement(decide(Submission("POST", body))).entries[1].content

    assert written is not None
    assert b'"code":{"text":"\\u00e9 \\/ x"},"valueQuantity":{"value": 70.10e0}' in written
    assert b'"extension":[{"url":"http:\\/\\/x","valueUrl": "%b"}]' % OPENS.encode() in written


def test_an_address_of_the_sources_own_earlier_binary_leads_to_it() -> None:
    (entry,) = statement(decide(put(document("Binary/b1")))).entries

    assert content(entry)["content"][0]["attachment"]["url"] == OPENS


def test_a_link_that_could_mean_two_is_refused_at_its_place() -> None:
    two = [(f"{server}/Binary/1", {**letter(), "id": "1"}) for server in (EMIS, "http://b.example")]
    listed = [
        {"fullUrl": url, "resource": {name: value for name, value in each.items() if name != "id"}}
        for url, each in (*two, (full_url(2), document("Binary/1")))
    ]

    error = refused(post({"resourceType": "Bundle", "type": "collection", "entry": listed}))

    assert error.issues[0].code == "multiple-matches"
    assert place(error) == "Bundle.entry[2].resource.content[0].attachment.url"


def test_a_document_of_a_batch_brings_the_binary_that_it_links_to() -> None:
    ben = {**document("Binary/b1"), "id": "d2", "subject": {"reference": f"Patient/{BEN}"}}
    listed = [
        {"fullUrl": url, "resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
        for url, each in ((LETTER, letter()), (full_url(2), document(LETTER)), (full_url(3), ben))
    ]

    events = decide(post({"resourceType": "Bundle", "type": "batch", "entry": listed})).events

    people = {
        event.person.value: [content(entry) for entry in event.entries]
        for event in events
        if isinstance(event, RecordChanged)
    }
    assert {number: [each["resourceType"] for each in found] for number, found in people.items()} == {
        AMINA: ["Binary", "DocumentReference"],
        BEN: ["Binary", "DocumentReference"],
    }
    for number, (binary, said) in people.items():
        assert binary["id"] == shared_id(number, "Binary", "b1")
        assert said["content"][0]["attachment"]["url"] == f"Binary/{binary['id']}"


def test_a_link_to_an_entry_about_another_person_is_refused() -> None:
    own = {**letter(), "securityContext": {"reference": f"Patient/{BEN}"}}
    listed = [
        {"fullUrl": url, "resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
        for url, each in ((LETTER, own), (full_url(2), document(LETTER)))
    ]

    outcome = decide(post({"resourceType": "Bundle", "type": "batch", "entry": listed})).outcomes[1]

    assert place(outcome.error) == "Bundle.entry[1].resource.content[0].attachment.url"  # type: ignore[union-attr]


def test_links_are_found_however_many_servers_a_bundle_has() -> None:
    servers = [f"http://s{at}.example/fhir" for at in range(20)]
    binaries = [(f"{server}/Binary/{at}", {**letter(), "id": str(at)}) for at, server in enumerate(servers)]
    said = document(f"{servers[7]}/Binary/7", text=narrative(f'<a href="{servers[9]}/Binary/9">x</a>'))
    entries = [{"fullUrl": url, "resource": each} for url, each in (*binaries, (full_url(0), said))]

    written = content(
        statement(decide(post({"resourceType": "Bundle", "type": "collection", "entry": entries}))).entries[20]
    )

    assert written["content"][0]["attachment"]["url"] == f"Binary/{shared_id(AMINA, 'Binary', '7')}"
    assert written["text"] == narrative(f'<a href="Binary/{shared_id(AMINA, "Binary", "9")}">x</a>')
