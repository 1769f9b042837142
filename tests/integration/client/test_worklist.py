"""`onestory worklist` shows and follows lists of a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.people import new_nhs_number
from tests.referrals import REASON, act, new_role, new_team, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.__main__ import main
from onestory.local.state import write_stack


@pytest.fixture
def ods() -> str:
    return f"C{uuid.uuid4().hex[:6].upper()}"


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001") as client:
        yield client


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an ONESTORY_HOME in which the command finds no embedded stack."""
    monkeypatch.setenv("ONESTORY_HOME", str(tmp_path))


def asked(services: Services, ods: str, *arguments: str, **claims: str) -> list[str]:
    return ["worklist", *arguments, "--base-url", services.base_url, "--token", services.token(ods, **claims)]


def send(surgery: httpx.Client, team: str, reason: str) -> httpx.Response:
    return refer(surgery, service_request(new_nhs_number(), team, reasonCode=[{"text": reason}])).raise_for_status()


def test_a_team_is_shown_by_a_part_of_its_name(
    services: Services, surgery: httpx.Client, ods: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send(surgery, new_team(services, ods, "Podiatry West"), "Ulcer")

    assert main(asked(services, ods, "podiatry")) == 0

    assert "Podiatry West: 1 open, 0 overdue, 1 unclaimed" in capsys.readouterr().out


def test_rows_of_all_pages_come_as_json_lines(
    services: Services, surgery: httpx.Client, ods: str, capsys: pytest.CaptureFixture[str]
) -> None:
    team = new_team(services, ods)
    sent = [send(surgery, team, reason) for reason in ("Ulcer", "Fall")]

    assert main(asked(services, ods, team, "--json")) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["task"] for row in rows} == set(map(task_of, sent))


def test_the_lists_of_all_my_teams_are_one(
    services: Services, surgery: httpx.Client, ods: str, capsys: pytest.CaptureFixture[str]
) -> None:
    user, teams = f"user-{uuid.uuid4().hex[:12]}", [new_team(services, ods) for _ in range(2)]
    for team in teams:
        new_role(services, team, ods, user)
        send(surgery, team, "Fall")

    assert main(asked(services, ods, "--mine", sub=user)) == 0

    assert "My worklist: 2 open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "No team that you may read has the id or name nobody."),
        ([], "Give either a TEAM, or --mine"),
        (["x", "--mine"], "Give either a TEAM, or --mine"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(
    services: Services, ods: str, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(asked(services, ods, *arguments)) == 1

    assert says in capsys.readouterr().err


def test_a_token_that_is_none_is_said_to_be(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worklist", "nurses", "--base-url", services.base_url, "--token", "none"]) == 1

    assert "The token" in capsys.readouterr().err


def test_on_the_embedded_stack_the_team_alone_has_to_be_named(
    services: Services,
    surgery: httpx.Client,
    ods: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = f"Rapid response {ods}"
    send(surgery, new_team(services, ods, name), "Fall")
    write_stack(tmp_path, services.stack)

    assert main(["worklist", ods.lower()]) == 0

    assert f"{name}: 1 open" in capsys.readouterr().out


@contextmanager
def followed(command: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Run the command inside this context, and collect the lines of its output."""
    lines = list[dict[str, Any]]()
    with subprocess.Popen([sys.executable, "-m", "onestory", *command], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = running.stdout

        def gather() -> None:
            for line in said:
                lines.append(json.loads(line))

        thread = threading.Thread(target=gather, daemon=True)
        thread.start()
        try:
            yield lines
        finally:
            running.terminate()
            thread.join()


def test_a_list_that_is_followed_shows_what_comes_and_goes(services: Services, surgery: httpx.Client, ods: str) -> None:
    team = new_team(services, ods)
    first = send(surgery, team, "Ulcer")

    with followed(asked(services, ods, team, "--follow", "--json")) as lines, services.client(ods) as nurses:
        until(lambda: [each["event"] for each in lines] == ["changed"])
        second = send(surgery, team, "Fall")
        until(lambda: any(each["referral"] == second.json()["id"] for each in lines))
        act(nurses, task_of(first), "reject", first.headers["ETag"], REASON)
        until(lambda: any(each["event"] == "gone" for each in lines))

    (gone,) = [each for each in lines if each["event"] == "gone"]
    assert gone == {"event": "gone", "referral": first.json()["id"], "reason": "rejected"}
