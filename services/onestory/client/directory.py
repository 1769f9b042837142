"""`onestory directory load FILE|FOLDER` publishes a directory from YAML or FHIR files, and shows what that changes.

`onestory directory show` prints the directory as it is, or as it was at a date.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from onestory.client.directory_changes import LOADED, ResourceChange, changes, load_value, with_load_identifier
from onestory.client.directory_yaml import Json, refuse_duplicates, to_resources
from onestory.client.target import find_target
from onestory.shared.display import printable_text
from onestory.shared.errors import Malformed, NotFound, Unavailable, Unprocessable
from onestory.shared.fhir.dates import parse_instant, uk_day
from onestory.shared.fhir.definitions import directory_types

_SUFFIXES = (".yaml", ".yml", ".json", ".ndjson")
_FULL_URL = "https://directory.example.org/fhir"
_SEARCHED_TOGETHER = 20
_PUBLISHED_TOGETHER = 500
_TIMEOUT_S = 60.0
_INSTANT = timedelta(milliseconds=1)

_Item = TypeVar("_Item")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    commands = parser.add_subparsers(dest="action", metavar="action", required=True)
    load = commands.add_parser("load", help="publish organisations, networks, teams and roles from files")
    load.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="YAML, or FHIR as JSON or NDJSON")
    load.add_argument("--dry-run", action="store_true", help="print the differences, and publish nothing")
    load.add_argument(
        "--org", default="", metavar="ODS", help="organisation of the embedded stack's token (default: its authority)"
    )
    load.add_argument("--system", default="directory", metavar="NAME", help="name of the source (default: %(default)s)")
    load.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    load.add_argument("--token", metavar="T", help="default: ONESTORY_TOKEN, else one from the embedded stack")

    show = commands.add_parser("show", help="print networks, members, teams and successions as they were at a date")
    show.add_argument("--at", default="", metavar="DATE", help="a date or an instant (default: now)")
    show.add_argument("--json", action="store_true", help="print the answer as JSON")
    show.add_argument("--org", default="", metavar="ODS", help="organisation of the embedded stack's token")
    show.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    show.add_argument("--token", metavar="T", help="default: ONESTORY_TOKEN, else one from the embedded stack")


def run(args: argparse.Namespace) -> int:
    """Load files, or show the directory. Returns 0; raises a `OneStoryError` where that is not possible."""
    return _load(args) if args.action == "load" else _show(args)


def _show(args: argparse.Namespace) -> int:
    target = find_target(args.base_url, args.token)
    token, _ = _credentials(target.token, args.org)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=target.base_url, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http:
        answer = _answer(http, "GET", "/directory/topology", params={"at": args.at} if args.at else {}).json()
    print(json.dumps(answer) if args.json else "\n".join(_topology_lines(answer)))
    return 0


def _topology_lines(answer: Json) -> Iterator[str]:
    """The topology as text. Names are printed without control characters: anybody may publish one."""
    yield f"The directory at {answer['at']}"
    for network in answer["networks"]:
        yield f"network {network['network']}  {printable_text(network['name'])}"
        for member in network["members"]:
            times = f"{_day(member.get('starts'))} to {_day(member.get('ends'), _INSTANT)}"
            yield f"    {member['organisation']}  {times}  {printable_text(member.get('name', ''))}".rstrip()
    for team in answer["teams"]:
        closed = "" if team["active"] else "  (closed)"
        yield f"team {team['team']}  {team['organisation']}  {printable_text(team['name'])}{closed}"
    for each in answer["successions"]:
        old, new = ("/".join(each[side].values()) for side in ("old", "new"))
        limit = f"  for {', '.join(each['practices'])}" if each.get("practices") else ""
        yield f"succession of a {each['kind']}: {old} -> {new}{limit}"


def _day(instant: str | None, before: timedelta = timedelta()) -> str:
    """The day in the UK of an instant, or of the moment before it."""
    return uk_day(parse_instant(instant) - before).isoformat() if instant else "..."


def _load(args: argparse.Namespace) -> int:
    resources = [with_load_identifier(resource) for resource in read_resources(args.paths)]
    target = find_target(args.base_url, args.token)
    token, organisation = _credentials(target.token, args.org)
    headers = {"Authorization": f"Bearer {token}", "X-Source-System": args.system}
    with httpx.Client(base_url=target.base_url, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http:
        found = changes(resources, list(_current(http, resources, organisation)))
        for change in found:
            if change.is_needed:
                print("\n".join(change.lines()))
        needed = [change for change in found if change.is_needed]
        new = sum(change.before is None for change in needed)
        counts = f"{new} new, {len(needed) - new} changed, {len(found) - len(needed)} unchanged."
        if args.dry_run:
            print(f"Dry run, nothing is published: {counts}")
            return 0
        _publish(http, needed)
        print(f"Loaded for {organisation or 'the organisation of the token'}: {counts}")
    return 0


def _credentials(token: str, organisation: str) -> tuple[str, str]:
    """The token and its organisation: the given one, or one of the embedded stack."""
    if token:
        import jwt

        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            claims = {}
        return token, str(claims.get("org", "")).upper()
    from onestory.local.token import DIRECTORY_AUTHORITY, fetch_token

    organisation = organisation.upper() or DIRECTORY_AUTHORITY
    return fetch_token(organisation, role="R8000"), organisation


def read_resources(arguments: Sequence[str]) -> list[Json]:
    """Return the resources of these files, in the order of the files. Raises `NotFound`, `Malformed`."""
    resources = [resource for path in _files(arguments) for resource in _of_file(path)]
    if not resources:
        raise NotFound("The files hold no resource of a directory.")
    refuse_duplicates(resources)
    return resources


def _files(arguments: Sequence[str]) -> Iterator[Path]:
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        elif not path.is_file():
            raise NotFound(f"{argument}: there is no such file or folder.")
        elif path.suffix not in _SUFFIXES:
            raise Malformed(f"{argument}: name a file that ends with {', '.join(_SUFFIXES)}.")
        else:
            yield path


def _of_file(path: Path) -> Iterator[Json]:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix in (".yaml", ".yml"):
            document = yaml.safe_load(text)
            yield from to_resources(document, str(path)) if document is not None else ()
        elif path.suffix == ".ndjson":
            for line in filter(str.strip, text.splitlines()):
                yield from _fhir(json.loads(line), path)
        else:
            yield from _fhir(json.loads(text), path)
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, Malformed):
            raise
        raise Malformed(f"{path}: it cannot be read ({type(error).__name__}).") from error


def _fhir(document: Any, path: Path) -> Iterator[Json]:
    """The resources of a Bundle, or the resource itself."""
    if not isinstance(document, dict):
        raise Malformed(f"{path}: it holds no FHIR resource.")
    if document.get("resourceType") == "Bundle":
        for entry in document.get("entry", []):
            yield from _fhir(entry.get("resource"), path)
        return
    kind = document.get("resourceType")
    if kind not in directory_types():
        raise Malformed(f"{path}: {kind} does not belong in a directory.")
    if not document.get("id"):
        raise Malformed(f"{path}: a {kind} has no id. Give it one, so that the next load finds it.")
    yield {name: value for name, value in document.items() if name != "meta"}


def _current(http: httpx.Client, resources: Sequence[Json], organisation: str) -> Iterator[Json]:
    """What the directory has of these resources, by their load identifiers, from the same source."""
    by_type: dict[str, list[str]] = {}
    for resource in resources:
        by_type.setdefault(resource["resourceType"], []).append(load_value(resource))
    for kind, values in by_type.items():
        for batch in _batches(values, _SEARCHED_TOGETHER):
            identifiers = ",".join(f"{LOADED}|{value}" for value in batch)
            # The general parameter lets the record answer, which searches all resources of the directory.
            asked = {"identifier": identifiers, "_lastUpdated": "ge1970-01-01", "_count": "200"}
            answer = _answer(http, "GET", f"/fhir/{kind}", params=asked)
            for entry in answer.json().get("entry", []):
                resource = entry["resource"]
                if _is_of(resource, organisation):
                    yield resource


def _is_of(resource: Json, organisation: str) -> bool:
    tags = [tag.get("code") for tag in resource.get("meta", {}).get("tag", [])]
    return not organisation or not tags or organisation in tags


def _publish(http: httpx.Client, needed: Sequence[ResourceChange]) -> None:
    for batch in _batches(needed, _PUBLISHED_TOGETHER):
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [_entry(change.resource) for change in batch],
        }
        headers = {"Content-Type": "application/fhir+json", "Prefer": "wait=20"}
        _answer(http, "POST", "/fhir", content=json.dumps(bundle), headers=headers)


def _entry(resource: Json) -> Json:
    name = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": f"{_FULL_URL}/{name}", "resource": resource, "request": {"method": "PUT", "url": name}}


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _answer(http: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    try:
        answer = http.request(method, path, **options)
    except httpx.HTTPError as error:
        raise Unavailable(f"The server at {http.base_url} does not answer. Repeat the load: it is harmless.") from error
    if answer.status_code not in (200, 201, 202):
        raise Unprocessable(f"The server refused ({answer.status_code}): {_reasons(answer)}")
    return answer


def _reasons(answer: httpx.Response) -> str:
    try:
        issues = answer.json().get("issue", [])
    except ValueError:
        return answer.text[:200]
    return " ".join(
        f"{', '.join(issue.get('expression', []))} {issue.get('diagnostics', '')}".strip() for issue in issues[:5]
    )
