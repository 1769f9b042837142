"""Filters: what a search parameter asks of a resource.

FHIR R4, http://hl7.org/fhir/R4/search.html#combining: values by comma are alternatives, repeated parameters must all be
met. `Unsupported` is for what is not known here; a value that cannot be read is `Malformed` also for lenient callers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.person import identifiers
from onestory.record.search import dates as search_dates
from onestory.record.search.dates import TimeRange, span
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import SearchParameterDefinition, element_type, resource_types, search_parameters
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, is_nhs_number_system, is_ods_code_system

# Search by reference (FHIR R4, http://hl7.org/fhir/R4/search.html#reference).

_RELATIVE = re.compile(r"(?P<resource_type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class ReferenceTarget(NamedTuple):
    """Where a reference leads. `resource_type` is empty for any."""

    resource_type: str
    id: str


def target(reference: object, fhir: str) -> ReferenceTarget | None:
    """The resource here that a reference leads to, whichever version it names. `fhir` is the FHIR base URL."""
    match = _RELATIVE.fullmatch(reference.removeprefix(f"{fhir}/")) if isinstance(reference, str) else None
    return ReferenceTarget(match["resource_type"], match["id"]) if match else None


def read_reference(text: str, name: str, resource_type: str, fhir: str) -> ReferenceTarget | str:
    """What `Type/id`, a bare id, or a URL asks for; a URL that is not ours is itself. Raises `Malformed`."""
    found = target(text, fhir)
    if found is None and _ID.fullmatch(text):
        return ReferenceTarget(resource_type, text)
    if found is None and "://" in text:
        return text
    if found is None or resource_type not in ("", found.resource_type):
        raise Malformed(f"{name} takes Type/id, an id, or a URL.", code="value")
    return found


def reference_matches(wanted: ReferenceTarget | str, value: Any, fhir: str) -> bool:
    """Whether this Reference leads there."""
    reference = value.get("reference") if isinstance(value, dict) else None
    if isinstance(wanted, str):
        return bool(reference == wanted)
    found = target(reference, fhir)
    return found is not None and found.id == wanted.id and wanted.resource_type in ("", found.resource_type)


# What stands in the elements that a search parameter looks at.


def values(resource: Any, parameter: SearchParameterDefinition) -> Iterator[Any]:
    """All values, in the order of the parameter's elements."""
    for steps in parameter.elements:
        yield from _at(resource, steps)


