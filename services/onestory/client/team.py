"""Which team is meant: by id, DoS service id, or a part of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onestory.client.plain import plain
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import is_dos_service_system, is_ods_code_system

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Team:
    """A team of the directory."""

    team_id: str
    name: str
    dos_service_id: str
    organisation: str

    def is_called(self, wanted: str) -> bool:
        """Whether exactly this is meant."""
        return wanted in (self.team_id, self.dos_service_id) or wanted.casefold() == self.name.casefold()


def choose(wanted: str, teams: Sequence[Team]) -> Team:
    """The one team that is meant. Raises `Unprocessable` with those that could be."""
    found = [each for each in teams if each.is_called(wanted)]
    found = found or [each for each in teams if wanted.casefold() in each.name.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Unprocessable(f"There is no team that you may read and that is called {wanted}.{_named(teams)}")
    raise Unprocessable(f"Several teams are called {wanted}: say which, by its id.{_named(found)}")


def teams_of_stack(get: Callable[[str, str], dict[str, Any]], token: str) -> list[Team]:
    """All teams of the directory. `get` reads JSON at an address, with a token."""
    found, address = list[Team](), "/fhir/HealthcareService?_count=100"
    while address:
        page = get(address, token)
        found += [_team(each["resource"]) for each in page.get("entry", ())]
        address = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return found


def _team(resource: dict[str, Any]) -> Team:
    services = [
        each.get("value", "") for each in resource.get("identifier", ()) if is_dos_service_system(each["system"])
    ]
    tags = [each["code"] for each in resource["meta"].get("tag", ()) if is_ods_code_system(each.get("system"))]
    return Team(resource["id"], str(resource.get("name", "")), next(iter(services), ""), next(iter(tags), ""))


def _named(teams: Sequence[Team]) -> str:
    lines = [f"\n  {each.team_id}  {plain(each.name)} ({each.organisation})" for each in teams[:_MOST_NAMED]]
    return "".join(lines) + (f"\n  and {len(teams) - _MOST_NAMED} more" if len(teams) > _MOST_NAMED else "")
