"""The command `onestory worklist TEAM`: shows a team's worklist on the terminal. `--follow` keeps it up to date."""

from __future__ import annotations

import argparse
import json
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from onestory.client.event_source import EventSource, ServerEvent, refusal_text
from onestory.client.target import PublishTarget, find_target
from onestory.client.worklist_view import WorklistTable
from onestory.shared.display import printable_text
from onestory.shared.errors import Forbidden, OneStoryError, Unavailable, Unprocessable
from onestory.shared.identity import is_dos_service_system, is_ods_code_system

_MAX_LISTED = 10
_PAGE_SIZE = 200
_REDRAW_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "team", nargs="?", default="", metavar="TEAM", help="id of the team, its DoS service id, or a part of its name"
    )
    parser.add_argument("--mine", action="store_true", help="show the worklists of all teams in which you have a role")
    parser.add_argument("--follow", action="store_true", help="keep running, and show each change")
    parser.add_argument("--json", action="store_true", help="print rows as JSON lines; with --follow, also each event")
    parser.add_argument(
        "--org", default="", metavar="ODS", help="organisation of the embedded stack's token (default: the team's)"
    )
    parser.add_argument(
        "--sub", default="", metavar="USER", help="user of the embedded stack's token (default: the organisation)"
    )
    parser.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    parser.add_argument("--token", metavar="T", help="default: ONESTORY_TOKEN, else one from the embedded stack")


def run(args: argparse.Namespace) -> int:
    """Show the worklist, and return 0. Raises a `OneStoryError` when it cannot be shown."""
    if bool(args.team) == args.mine:
        raise Unprocessable("Give either a TEAM, or --mine for all teams in which you have a role.")
    target = find_target(args.base_url, args.token)
    with httpx.Client(base_url=target.base_url, timeout=30, trust_env=False) as http:
        client = _worklist_client(http, target, args)
        table = WorklistTable(client.title)
        if args.follow:
            return _follow(client, table, as_json=args.json)
        table.load(client.page())
    if args.json:
        for row in table.rows:
            print(json.dumps(row))
    else:
        Console().print(table)
    return 0


