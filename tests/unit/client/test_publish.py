"""The publish command: its exit code, its report, and how it resumes an interrupted run."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.client.fake_door import BASE_URL, FakeDoor, bundle_answer, outcome, refused
from tests.unit.client.fhir import FIRST_PERSON, SECOND_PERSON, bundle, dump, patient, tags

from onestory.client import publish
from onestory.client.submission import MAX_BYTES
from onestory.shared.errors import Misconfigured, NotFound


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has no embedded stack, no settings, and its own state directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("ONESTORY_HOME", "ONESTORY_BASE_URL", "ONESTORY_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def run(door: FakeDoor, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    publish.add_arguments(parser)
    return publish.run(parser.parse_args(["--base-url", BASE_URL, "--token", "t", *arguments]), transport=door)


def write(name: str, *resources: dict[str, Any]) -> Path:
    path = Path(name)
    path.write_bytes(b"\n".join(dump(resource) for resource in resources))
    return path


def report() -> list[dict[str, Any]]:
    return [json.loads(line) for line in publish.DEFAULT_REPORT.read_text().splitlines()]


def journals() -> list[Path]:
    return list(Path("../state").rglob("*.journal"))


def test_all_taken_is_exit_0_with_a_summary_and_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.json", bundle(patient(), patient()))
    write("b.ndjson", patient(id="p-1"), patient(SECOND_PERSON))
    door = FakeDoor()

    assert run(door, ".") == 0

    assert sorted(door.calls) == ["POST /fhir", "POST /fhir/Patient", "PUT /fhir/Patient/p-1"]
    assert "3 items, 4 resources published; nothing refused" in capsys.readouterr().out
    assert not publish.DEFAULT_REPORT.exists()
    assert journals() == []


def test_refused_items_and_entries_are_reported_and_the_rest_is_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script(_request: httpx.Request, resource: Any) -> httpx.Response | None:
        if resource.get("type") == "batch":
            return bundle_answer(
                [
                    {"response": {"status": "201"}},
                    {
                        "response": {
                            "status": "422",
                            "outcome": outcome("no such code", "Bundle.entry[1].resource.gender"),
                        }
                    },
                ]
            )
        bad = resource["resourceType"] == "Patient"
        return refused(422, "wrong check digit", "Patient.identifier[0].value") if bad else None

    write("a.ndjson", bundle(patient()), patient())
    write("b.json", bundle(patient(), patient(SECOND_PERSON), kind="batch"))
    Path("c.json").write_text(f'{{"resourceType": "Patient", "birthDate": {FIRST_PERSON} Okonkwo')
    Path("d.json").write_bytes(b" " * (MAX_BYTES + 1))

    assert run(FakeDoor(script), "a.ndjson", "b.json", "c.json", "d.json") == 1

    lines = sorted(report(), key=lambda line: str(line["file"]))
    assert lines[:2] == [
        {
            "file": "a.ndjson",
            "item": "line 2",
            "entry": None,
            "field": "Patient.identifier[0].value",
            "reason": "wrong check digit",
            "status": 422,
        },
        {
            "file": "b.json",
            "item": "",
            "entry": 1,
            "field": "Bundle.entry[1].resource.gender",
            "reason": "no such code",
            "status": 422,
        },
    ]
    assert [(line["file"], line["status"]) for line in lines[2:]] == [("c.json", 400), ("d.json", 413)]
    assert "line 1, column" in lines[2]["reason"]
    printed = capsys.readouterr().out
    assert "b.json, entry 1\n    422  Bundle.entry[1].resource.gender: no such code" in printed
    assert "2 items, 2 resources published; refused: 3 items and 1 entries of batches" in printed
    for said in (publish.DEFAULT_REPORT.read_text(), printed):
        assert FIRST_PERSON not in said
        assert "Okonkwo" not in said


def test_a_report_of_an_earlier_run_is_not_left_behind() -> None:
    publish.DEFAULT_REPORT.write_text("old")
    write("a.json", patient())

    assert run(FakeDoor(), ".") == 0

    assert not publish.DEFAULT_REPORT.exists()


def test_the_source_is_what_the_arguments_say_else_what_the_item_says() -> None:
    write("a.json", bundle(patient(), meta=tags("A81001", "gp-system")))
    tagged, told = FakeDoor(), FakeDoor()

    run(tagged, "a.json")
    run(told, "a.json", "--system", "other")

    assert tagged.requests[0].headers["X-Source-System"] == "gp-system"
    assert told.requests[0].headers["X-Source-System"] == "other"
    assert tagged.keys != told.keys


def test_the_same_bytes_have_the_same_key_in_every_run_and_repeats_are_sent() -> None:
    write("a.ndjson", patient(), patient())
    first, second = FakeDoor(), FakeDoor()

    run(first, "a.ndjson")
    run(second, "a.ndjson")

    assert len({*first.keys, *second.keys}) == 1
    assert len(first.keys) == len(second.keys) == 2


def test_items_of_one_person_are_published_in_order() -> None:
    numbers = [FIRST_PERSON, SECOND_PERSON] * 20
    write("a.ndjson", *(patient(number, id=str(index)) for index, number in enumerate(numbers)))
    door = FakeDoor()

    run(door, "a.ndjson", "--connections", "8")

    for start in (0, 1):
        ids = [int(body["id"]) for body in door.bodies if int(body["id"]) % 2 == start]
        assert ids == sorted(ids)
        assert len(ids) == 20


def _interrupt_after(number: int) -> FakeDoor:
    def script(_request: httpx.Request, _resource: Any) -> None:
        if len(door.requests) == number:
            os.kill(os.getpid(), signal.SIGINT)

    door = FakeDoor(script)
    return door


def test_an_interrupted_run_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.ndjson", *(patient(id=str(index)) for index in range(30)))
    interrupted, resumed = _interrupt_after(10), FakeDoor()

    assert run(interrupted, "a.ndjson") == 130
    assert "The same command resumes it" in capsys.readouterr().out
    assert run(resumed, "a.ndjson") == 0

    assert 10 <= len(interrupted.keys) < 30
    assert sorted(interrupted.keys + resumed.keys) == sorted({*interrupted.keys, *resumed.keys})
    assert len(interrupted.keys + resumed.keys) == 30
    assert f"{len(interrupted.keys)} items published before" in capsys.readouterr().out
    assert journals() == []


def test_fresh_begins_again() -> None:
    write("a.ndjson", *(patient(id=str(index)) for index in range(30)))
    run(_interrupt_after(10), "a.ndjson")
    again = FakeDoor()

    assert run(again, "a.ndjson", "--fresh") == 0

    assert len(again.keys) == 30


def test_another_run_does_not_take_the_journal_for_its_own() -> None:
    write("a.ndjson", *(patient(id=str(index)) for index in range(30)))
    run(_interrupt_after(10), "a.ndjson")
    other = FakeDoor()

    assert run(other, "a.ndjson", "--org", "RTP04") == 0

    assert len(other.keys) == 30


def test_what_was_refused_is_sent_again_by_a_resumed_run() -> None:
    def script(_request: httpx.Request, resource: Any) -> httpx.Response | None:
        if len(door.requests) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return refused(422, "no") if resource["id"] == "0" else None

    write("a.ndjson", *(patient(id=str(index)) for index in range(30)))
    door = FakeDoor(script)
    run(door, "a.ndjson")
    resumed = FakeDoor(lambda _request, resource: refused(422, "no") if resource["id"] == "0" else None)

    assert run(resumed, "a.ndjson") == 1

    assert [line["item"] for line in report()] == ["line 1"]


def test_ctrl_c_ends_the_wait_for_a_door_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    def script(_request: httpx.Request, _resource: Any) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        return httpx.Response(503, headers={"Retry-After": "60"})

    write("a.json", patient())

    assert run(FakeDoor(script), "a.json") == 130

    assert "0 items" in capsys.readouterr().out


def test_something_else_than_onestory_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.ndjson", *(patient(id=str(index)) for index in range(30)))
    door = FakeDoor(lambda _request, _resource: httpx.Response(404, text="no"))

    with pytest.raises(Misconfigured):
        run(door, "a.ndjson")

    assert len(door.requests) == 1
    assert "The run is not finished" in capsys.readouterr().out


def test_what_cannot_begin_is_said_in_a_sentence() -> None:
    write("a.json", patient())

    with pytest.raises(NotFound):
        run(FakeDoor(), "b.json")
    with pytest.raises(Misconfigured, match="onestory up"):
        publish.run(_parsed("a.json"))
    with pytest.raises(Misconfigured, match="--token"):
        publish.run(_parsed("a.json", "--base-url", BASE_URL))


def test_without_a_token_the_item_must_say_whose_it_is() -> None:
    stack = {"base_url": BASE_URL, "kafka": "", "controller": "", "postgres": "", "issuer": "", "health": {}}
    home = Path(".onestory").absolute()
    home.mkdir()
    (home / "stack.json").write_text(json.dumps(stack | {"home": str(home)}))
    write("a.json", patient())

    assert publish.run(_parsed("a.json"), transport=FakeDoor()) == 1

    assert "Give --org" in report()[0]["reason"]


def _parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    publish.add_arguments(parser)
    return parser.parse_args(arguments)
