"""`onestory worklist TEAM`: what is open for a team, on the terminal; `--follow` keeps it as it is."""

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

from onestory.client.event_source import Event, Events, refusal
from onestory.client.report import plain
from onestory.client.target import PublishTarget, find_target
from onestory.client.worklist_view import Board
from onestory.shared.errors import Forbidden, OneStoryError, Unavailable, Unprocessable
from onestory.shared.identity import is_dos_service_system, is_ods_code_system

# Which team is meant: by id, DoS service id, or a part of its name.

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class FoundTeam:
    """A team of the directory."""

    team_id: str
    name: str
    dos_service_id: str
    organisation: str

    def is_called(self, wanted: str) -> bool:
        """Whether exactly this is meant."""
        return wanted in (self.team_id, self.dos_service_id) or wanted.casefold() == self.name.casefold()


def choose(wanted: str, teams: Sequence[FoundTeam]) -> FoundTeam:
    """The one team that is meant. Raises `Unprocessable` with those that could be."""
    found = [each for each in teams if each.is_called(wanted)]
    found = found or [each for each in teams if wanted.casefold() in each.name.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Unprocessable(f"There is no team that you may read and that is called {wanted}.{_named(teams)}")
    raise Unprocessable(f"Several teams are called {wanted}: say which, by its id.{_named(found)}")


def teams_of_stack(get: Callable[[str, str], dict[str, Any]], token: str) -> list[FoundTeam]:
    """All teams of the directory. `get` reads JSON at an address, with a token."""
    found, address = list[FoundTeam](), "/fhir/HealthcareService?_count=100"
    while address:
        page = get(address, token)
        found += [_found_team(each["resource"]) for each in page.get("entry", ())]
        address = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return found


def _found_team(resource: dict[str, Any]) -> FoundTeam:
    services = [
        each.get("value", "") for each in resource.get("identifier", ()) if is_dos_service_system(each["system"])
    ]
    tags = [each["code"] for each in resource["meta"].get("tag", ()) if is_ods_code_system(each.get("system"))]
    return FoundTeam(resource["id"], str(resource.get("name", "")), next(iter(services), ""), next(iter(tags), ""))


def _named(teams: Sequence[FoundTeam]) -> str:
    lines = [f"\n  {each.team_id}  {plain(each.name)} ({each.organisation})" for each in teams[:_MOST_NAMED]]
    return "".join(lines) + (f"\n  and {len(teams) - _MOST_NAMED} more" if len(teams) > _MOST_NAMED else "")


_REDRAW_S = 5.0
_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "team", nargs="?", default="", metavar="TEAM", help="its id, DoS service id, or part of its name"
    )
    parser.add_argument("--mine", action="store_true", help="the lists of all teams in which you have a role")
    parser.add_argument("--follow", action="store_true", help="stay, and show each change as it comes")
    parser.add_argument("--json", action="store_true", help="rows as JSON lines; with --follow, then events")
    parser.add_argument(
        "--org", default="", metavar="ODS", help="whose token the embedded stack gives (default: the team's)"
    )
    parser.add_argument("--sub", default="", metavar="USER", help="the user of that token (default: the organisation)")
    parser.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    parser.add_argument("--token", metavar="T", help="default: ONESTORY_TOKEN, else one from the embedded stack")


def run(args: argparse.Namespace) -> int:
    """0 when the list was shown. Raises a `OneStoryError` when it cannot be."""
    if bool(args.team) == args.mine:
        raise Unprocessable("Name a TEAM, or give --mine for all in which you have a role.")
    target = find_target(args.base_url, args.token)
    with httpx.Client(base_url=target.base_url, timeout=30, trust_env=False) as http:
        reader = _reader(http, target, args)
        board = Board(reader.title)
        if args.follow:
            return _follow(reader, board, as_json=args.json)
        board.load(reader.page())
    if args.json:
        for row in board.rows:
            print(json.dumps(row))
    else:
        Console().print(board)
    return 0


class WorklistClient:
    """Reads one list, with a token that is renewed where the embedded stack gives it."""

    def __init__(self, http: httpx.Client, path: str, title: str, token: Callable[[], str]) -> None:
        self.title = title
        self._http = http
        self._path = path
        self._token = token

    def page(self) -> dict[str, Any]:
        """All rows with their counts. A row that was changed while it was read comes as it is now."""
        first = page = get(self._http, f"{self._path}?count={_ROWS}", self._token())
        rows = {row["referral"]: row for row in page["rows"]}
        while page["next"]:
            page = get(self._http, page["next"], self._token())
            rows |= {row["referral"]: row for row in page["rows"]}
        return {**first, "rows": list(rows.values())}

    def events(self, heard: queue.SimpleQueue[Event | OneStoryError]) -> Events:
        """Changes of the list, each put into the queue as it comes."""
        return Events(self._http, f"{self._path}/events", self._token, heard)


def _reader(http: httpx.Client, target: PublishTarget, args: argparse.Namespace) -> WorklistClient:
    if args.mine:
        if not target.token and not (args.org and args.sub):
            raise Unprocessable("Say whose list: give --org and --sub, or a --token.")
        return WorklistClient(http, "/worklists/mine", "My worklist", _tokens(target, args.org, args.sub))
    team = _team(http, target, args)
    token = _tokens(target, args.org or team.organisation, args.sub)
    return WorklistClient(http, f"/worklists/teams/{team.team_id}", team.name, token)


def _team(http: httpx.Client, target: PublishTarget, args: argparse.Namespace) -> FoundTeam:
    """The team that is meant, of those whose lists may be read."""
    if target.token or args.org:
        found = get(http, "/worklists/teams", _tokens(target, args.org, args.sub)())["teams"]
        teams = [FoundTeam(each["team"], each["name"], each["dosServiceId"], each["organisation"]) for each in found]
    else:
        teams = teams_of_stack(partial(get, http), _tokens(target, "ONESTORY", "")())
    return choose(args.team, teams)


def _tokens(target: PublishTarget, organisation: str, subject: str) -> Callable[[], str]:
    def issued() -> str:
        from onestory.local.token import fetch_token

        return fetch_token(organisation, role="R8001", sub=subject or None)

    return (lambda: target.token) if target.token else issued


def get(http: httpx.Client, address: str, token: str) -> dict[str, Any]:
    """The JSON at an address. Raises `Unavailable` or `Forbidden` with what the server says."""
    try:
        answer = http.get(address, headers={"Authorization": f"Bearer {token}"})
    except httpx.HTTPError as error:
        raise Unavailable(f"{http.base_url} does not answer ({type(error).__name__}).") from error
    if answer.status_code != 200:
        raise Forbidden(refusal(answer))
    found: dict[str, Any] = answer.json()
    return found


def _follow(reader: WorklistClient, board: Board, *, as_json: bool) -> int:
    heard: queue.SimpleQueue[Event | OneStoryError] = queue.SimpleQueue()
    console = Console(quiet=as_json)
    # It listens before it reads: what changes in between comes too.
    with reader.events(heard), Live(board, console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            try:
                event = heard.get(timeout=_REDRAW_S)
            except queue.Empty:
                # Time passes, and with it what is due.
                live.refresh()
                continue
            if isinstance(event, OneStoryError):
                raise event
            if event.name in ("open", "reset"):
                board.load(reader.page())
                for row in board.rows if as_json else ():
                    print(json.dumps({"event": "changed", **row}), flush=True)
            else:
                board.take(event.name, event.data)
                if as_json:
                    print(json.dumps({"event": event.name, **event.data}), flush=True)
            live.refresh()
