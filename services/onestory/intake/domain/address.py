"""What an address asks for: the URL of a request, in HTTP or in an entry (http://hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from onestory.shared.errors import PreconditionFailed, Unprocessable

# What an Identifier can hold: its system is a uri, its value a string (http://hl7.org/fhir/R4/datatypes.html).
_URI = re.compile(r"[^\s\x00-\x1f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Address:
    """`Condition/c1?patient=...` taken apart. `search` is still encoded."""

    resource_type: str
    resource_id: str
    search: str


def parse_address(url: str, base_url: str, path: str) -> Address:
    """The parts of a relative URL, or of one below our own base. Raises `Unprocessable` for any other."""
    relative, _, search = url.removeprefix(base_url).removeprefix("/").partition("?")
    kind, _, rest = relative.partition("/")
    if "$" in relative:
        raise Unprocessable("Operations are not taken here: send the resources.", code="not-supported", expression=path)
    if "/" in rest or not kind or ":" in kind:
        raise Unprocessable("Send the address as Type or Type/id.", code="value", expression=path)
    return Address(kind, rest, search)


def identifier_in(search: str, path: str) -> str:
    """The `system|value` of `identifier=system|value`: the one condition that can name a resource for good.

    Raises `PreconditionFailed` for any other search: its answer could change before the statement is read.
    """
    name, _, value = search.partition("=")
    system, bar, code = unquote(value).partition("|")
    sayable = _URI.fullmatch(system) and code.strip() and not _CONTROL.search(code)
    if name != "identifier" or "&" in search or not bar or not sayable or "," in code:
        raise PreconditionFailed(
            "Only identifier=system|value can be kept as a condition, for it names the resource: send that, or an id.",
            expression=path,
        )
    return f"{system}|{code}"


def person_in(search: str, path: str) -> str:
    """What `?patient=` says, without `Patient/`; empty when there is no query. Raises `PreconditionFailed` for more."""
    if not search:
        return ""
    name, _, value = search.partition("=")
    if name != "patient" or "&" in search or not value:
        raise PreconditionFailed(
            "What to delete cannot be searched for: send Type/id, with ?patient=<NHS number> for an id of your own.",
            expression=path,
        )
    return unquote(value).removeprefix("Patient/")


def refuse_preconditions(names: list[str], path: str = "") -> None:
    """Raise `PreconditionFailed` if there are any."""
    if names:
        raise PreconditionFailed(
            f"{', '.join(names)} cannot be kept: statements are only ever added, and which one stands is decided by "
            "when its source recorded it. Leave it out.",
            expression=path,
        )
