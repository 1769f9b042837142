"""The clinical content of the summary as data: `schemas/summary/codes.yaml`, and the plans and denials of
`schemas/merge/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import yaml

from onestory.record.domain.summary.plain import Code
from onestory.shared.contracts.files import folder

_SNOMED = "http://snomed.info/sct"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """`alerts` has the kinds of Flags in the order in which they are shown; `lists` the codes of a source's List."""

    about_me: frozenset[Code]
    plans: frozenset[Code]
    alerts: tuple[frozenset[Code], ...]
    lists: Mapping[str, frozenset[Code]]
    long_results: frozenset[Code]
    long_result_words: tuple[str, ...]
    pregnancy: frozenset[Code]
    social_history: frozenset[Code]
    languages: frozenset[str]
    none_known: frozenset[Code]


@cache
def reviewed() -> Reviewed:
    """The content, read once."""
    table = yaml.safe_load((folder() / "summary" / "codes.yaml").read_text())
    denials = yaml.safe_load((folder() / "merge" / "none-known.yaml").read_text())
    emergency = yaml.safe_load((folder() / "merge" / "plans.yaml").read_text())
    return Reviewed(
        about_me=_codes(table["about-me"]),
        plans=_codes(table["plans"]) | {(each["system"], each["code"]) for each in emergency["codes"]},
        alerts=tuple(_codes(codes) for codes in table["alerts"].values()),
        lists={name: _codes(codes) for name, codes in table["lists"].items()},
        long_results=_codes(table["long-results"]),
        long_result_words=tuple(table["long-result-words"]),
        pregnancy=_codes(table["pregnancy"]),
        social_history=_codes(table["social-history"]),
        languages=frozenset(table["languages"]),
        none_known=frozenset((each["system"], each["code"]) for said in denials.values() for each in said),
    )


def _codes(written: Iterable[object]) -> frozenset[Code]:
    return frozenset(_code(str(each)) for each in written)


def _code(written: str) -> Code:
    system, bar, code = written.rpartition("|")
    return (system if bar else _SNOMED, code)
