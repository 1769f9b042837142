"""ODS codes in settings: in upper case, as tokens and statements have them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onestory.shared.errors import Misconfigured

_SETTINGS = (
    "directory_authorities",
    "networks",
    "demographic_authorities",
    "sequenced_sources",
    "replaced_systems",
    "source_rhythms",
    "referral_escalation",
)
_ODS_CODE = re.compile(r"[A-Z0-9]+")


def with_upper_case_codes(values: Mapping[str, object], prefix: str) -> dict[str, object]:
    """The values of settings by name, with ODS codes in upper case. A variable is `prefix` and the name in upper case.

    Raises `Misconfigured` for a code with other characters than letters and digits.
    """
    return {
        name: _in_upper_case(value, f"{prefix}{name.upper()}") if name in _SETTINGS else value
        for name, value in values.items()
    }


def _in_upper_case(value: object, variable: str) -> object:
    match value:
        case tuple():
            return tuple(_source(each, variable) for each in value)
        case dict():
            by_code = {_source(each, variable): setting for each, setting in value.items()}
            if len(by_code) < len(value):
                raise Misconfigured(f"{variable} names an ODS code twice. Name it once.")
            return by_code
        case str() if value:
            return _source(value, variable)
        case _:
            return value


def _source(source: str, variable: str) -> str:
    """`ODS` or `ODS/system` with the code in upper case. A system has its own spelling."""
    code, slash, system = source.partition("/")
    code = code.strip().upper()
    if not _ODS_CODE.fullmatch(code):
        raise Misconfigured(f"{variable}: {source!r} has no ODS code of letters and digits. Correct it.")
    return f"{code}{slash}{system}"