def _follow(client: WorklistClient, table: WorklistTable, *, as_json: bool) -> int:
    events: queue.SimpleQueue[ServerEvent | OneStoryError] = queue.SimpleQueue()
    console = Console(quiet=as_json)
    # The event stream opens before the list is read, so no change in between is missed.
    with client.events(events), Live(table, console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            try:
                event = events.get(timeout=_REDRAW_S)
            except queue.Empty:
                # The remaining times have changed.
                live.refresh()
                continue
            if isinstance(event, OneStoryError):
                raise event
            if event.name in ("open", "reset"):
                table.load(client.page())
                for row in table.rows if as_json else ():
                    print(json.dumps({"event": "changed", **row}), flush=True)
            else:
                table.apply(event.name, event.data)
                if as_json:
                    print(json.dumps({"event": event.name, **event.data}), flush=True)
            live.refresh()


class WorklistClient:
    """Reads one worklist. `token` returns the bearer token for the next request."""

    def __init__(self, http: httpx.Client, path: str, title: str, token: Callable[[], str]) -> None:
        self.title = title
        self._http = http
        self._path = path
        self._token = token

    def page(self) -> dict[str, Any]:
        """Return the first page with the rows of all pages. A row on two pages counts as the later page has it."""
        first = page = get_json(self._http, f"{self._path}?count={_PAGE_SIZE}", self._token())
        rows = {row["referral"]: row for row in page["rows"]}
        while page["next"]:
            page = get_json(self._http, page["next"], self._token())
            rows |= {row["referral"]: row for row in page["rows"]}
        return {**first, "rows": list(rows.values())}

    def events(self, events: queue.SimpleQueue[ServerEvent | OneStoryError]) -> EventSource:
        """Return a reader that puts each change of the list into the queue."""
        return EventSource(self._http, f"{self._path}/events", self._token, events)


def _worklist_client(http: httpx.Client, target: PublishTarget, args: argparse.Namespace) -> WorklistClient:
    if args.mine:
        if not target.token and not (args.org and args.sub):
            raise Unprocessable("--mine needs a user. Give --org and --sub, or --token.")
        return WorklistClient(http, "/worklists/mine", "My worklist", _token_source(target, args.org, args.sub))
    team = _find_team(http, target, args)
    token = _token_source(target, args.org or team.organisation, args.sub)
    return WorklistClient(http, f"/worklists/teams/{team.team_id}", team.name, token)


@dataclass(frozen=True, slots=True)
class TeamChoice:
    """A team that the argument TEAM can name. `dos_service_id` is empty for a team without one."""

    team_id: str
    name: str
    dos_service_id: str
    organisation: str

    def matches_exactly(self, wanted: str) -> bool:
        """Return whether this is the team's id, its DoS service id, or its whole name."""
        return wanted in (self.team_id, self.dos_service_id) or wanted.casefold() == self.name.casefold()


def choose_team(wanted: str, teams: Sequence[TeamChoice]) -> TeamChoice:
    """Return the one team with this id, DoS service id, or part of a name.

    Raises `Unprocessable`, with the possible teams, when none or several match.
    """
    matches = [team for team in teams if team.matches_exactly(wanted)]
    matches = matches or [team for team in teams if wanted.casefold() in team.name.casefold()]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise Unprocessable(f"No team that you may read has the id or name {wanted}.{_listed(teams)}")
    raise Unprocessable(f"Several teams match {wanted}. Give the id of one:{_listed(matches)}")


def _listed(teams: Sequence[TeamChoice]) -> str:
    lines = [f"\n  {team.team_id}  {printable_text(team.name)} ({team.organisation})" for team in teams[:_MAX_LISTED]]
    return "".join(lines) + (f"\n  and {len(teams) - _MAX_LISTED} more" if len(teams) > _MAX_LISTED else "")


def _find_team(http: httpx.Client, target: PublishTarget, args: argparse.Namespace) -> TeamChoice:
    """Return the team that TEAM names, among those whose worklists the caller may read."""
    if target.token or args.org:
        rows = get_json(http, "/worklists/teams", _token_source(target, args.org, args.sub)())["teams"]
        teams = [TeamChoice(row["team"], row["name"], row["dosServiceId"], row["organisation"]) for row in rows]
    else:
        teams = all_teams(partial(get_json, http), _token_source(target, "ONESTORY", "")())
    return choose_team(args.team, teams)


def all_teams(get: Callable[[str, str], dict[str, Any]], token: str) -> list[TeamChoice]:
    """Return all teams of the directory. `get` returns the JSON at a URL; its arguments are URL and token."""
    teams, url = list[TeamChoice](), "/fhir/HealthcareService?_count=100"
    while url:
        page = get(url, token)
        teams += [_team_choice(entry["resource"]) for entry in page.get("entry", ())]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return teams


def _team_choice(resource: dict[str, Any]) -> TeamChoice:
    dos_ids = [
        identifier.get("value", "")
        for identifier in resource.get("identifier", ())
        if is_dos_service_system(identifier["system"])
    ]
    tags = resource["meta"].get("tag", ())
    organisations = [tag["code"] for tag in tags if is_ods_code_system(tag.get("system"))]
    return TeamChoice(
        team_id=resource["id"],
        name=str(resource.get("name", "")),
        dos_service_id=next(iter(dos_ids), ""),
        organisation=next(iter(organisations), ""),
    )


def _token_source(target: PublishTarget, organisation: str, subject: str) -> Callable[[], str]:
    def from_stack() -> str:
        from onestory.local.token import fetch_token

        return fetch_token(organisation, role="R8001", sub=subject or None)

    return (lambda: target.token) if target.token else from_stack


def get_json(http: httpx.Client, url: str, token: str) -> dict[str, Any]:
    """Return the JSON at a URL. Raises `Unavailable`, or `Forbidden` with the server's diagnostics."""
    try:
        response = http.get(url, headers={"Authorization": f"Bearer {token}"})
    except httpx.HTTPError as error:
        raise Unavailable(f"{http.base_url} does not answer ({type(error).__name__}).") from error
    if response.status_code != 200:
        raise Forbidden(refusal_text(response))
    body: dict[str, Any] = response.json()
    return body
