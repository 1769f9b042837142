"""The teams of the synthetic network, and their members."""

from __future__ import annotations

import json
from datetime import date

from onestory.sample.directory import FORMER_LOCUM, PHARMACIST, POOL_DOCTOR, SESSIONAL_GP, Post, Worker, posts
from onestory.sample.network import NETWORKS, PRACTICES, SOURCES
from onestory.sample.teams import teams
from onestory.shared.kafka.schemas import schemas_folder

EVERY_TEAM = [team for source in SOURCES for team in teams(source)]


def posts_of(worker: Worker) -> dict[str, Post]:
    """The posts of a worker, by the organisation that states each."""
    return {source.ods: post for source in SOURCES for post in posts(source) if post.worker == worker}


def test_every_team_has_an_id_and_a_telephone_of_its_own_and_a_kind_that_is_defined() -> None:
    defined = json.loads((schemas_folder() / "fhir" / "CodeSystem-team-kind.json").read_text())["concept"]

    assert {team.kind.code for team in EVERY_TEAM} <= {each["code"] for each in defined}
    for names in ("local_id", "dos_service_id", "name", "phone"):
        assert len({getattr(team, names) for team in EVERY_TEAM}) == len(EVERY_TEAM)


def test_every_practice_has_each_kind_of_team_once_or_its_own() -> None:
    for practice in PRACTICES:
        serving = [team.kind.code for team in EVERY_TEAM if practice.ods in team.practices]
        assert len(set(serving)) == len(serving) == 13


def test_a_team_of_a_network_serves_the_practices_of_that_network() -> None:
    for team in EVERY_TEAM:
        assert not team.network or {NETWORKS[ods] for ods in team.practices} == {team.network}


def test_somebody_works_in_every_team() -> None:
    staffed = {team.local_id for source in SOURCES for post in posts(source) for team in post.teams}

    assert staffed == {team.local_id for team in EVERY_TEAM}


def test_some_work_at_several_organisations_and_some_no_longer() -> None:
    assert set(posts_of(PHARMACIST)) == {"A81001", "A81002", "A81003"}
    assert set(posts_of(SESSIONAL_GP)) == {"A81001", "A81002"}
    assert posts_of(SESSIONAL_GP)["A81002"].end == date(2027, 12, 31)
    assert posts_of(FORMER_LOCUM)["A81005"].end == date(2026, 3, 31)
    assert posts_of(FORMER_LOCUM)["A81003"].end is None


def test_a_sessional_doctor_has_weekdays_at_each_practice() -> None:
    found = posts_of(POOL_DOCTOR)

    assert (found["A81002"].weekdays, found["A81004"].weekdays) == (("tue",), ("thu", "fri"))


def test_the_area_has_the_teams_that_practices_refer_to() -> None:
    kinds = {team.kind.code for team in EVERY_TEAM if "A81001" in team.practices}

    assert kinds >= {
        "physiotherapy",
        "social-prescribing",
        "mental-health-practitioners",
        "primary-care-pharmacy",
        "paramedics",
        "sessional-doctors",
    }
