"""`onestory publish` takes an archive of Synthea people, and every entry of every person reads back as written."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.as_written import Digits, Members, as_written, body_of, meta_of
from tests.contract.shared_data import DATA
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM

ARCHIVE = DATA / "synthea-gb-1092.tar.xz"
PEOPLE = int(os.environ.get("ONESTORY_TEST_PEOPLE", "40"))
LARGE_BYTES = 6_000_000
# No other test uses this organisation, and it is in no network: it reads its own statements and no others.
ORGANISATION = "SYNTHEA"
DEADLINE_S = 120.0

Files = dict[str, bytes]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def members() -> Files:
    """By name: the lists of hospitals and practitioners, the first people, and the largest Bundle, enlarged."""
    if not ARCHIVE.exists():
        pytest.skip(f"the people of Synthea (../shared/data/{ARCHIVE.name} beside the repository) are not here")
    lists: Files = {}
    people: Files = {}
    largest = ("", b"")
    for name, content in unpacked(ARCHIVE):
        if "Information" in name:
            lists[name] = content
        elif len(people) < PEOPLE:
            people[name] = content
        largest = max(largest, (name, content), key=lambda each: len(each[1]))
    name, content = largest
    return lists | people | {name: enlarged(content)}


@pytest.fixture(scope="module")
def archive(members: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The members, packed in the same way as the original archive."""
    path = tmp_path_factory.mktemp("archive") / "people.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as target:
        for name, content in members.items():
            described = tarfile.TarInfo(name)
            described.size = len(content)
            target.addfile(described, io.BytesIO(content))
    return path


