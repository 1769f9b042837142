"""`onestory directory load` publishes what differs, on real Kafka and PostgreSQL."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from tests.people import new_nhs_number
from tests.referrals import refer, service_request
from tests.stack import Services
from tests.waiting import until

from onestory.__main__ import main
from onestory.sample.network import DIRECTORY


def test_a_directory_is_loaded_compared_and_changed(
    services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = secrets.token_hex(3)
    # A membership of a practice of other tests would change what its network reads.
    practice = f"P{suffix}".upper()
    dos = str(3_000_000_000 + int(suffix, 16))
    text = f"""
organisations: [{{ods: VA1, name: Harbour Befriending, kind: charity}}]
networks: [{{code: net-{suffix}, name: Network, members: [{{practice: {practice}, from: 2026-04-01}}]}}]
teams:
  - {{id: old-{suffix}, organisation: VA1, name: Old befrienders {suffix}}}
  - id: new-{suffix}
    organisation: VA1
    name: Befrienders {suffix}
    dos: "{dos}"
    serves: [{practice}]
    place: Harbour House
roles: [{{user: "555{suffix}", name: Ada, team: new-{suffix}, weekdays: [tue]}}]
"""
    file = tmp_path / "area.yaml"

    def load(*more: str) -> str:
        file.write_text(text)
        token = services.token(DIRECTORY.ods)
        arguments = ["directory", "load", str(tmp_path), "--base-url", services.base_url, "--token", token, *more]
        code = main(arguments)
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    assert f"+ HealthcareService/new-{suffix} (Befrienders {suffix})" in load("--dry-run")
    assert "new, 0 changed, 0 unchanged" in load()
    assert "0 new, 0 changed, 7 unchanged" in load()

    with services.client(practice) as surgery:

        def served() -> list[str]:
            found = surgery.get("/fhir/HealthcareService", params={"serves": practice, "name": suffix}).json()
            return [each["resource"]["id"] for each in found.get("entry", [])]

        until(lambda: len(served()) == 1, 20)
        by_dos_id = {"identifier": {"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": dos}}
        sent = refer(surgery, service_request(new_nhs_number(), "", performer=[by_dos_id]))
        assert sent.status_code == 201, sent.text

    text = text.replace(
        f"name: Old befrienders {suffix}", f"name: Old, active: false, succeeded_by: [{{team: new-{suffix}}}]"
    )
    changed = load("--dry-run")
    assert f'name: "Old befrienders {suffix}" -> "Old"' in changed
    assert "0 new, 1 changed, 6 unchanged" in changed
    assert "0 new, 1 changed" in load()
    assert "7 unchanged" in load()

    shown = "directory", "show", "--base-url", services.base_url, "--token", services.token(practice)
    assert main([*shown]) == 0
    printed = capsys.readouterr().out
    assert f"network net-{suffix}  Network" in printed
    assert f"    {practice}  2026-04-01 to ..." in printed
    assert f"Befrienders {suffix}" in printed
    assert main([*shown, "--at", "2026-03-31"]) == 0
    assert f"net-{suffix}" not in capsys.readouterr().out
    assert main([*shown, "--at", "soon"]) == 1


def test_a_mistake_publishes_nothing(services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("teams: [{id: x, organisation: RZ1, nam: y}]")

    code = main(["directory", "load", str(tmp_path), "--base-url", services.base_url, "--token", services.token("QVV")])

    assert code == 1
    assert "teams[0]: unknown key nam" in capsys.readouterr().err
