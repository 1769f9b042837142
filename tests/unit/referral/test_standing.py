"""A caller may act for a party by organisation, or by a role that is in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from onestory.referral.directory.model import Role, Team
from onestory.referral.lifecycle.parties import refusal_reason, require_authority
from onestory.shared.errors import Forbidden
from onestory.shared.events import Party
from onestory.shared.policy import Caller

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
NURSES = Team("nurses", "RZ1", "District nursing, Vale")
VISITORS = Team("visitors", "RZ1", "Health visiting, Vale")
AT_NURSES = Role("role-1", "555", "nurses", "RZ1")
PARTY = Party("RZ1", "nurses")


def caller(organisation: str, subject: str = "555") -> Caller:
    """A caller with a verified token."""
    return Caller(organisation, "rio", subject, "R8001", "", "TREAT")


def test_for_an_organisation_as_a_whole_the_organisation_acts() -> None:
    assert refusal_reason(caller("RZ1"), Party("RZ1"), None, [], NOW) is None
    assert refusal_reason(caller("RZ2"), Party("RZ1"), None, [AT_NURSES], NOW)


def test_a_role_in_force_lets_one_act_whatever_organisation_the_token_names() -> None:
    for organisation in ("RZ1", "A81001"):
        assert refusal_reason(caller(organisation), PARTY, NURSES, [AT_NURSES], NOW) is None


def test_who_has_a_role_in_another_team_of_the_organisation_has_none_here() -> None:
    because = refusal_reason(caller("RZ1"), Party("RZ1", "visitors"), VISITORS, [AT_NURSES], NOW)

    assert because == "You hold no role in Health visiting, Vale."


def test_who_has_a_role_at_home_cannot_act_elsewhere_on_the_strength_of_a_token() -> None:
    at_home = Role("role-2", "555", "harbour", "A81001")

    because = refusal_reason(caller("A81001"), PARTY, NURSES, [at_home], NOW)

    assert because == "You hold no role in District nursing, Vale."


def test_roles_in_organisations_that_are_not_concerned_change_nothing() -> None:
    elsewhere = Role("role-3", "555", "cardiology", "RZ3")

    assert refusal_reason(caller("RZ1"), PARTY, NURSES, [elsewhere], NOW) is None


def test_a_role_at_the_organisation_as_a_whole_is_no_role_in_a_team_and_keeps_nobody_out() -> None:
    assert refusal_reason(caller("RZ1"), PARTY, NURSES, [replace(AT_NURSES, team_id="")], NOW) is None


def test_a_system_of_which_the_directory_knows_no_role_acts_for_its_organisations_teams() -> None:
    assert refusal_reason(caller("RZ1", "rio"), PARTY, NURSES, [], NOW) is None
    assert refusal_reason(caller("RZ2", "rio"), PARTY, NURSES, [], NOW)


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "active", "because"),
    [
        (
            None,
            datetime(2026, 3, 1, tzinfo=UTC),
            True,
            "Your role in District nursing, Vale ended on 28 February 2026.",
        ),
        (datetime(2026, 4, 1, tzinfo=UTC), None, True, "Your role in District nursing, Vale starts on 1 April 2026."),
        (None, None, False, "Your role in District nursing, Vale has been withdrawn."),
        (NOW, None, True, None),
        (None, NOW, True, "Your role in District nursing, Vale ended on 10 March 2026."),
    ],
)
def test_a_role_that_is_not_in_force_is_refused_with_its_date(
    starts_at: datetime | None, ends_at: datetime | None, active: bool, because: str | None
) -> None:
    role = replace(AT_NURSES, starts_at=starts_at, ends_at=ends_at, active=active)

    assert refusal_reason(caller("RZ1"), PARTY, NURSES, [role], NOW) == because


def test_a_day_is_told_as_it_was_in_england() -> None:
    # British Summer Time: midnight of the first of June is 23:00 of the day before in UTC.
    role = replace(AT_NURSES, ends_at=datetime(2026, 5, 31, 23, tzinfo=UTC))

    because = refusal_reason(caller("RZ1"), PARTY, NURSES, [role], datetime(2026, 7, 1, tzinfo=UTC))

    assert because == "Your role in District nursing, Vale ended on 31 May 2026."


def test_of_several_roles_one_in_force_is_enough_and_one_to_come_is_told_before_one_that_is_over() -> None:
    over = replace(AT_NURSES, ends_at=datetime(2026, 3, 1, tzinfo=UTC))
    to_come = replace(AT_NURSES, starts_at=datetime(2026, 4, 1, tzinfo=UTC))

    assert refusal_reason(caller("RZ1"), PARTY, NURSES, [over, AT_NURSES], NOW) is None
    because = refusal_reason(caller("RZ1"), PARTY, NURSES, [over, to_come], NOW)
    assert because == "Your role in District nursing, Vale starts on 1 April 2026."


def test_a_team_that_the_directory_has_lost_keeps_its_organisation_from_nothing() -> None:
    assert refusal_reason(caller("RZ1"), PARTY, None, [], NOW) is None
    assert refusal_reason(caller("RZ2"), PARTY, None, [], NOW)


def test_a_refusal_is_forbidden() -> None:
    with pytest.raises(Forbidden) as caught:
        require_authority(caller("RZ2"), PARTY, NURSES, [], NOW)

    assert caught.value.issues[0].code == "forbidden"