def unpacked(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file in an archive."""
    with tarfile.open(archive, "r|xz") as source:
        for member in source:
            content = source.extractfile(member)
            if content is not None:
                yield member.name, content.read()


def enlarged(content: bytes) -> bytes:
    """Return the Bundle with copies of its Observations under new ids, until it is larger than LARGE_BYTES."""
    bundle = json.loads(content)
    observations = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Observation"]
    size = len(content)
    for number, entry in enumerate(itertools.cycle(observations)):
        if size > LARGE_BYTES:
            break
        own = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry['fullUrl']}/{number}"))
        again = {**entry, "fullUrl": f"urn:uuid:{own}", "resource": {**entry["resource"], "id": own}}
        bundle["entry"].append(again)
        size += len(json.dumps(again))
    return json.dumps(bundle, ensure_ascii=False).encode()


def publish(services: Services, archive: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user at a terminal does."""
    command = [sys.executable, "-m", "onestory", "publish", str(archive), "--system", "synthea"]
    at = ["--base-url", services.base_url, "--token", services.token(ORGANISATION), "--report", str(state / "refused")]
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    return subprocess.run([*command, *at], capture_output=True, text=True, env=environment, check=False, timeout=600)


def await_everything(postgres: str, entries: int) -> None:
    """Return when the record has exactly this many statements of the organisation."""
    query = """select (select count(*) from record.current where organisation = %(org)s)
        + (select count(*) from record.directory_statement where organisation = %(org)s)"""
    deadline = time.monotonic() + DEADLINE_S
    with psycopg.connect(postgres, autocommit=True) as connection:
        while (held := connection.execute(query, {"org": ORGANISATION}).fetchall()[0][0]) < entries:
            assert time.monotonic() < deadline, f"{held} of {entries} entries are in the record"
            time.sleep(0.1)
    assert held == entries


def nhs_number(bundle: Members) -> str:
    """Return the NHS number of the Patient in a Synthea Bundle."""
    patient = next(each for each in resources(bundle) if each.get("resourceType") == "Patient")
    return next(str(one.get("value")) for one in patient.get("identifier") if one.get("system") == NHS_NUMBER_SYSTEM)


def resources(bundle: Members) -> list[Members]:
    return [entry.get("resource") for entry in bundle.get("entry")]


def stated(http: httpx.Client, number: str, count: int = 1000) -> tuple[list[Members], str]:
    """Return all resources of a person's record except the Patient that the record composes, and the digest."""
    found: list[Members] = []
    url: str | None = f"/fhir/Patient/{number}/$everything?_count={count}"
    digests = set()
    while url:
        page = http.get(url)
        assert page.status_code == 200, page.text
        bundle = as_written(page.content)
        digests.add(page.headers["X-OneStory-Record-Digest"])
        found += resources(bundle)
        url = {link.get("relation"): link.get("url") for link in bundle.get("link")}.get("next")
    assert bundle.get("total") == Digits(len(found))
    (digest,) = digests
    return [each for each in found if each.get("id") != number], digest


def said(resource: Members) -> str:
    """Return the content of a resource without ids, references and the elements that the record adds."""
    return repr((body_of(resource), meta_of(resource)))


def assert_same_record(sent: Members, served: list[Members]) -> None:
    """Check that every entry came back as written, and that its references lead to the published entries.

    A reference to the Patient of the Bundle leads to the shared Patient, whose id is the NHS number.
    """
    written = {entry.get("fullUrl"): said(entry.get("resource")) for entry in sent.get("entry")}
    read: dict[str, list[Members]] = {}
    for resource in served:
        read.setdefault(said(resource), []).append(resource)
    assert len({each.get("id") for each in served}) == len(served)
    assert Counter(written.values()) == {what: len(those) for what, those in read.items()}

    places = {what: {_address(each) for each in those} for what, those in read.items()}
    meant = {full_url: places[what] for full_url, what in written.items()}
    patient = next(entry for entry in sent.get("entry") if entry.get("resource").get("resourceType") == "Patient")
    meant[patient.get("fullUrl")] = {f"Patient/{nhs_number(sent)}"}
    for entry in sent.get("entry"):
        wanted = [_where(reference, meant) for reference in references(entry.get("resource"))]
        alike = read[said(entry.get("resource"))]
        assert any(_led(wanted, [_target(each) for each in references(other)]) for other in alike)


def references(value: Any) -> Iterator[Members]:
    """Yield the FHIR References in a resource, in order."""
    if isinstance(value, Members):
        if isinstance(value.get("reference"), str) or isinstance(value.get("identifier"), Members):
            yield value
        for _, each in value:
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def _where(reference: Members, meant: Mapping[str, set[str]]) -> set[str]:
    """Return the allowed targets of a published reference: an entry of the Bundle, or a resource by identifier."""
    to = str(reference.get("reference"))
    return meant[to] if to in meant else {to.partition("?identifier=")[2] or to}


def _target(reference: Members) -> str:
    identifier = reference.get("identifier")
    if reference.get("reference") is None and identifier:
        return f"{identifier.get('system')}|{identifier.get('value')}"
    return str(reference.get("reference"))


def _led(wanted: list[set[str]], targets: list[str]) -> bool:
    return len(wanted) == len(targets) and all(to in places for to, places in zip(targets, wanted, strict=True))


def _address(resource: Members) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def test_an_archive_of_people_is_published_in_one_go_and_every_entry_reads_as_it_was_written(
    services: Services, members: Files, archive: Path, tmp_path: Path
) -> None:
    bundles = {name: as_written(content) for name, content in members.items()}
    entries = sum(len(bundle.get("entry")) for bundle in bundles.values())
    people = {nhs_number(bundle): bundle for name, bundle in bundles.items() if "Information" not in name}
    assert len(people) == len(bundles) - 2
    assert LARGE_BYTES < max(map(len, members.values())) < 10_000_000

    first = publish(services, archive, tmp_path)

    assert first.returncode == 0, first.stdout + first.stderr
    assert f"{len(bundles):,} items, {entries:,} resources published; nothing refused" in first.stdout
    await_everything(services.postgres, entries)
    digests = {}
    with services.client(ORGANISATION) as http:
        for number, bundle in people.items():
            served, digests[number] = stated(http, number)
            assert_same_record(bundle, served)

    # Publish the archive again: every statement is a repetition of one in the record.
    again = publish(services, archive, tmp_path)

    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing refused" in again.stdout
    await_everything(services.postgres, entries)
    with services.client(ORGANISATION) as http:
        assert {number: stated(http, number)[1] for number in people} == digests


def test_a_large_record_reads_the_same_in_small_pages(
    services: Services, members: Files, archive: Path, tmp_path: Path
) -> None:
    name, content = max(members.items(), key=lambda each: len(each[1]))
    number = nhs_number(as_written(content))
    published = publish(services, archive, tmp_path)
    assert published.returncode == 0, f"{name}: {published.stdout}"

    with services.client(ORGANISATION) as http:
        whole, digest = stated(http, number)
        small, same = stated(http, number, count=100)

    assert len(whole) > 1000
    assert small == whole
    assert same == digest