def _at(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _at(item, steps)
    elif not steps:
        if value is not None:
            yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _at(value[steps[0]], steps[1:])


# What a backslash protects in a search value (FHIR R4, http://hl7.org/fhir/R4/search.html#escaping).

_ESCAPED = re.compile(r"\\([,|$\\])")


def split(text: str, separator: str) -> list[str]:
    """The text cut at each separator that no backslash protects; the pieces keep their backslashes."""
    pieces = [""]
    skipped = False
    for letter in text:
        if letter == separator and not skipped:
            pieces.append("")
        else:
            pieces[-1] += letter
        skipped = letter == "\\" and not skipped
    return pieces


def plain(text: str) -> str:
    """The text as it was before it was escaped."""
    return _ESCAPED.sub(r"\1", text)


# Search by token: a code, an identifier or a flag, with or without its system.
#
# FHIR R4, http://hl7.org/fhir/R4/search.html#token. Codes are compared letter by letter: few code systems have codes
# that
# mean the same in capitals, and a reader can ask for both.


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


def token_matches(asked: Token, value: Any) -> bool:
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


# The time that an element of a resource means: a date, a Period, or a Timing.
#
# FHIR R4, http://hl7.org/fhir/R4/search.html#date: of a Timing the outer limits count.


def time_of(value: Any) -> TimeRange | None:
    """From when to when; None for what names no time, which no comparison finds."""
    if isinstance(value, str):
        return span(value)
    if not isinstance(value, dict):
        return None
    return _period(value) if "start" in value or "end" in value else _timing(value)


def _period(period: Mapping[str, Any]) -> TimeRange | None:
    start, end = (span(str(period.get(name, ""))) for name in ("start", "end"))
    return TimeRange(start and start.since, end and end.before) if start or end else None


def _timing(timing: Mapping[str, Any]) -> TimeRange | None:
    repeat = timing.get("repeat")
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    listed = timing.get("event")
    events = [found for each in (listed if isinstance(listed, list) else ()) if (found := time_of(each))]
    if isinstance(bounds, dict) and (within := _period(bounds)):
        events.append(within)
    return (
        TimeRange(_least([each.since for each in events]), _greatest([each.before for each in events]))
        if events
        else None
    )


def _least(moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment]
    return min(known) if len(known) == len(moments) else None


def _greatest(moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment]
    return max(known) if len(known) == len(moments) else None


Test = Callable[[Any], bool]
"""Whether one value is as asked; of strings, all values together."""
Reader = Callable[["SearchParameter", str], Test]
_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One parameter of a search of `resource_type`, such as `code:not`. `fhir` is the FHIR base URL."""

    resource_type: str
    name: str
    modifier: str
    parameter: SearchParameterDefinition
    fhir: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Met by a resource of which one value passes one test, or with `negated` none does."""

    name: str
    parameter: SearchParameterDefinition
    tests: tuple[Test, ...]
    negated: bool = False

    def is_met(self, resource: Mapping[str, Any]) -> bool:
        said = values(resource, self.parameter)
        # The words of a name stand in several elements.
        whole = [[each for each in said if isinstance(each, str)]] if self.parameter.kind == "string" else said
        return any(test(value) for value in whole for test in self.tests) is not self.negated


def named(resource_type: str, full_name: str, fhir: str) -> SearchParameter | str:
    """The filter's parameter, or why it is not known here."""
    name, _, modifier = full_name.partition(":")
    known = search_parameters(resource_type)
    if name not in known:
        return f"{resource_type} has {', '.join(known)}."
    kind = known[name].kind
    if modifier in ("", _MISSING, *_MODIFIERS[kind]) or (kind == "reference" and modifier in resource_types()):
        return SearchParameter(resource_type, name, modifier, known[name], fhir)
    return f"{name} takes the modifiers {', '.join(sorted([*_MODIFIERS[kind], _MISSING]))}."


def read(asked: SearchParameter, text: str) -> Filter:
    """The filter for a parameter's value. Raises `Malformed`."""
    if asked.modifier == _MISSING:
        return Filter(asked.name, asked.parameter, (lambda value: True,), negated=_is_true(asked, text))
    reader = _READERS[asked.parameter.kind]
    alternatives = [part.strip() for part in split(text, ",")]
    if not all(alternatives):
        raise Malformed(f"{asked.name} has an empty value.", code="value")
    tests = tuple(reader(asked, part) for part in alternatives)
    return Filter(asked.name, asked.parameter, tests, negated=asked.modifier == "not")


def _is_true(asked: SearchParameter, text: str) -> bool:
    if text not in ("true", "false"):
        raise Malformed(f"{asked.name}:missing is true or false.", code="value")
    return text == "true"


def _token(asked: SearchParameter, text: str) -> Test:
    wanted = _without_implied_system(asked, token(text, asked.name))
    return lambda value: token_matches(wanted, value)


def _without_implied_system(asked: SearchParameter, wanted: Token) -> Token:
    """An element of type `code` has its system from the definitions. Any other system can match nothing there."""
    kinds = {element_type(asked.resource_type, steps) for steps in asked.parameter.elements}
    implied = {kind.removeprefix("code:") for kind in kinds if kind.startswith("code:")}
    if not wanted.system or len(implied) < len(kinds):
        return wanted
    if wanted.system.rpartition("/")[2] not in implied:
        raise Malformed(f"{asked.name} has no codes of this system: give the code alone.", code="value")
    return Token(None, wanted.code)


def _date(asked: SearchParameter, text: str) -> Test:
    compare = search_dates.comparison(text, asked.name)

    def is_met(value: Any) -> bool:
        said = time_of(value)
        return said is not None and compare.is_met(said)

    return is_met


def _reference(asked: SearchParameter, text: str) -> Test:
    if asked.modifier == "identifier":
        wanted = token(text, asked.name)
        return lambda value: isinstance(value, dict) and token_matches(wanted, value.get("identifier"))
    target = read_reference(plain(text), asked.name, asked.modifier, asked.fhir)
    return lambda value: reference_matches(target, value, asked.fhir)


def _string(asked: SearchParameter, text: str) -> Test:
    wanted = plain(text)
    if asked.modifier == "exact":
        return lambda texts: wanted in texts
    return lambda texts: identifiers.name_matches(wanted, identifiers.forms_of_all(texts))


_MODIFIERS: Mapping[str, tuple[str, ...]] = {
    "token": ("not",),
    "date": (),
    "reference": ("identifier",),
    "string": ("exact",),
}
_READERS: Mapping[str, Reader] = {"token": _token, "date": _date, "reference": _reference, "string": _string}
