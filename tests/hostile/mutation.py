"""Structure-aware mutations of FHIR: mistakes of publishers, and attempts of attackers."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.hostile.odd_values import ODD
from tests.people import new_nhs_number

Json = dict[str, Any]
Place = tuple[Any, Any]
"""An object or array, and the key or index of one value in it."""

_NAME = re.compile(rb'"[A-Za-z]+"(?=:)')
# Elements that intake decides by are changed more often than elements that it only passes on.
_DECISIVE = {
    "id",
    "identifier",
    "reference",
    "url",
    "method",
    "request",
    "resource",
    "resourceType",
    "type",
    "fullUrl",
    "meta",
    "lastUpdated",
    "tag",
    "system",
    "value",
    "subject",
    "patient",
    "entry",
    "timestamp",
    "contained",
    "status",
}
_NAMES = (
    "id",
    "_id",
    "resourceType",
    "ResourceType",
    "reference",
    "subject",
    "patient",
    "contained",
    "extension",
    "fhir_comments",
    "ifNoneExist",
    "ifMatch",
    "implicitRules",
    "modifierExtension",
    "__class__",
    "",
    "ü",
    "a" * 300,
    "link",
    "text",
)


def places(value: Any) -> Iterator[Place]:
    """Every place in a value, at any depth."""
    keys: Any = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def mutated(resource: Json, chance: random.Random) -> Json:
    """The resource with one to four changes."""
    changed: Json = copy.deepcopy(resource)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        found = list(places(changed))
        if not found:
            break
        decisive = [place for place in found if place[1] in _DECISIVE]
        parent, key = chance.choice(decisive if decisive and chance.random() < 0.6 else found)
        chance.choice(_CHANGES)(parent, key, found, chance)
    return changed


def _replace(parent: Any, key: Any, _found: list[Place], chance: random.Random) -> None:
    parent[key] = copy.deepcopy(chance.choice(ODD))


def _drop(parent: Any, key: Any, _found: list[Place], _chance: random.Random) -> None:
    del parent[key]


def _copy_from_elsewhere(parent: Any, key: Any, found: list[Place], chance: random.Random) -> None:
    other, at = chance.choice(found)
    parent[key] = copy.deepcopy(other[at])


def _retag(parent: Any, key: Any, _found: list[Place], chance: random.Random) -> None:
    if isinstance(parent, dict):
        parent[chance.choice((*_NAMES, f"_{key}", str(key).upper(), f"{key} "))] = parent.pop(key)


def _repeat(parent: Any, key: Any, _found: list[Place], chance: random.Random) -> None:
    if isinstance(parent, list):
        parent.extend(copy.deepcopy(parent[key]) for _ in range(chance.choice((1, 1, 50))))
    else:
        parent[key] = [parent[key], copy.deepcopy(parent[key])]


def _unwrap(parent: Any, key: Any, _found: list[Place], _chance: random.Random) -> None:
    value = parent[key]
    if isinstance(value, list) and value:
        parent[key] = value[0]
    else:
        parent[key] = str(value) if isinstance(value, int | float) else [value]


def _bury(parent: Any, key: Any, _found: list[Place], chance: random.Random) -> None:
    for _ in range(chance.choice((3, 40, 120))):
        parent[key] = {"extension": [{"url": "x", "valueString": "x"}, parent[key]]}


def _other_person(parent: Any, key: Any, _found: list[Place], _chance: random.Random) -> None:
    other = new_nhs_number()
    parent[key] = f"Patient/{other}" if key == "reference" else other


_CHANGES: tuple[Callable[[Any, Any, list[Place], random.Random], None], ...] = (
    _replace,
    _replace,
    _replace,
    _replace,
    _drop,
    _drop,
    _copy_from_elsewhere,
    _retag,
    _repeat,
    _unwrap,
    _bury,
    _other_person,
)


def written(resource: Any) -> bytes:
    """The resource as JSON in ASCII.

    A lone surrogate becomes an escape. Infinity becomes a number that is too large for any type.
    """
    return json.dumps(resource).replace("-Infinity", "9" * 5_000).replace("Infinity", "1e400").encode()


def garbled(body: bytes, chance: random.Random) -> bytes:
    """The text with one fault that JSON, UTF-8 or FHIR JSON does not allow, or barely allows."""
    at = chance.randrange(len(body))
    match chance.randrange(18):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + chance.randbytes(chance.randrange(1, 9)) + body[at:]
        case 2:
            return body + chance.choice((b"{}", b"\0", b"]", b"\n\n", body))
        case 3:
            return chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"  ", b"\0")) + body
        case 4:
            return body.decode("ascii").encode(chance.choice(("utf-16", "utf-32", "utf-7", "cp037")))
        case 5:
            return body.replace(b'"', b"'")
        case 6:
            return _once(
                body, b": ", b": " + chance.choice((b"NaN, ", b"Infinity", b"-", b"01", b"1e999", b"1.", b"0x1"))
            )
        case 7:
            return _once(body, b"{", b'{"id": "twice", "id": "twice", ')
        case 8:
            return _once(body, b"{", b'{"resourceType": "Patient", "r\\u0065sourceType": "Bundle", ')
        case 9:
            depth = chance.choice((100, 5_000, 200_000))
            return _once(body, b"{", b'{"extension": ' + b"[" * depth + b"]" * depth + b", ")
        case 10:
            depth = chance.choice((100, 5_000, 100_000))
            return _once(body, b"{", b'{"contained": ' + b'{"a":' * depth + b"1" + b"}" * depth + b", ")
        case 11:
            return _once(
                body, b"Okafor", chance.choice((b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"))
            )
        case 12:
            return _once(
                body, b"Okafor", chance.choice((b"\\ud800", b"\\u0000", b"\\x41", b"\\u12", b"\n", b"\x1b[2J"))
            )
        case 13:
            return _once(body, b": ", b": " + b"9" * chance.choice((20, 5_000, 400_000)) + b", ")
        case 14 | 15:
            names = [match.start() + 1 for match in _NAME.finditer(body)]
            at = chance.choice(names) if names else at
            return b"%b\\u%04x%b" % (body[:at], body[at], body[at + 1 :])
        case 16:
            return _once(body, b"}", b", }")
        case _:
            return b"%b/* %b */%b" % (body[:at], body[at : at + 5], body[at:])


def _once(body: bytes, old: bytes, new: bytes) -> bytes:
    return body.replace(old, new, 1)
