"""Reads the parts of a directory in YAML strictly: keys, dates, instants, codes and ids, each with its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from onestory.shared.errors import Malformed

Json = dict[str, Any]

_LOCAL_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "organisations": (("ods", "name"), ("kind", "active")),
    "networks": (("code", "name"), ("members", "active")),
    "members": (("practice",), ("from", "until")),
    "teams": (
        ("id", "organisation", "name"),
        (
            *("kind", "dos", "network", "serves", "eligibility", "open", "place", "postcode", "phone", "email"),
            *("escalation", "active", "succeeded_by", "slots"),
        ),
    ),
    "open": ((), ("days", "from", "until")),
    "slots": (("start", "end"), ("status",)),
    "escalation": ((), ("name", "phone", "email")),
    "succeeded_by": ((), ("team", "dos", "practices", "from")),
    "roles": (
        ("user", "name", "team"),
        ("id", "code", "from", "until", "weekdays", "active", "handed_over_to"),
    ),
    "successions": (("practice", "successor"), ("from",)),
    "providers": (("practice", "provider"), ("services", "from", "until")),
}
"""The keys of each part: those that it must have, and those that it may have."""
PARTS = ("organisations", "networks", "teams", "roles", "successions", "providers")


def items_of(owner: Json, part: str, place: str) -> Iterator[tuple[Json, str]]:
    """The items of a list, checked, each with its place."""
    where = f"{place}: {part}" if part in PARTS else f"{place}.{part}"
    items = owner.get(part) or []
    if not isinstance(items, list):
        raise Malformed(f"{where}: write a list.")
    for index, item in enumerate(items):
        yield checked(item, part, f"{where}[{index}]"), f"{where}[{index}]"


def checked(item: Any, part: str, where: str) -> Json:
    """The item, with all keys that it must have and no unknown one. Raises `Malformed`."""
    required, optional = KEYS[part]
    if not isinstance(item, dict):
        raise Malformed(f"{where}: write a mapping with {', '.join((*required, *optional))}.")
    if unknown := sorted(set(map(str, item)) - {*required, *optional}):
        raise Malformed(f"{where}: unknown key {unknown[0]}. Write one of {', '.join((*required, *optional))}.")
    if missing := [name for name in required if item.get(name) in (None, "")]:
        raise Malformed(f"{where}: {missing[0]} is missing.")
    for name in ("serves", "practices", "weekdays", "members", "services", "days"):
        if not isinstance(item.get(name, []), list):
            raise Malformed(f"{where}.{name}: write a list.")
    return item


def period(item: Json, where: str) -> Json:
    """The FHIR Period of `from` and `until`; empty without them. Raises `Malformed`."""
    names = (("start", "from"), ("end", "until"))
    return {fhir: date_text(item[name], f"{where}.{name}") for fhir, name in names if item.get(name) is not None}


def date_text(value: Any, where: str) -> str:
    """A date or an instant as FHIR writes it. Raises `Malformed`."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if not re.fullmatch(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d))?)?)?", str(value)):
        raise Malformed(f"{where}: {value} is no date. Write 2026-04-01.")
    return str(value)


def instant(value: Any, where: str) -> datetime:
    """An instant; without a time zone it is in UTC, as YAML reads it. Raises `Malformed`."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Malformed(f"{where}: {value} is no instant. Write 2026-12-07T09:00:00Z.") from error
    # YAML reads an instant with a zone as one in UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def ods_code(value: Any, where: str) -> str:
    """An ODS code in upper case. Raises `Malformed`."""
    code = str(value).strip().upper()
    if not re.fullmatch(r"[A-Z0-9]{1,20}", code):
        raise Malformed(
            f"{where}: {value} is no ODS code. Write letters and digits, in quotes where it has digits only."
        )
    return code


def local_id_of(value: Any, where: str) -> str:
    """An id of FHIR. Raises `Malformed`."""
    if not _LOCAL_ID.fullmatch(str(value)):
        raise Malformed(f"{where}: {value} is no id. Write up to 64 letters, digits, '-' and '.'.")
    return str(value)
