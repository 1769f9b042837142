"""Search by token: a code, an identifier or a flag, with or without its system.

FHIR R4, http://hl7.org/fhir/R4/search.html#token. Codes are compared letter by letter: few code systems have codes that
mean the same in capitals, and a reader can ask for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from onestory.record.domain.search.escapes import plain, split
from onestory.shared.errors import Malformed
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    ODS_CODE_SYSTEM,
    is_nhs_number_system,
    is_ods_code_system,
)


class Token(NamedTuple):
    """`system|code`. The system is None for any and empty for none; an empty code is any."""

    system: str | None
    code: str


def token(text: str, name: str) -> Token:
    """The token in `[code]`, `[system]|[code]`, `|[code]` or `[system]|`. Raises `Malformed`."""
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Malformed(f"{name} takes a code, system|code, |code or system|.", code="value")
    return Token(None, parts[0]) if len(parts) == 1 else Token(_canonical(parts[0]), parts[1])


def is_met(asked: Token, value: Any) -> bool:
    """Whether one of the codes in this value is what the token asks for."""
    return any(
        asked.code in ("", code) and (asked.system is None or asked.system == _canonical(system))
        for system, code in codes(value)
    )


def codes(value: Any) -> Iterator[tuple[str, str]]:
    """System and code of a code, boolean, Coding, CodeableConcept, Identifier or ContactPoint."""
    if isinstance(value, bool):
        yield "", "true" if value else "false"
    elif isinstance(value, str):
        yield "", value
    elif isinstance(value, dict):
        listed = value.get("coding")
        for coding in filter(_is_object, listed if isinstance(listed, list) else [value]):
            yield str(coding.get("system") or ""), str(coding.get("code") or coding.get("value") or "")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _canonical(system: str) -> str:
    # The NHS has published more than one spelling of these.
    if is_nhs_number_system(system):
        return NHS_NUMBER_SYSTEM
    return ODS_CODE_SYSTEM if is_ods_code_system(system) else system
