"""Of whom and from when on something is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from onestory.shared.errors import Malformed
from onestory.shared.fhir.instants import parse_instant

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def moment(said: Mapping[str, str], name: str) -> datetime:
    """The instant that a parameter says; where it is left out, the beginning of time. Raises `Malformed`."""
    if name not in said:
        return _EVER
    try:
        return parse_instant(said[name])
    except ValueError as error:
        says = f"{name} is date, time and time zone, such as 2026-05-01T09:30:00Z."
        raise Malformed(says, code="value") from error


def name(said: Mapping[str, str], parameter: str) -> str:
    """An ODS code, or the id of a team; empty where it is left out. Raises `Malformed` for what can be neither."""
    given = said.get(parameter, "")
    if parameter in said and not _NAME.fullmatch(given):
        raise Malformed(f"{parameter} is of letters and digits.", code="value")
    return given
