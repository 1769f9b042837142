"""`onestory worklist TEAM`: what is open for a team, on the terminal; `--follow` keeps it as it is."""

from __future__ import annotations

import argparse
import json
import queue
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from onestory.client.event_source import Event, Events, refusal
from onestory.client.target import Target, find_target
from onestory.client.team import Team, choose, teams_of_stack
from onestory.client.worklist_view import Board
from onestory.shared.errors import Forbidden, OneStoryError, Unavailable, Unprocessable

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


class Reader:
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


def _reader(http: httpx.Client, target: Target, args: argparse.Namespace) -> Reader:
    if args.mine:
        if not target.token and not (args.org and args.sub):
            raise Unprocessable("Say whose list: give --org and --sub, or a --token.")
        return Reader(http, "/worklists/mine", "My worklist", _tokens(target, args.org, args.sub))
    team = _team(http, target, args)
    token = _tokens(target, args.org or team.organisation, args.sub)
    return Reader(http, f"/worklists/teams/{team.team_id}", team.name, token)


def _team(http: httpx.Client, target: Target, args: argparse.Namespace) -> Team:
    """The team that is meant, of those whose lists may be read."""
    if target.token or args.org:
        found = get(http, "/worklists/teams", _tokens(target, args.org, args.sub)())["teams"]
        teams = [Team(each["team"], each["name"], each["dosServiceId"], each["organisation"]) for each in found]
    else:
        teams = teams_of_stack(partial(get, http), _tokens(target, "ONESTORY", "")())
    return choose(args.team, teams)


def _tokens(target: Target, organisation: str, subject: str) -> Callable[[], str]:
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


def _follow(reader: Reader, board: Board, *, as_json: bool) -> int:
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
