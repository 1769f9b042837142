"""The client finds the team that a user names by id, name or part of a name."""

from __future__ import annotations

import pytest

from onestory.client.worklist import TeamChoice, choose_team
from onestory.shared.errors import Unprocessable

NORTH = TeamChoice("aaa", "Rapid response North", "2001", "RZ1")
SOUTH = TeamChoice("bbb", "Rapid response South", "2002", "RZ1")
RAPID = TeamChoice("ccc", "Rapid response", "", "RY2")


@pytest.mark.parametrize(
    ("wanted", "team"), [("aaa", NORTH), ("2002", SOUTH), ("south", SOUTH), ("rapid RESPONSE", RAPID)]
)
def test_a_team_is_meant_by_its_ids_its_name_or_a_part_of_it(wanted: str, team: TeamChoice) -> None:
    assert choose_team(wanted, [NORTH, SOUTH, RAPID]) == team


@pytest.mark.parametrize("wanted", ["rapid", "podiatry"])
def test_what_could_be_meant_is_said_where_it_is_not_one_team(wanted: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        choose_team(wanted, [NORTH, SOUTH])

    assert "aaa  Rapid response North (RZ1)" in str(refused.value)
