"""Filters: the test that a search parameter applies to a resource.

FHIR R4, http://hl7.org/fhir/R4/search.html#combining: values separated by commas are alternatives; repeated parameters
must all match. A value that cannot be read is `Malformed`, also for lenient callers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.person import identifiers
from onestory.record.search import dates as search_dates
from onestory.record.search import quantities
from onestory.record.search.dates import TimeRange, span
from onestory.record.search.texts import SearchedTexts
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import SearchParameterDefinition, element_type, resource_types, search_parameters
from onestory.shared.http.request_limits import refuse_many_words
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, is_nhs_number_system, is_ods_code_system

ValueTest = Callable[[Any], bool]
"""Whether one value of the element matches. For strings the argument is `SearchedTexts` of all values."""
_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One parameter of a search of `resource_type`, such as `code:not`. `fhir` is the FHIR base URL."""

    resource_type: str
    name: str
    modifier: str
    definition: SearchParameterDefinition
    fhir: str


TestParser = Callable[[SearchParameter, str], ValueTest]


@dataclass(frozen=True, slots=True)
class Filter:
    """Matches a resource if one value passes one test; with `negated`, if none does."""

    name: str
    definition: SearchParameterDefinition
    tests: tuple[ValueTest, ...]
    negated: bool = False

    def matches(self, resource: Mapping[str, Any]) -> bool:
        """Whether the resource matches."""
        values: Iterable[Any] = element_values(resource, self.definition)
        if self.definition.kind == "string":
            # The words of a name are in several elements, so strings are tested together.
            texts = [value for value in values if isinstance(value, str)]
            values = [SearchedTexts(texts)] if texts else ()
        return any(test(value) for value in values for test in self.tests) is not self.negated


def supported_parameter(resource_type: str, full_name: str, fhir: str) -> SearchParameter | str:
    """The parameter with its modifier. If it is not supported: the supported modifiers, or "" for an unknown name."""
    name, _, modifier = full_name.partition(":")
    known = search_parameters(resource_type)
    if name not in known:
        return ""
    kind = known[name].kind
    if modifier in ("", _MISSING, *_MODIFIERS[kind]) or (kind == "reference" and modifier in resource_types()):
        return SearchParameter(resource_type, name, modifier, known[name], fhir)
    return f"{name} supports the modifiers {', '.join(sorted([*_MODIFIERS[kind], _MISSING]))}."


def parse_filter(parameter: SearchParameter, text: str) -> Filter:
    """The filter for a value of the parameter. Raises `Malformed`."""
    if parameter.modifier == _MISSING:
        return Filter(
            parameter.name, parameter.definition, (lambda value: True,), negated=_parse_boolean(parameter, text)
        )
    parse_test = _TEST_PARSERS[parameter.definition.kind]
    alternatives = [part.strip() for part in split_escaped(text, ",")]
    if not all(alternatives):
        raise Malformed(
            f"{parameter.name}: one of its values is empty. Send a value, or remove the comma.", code="value"
        )
    tests = tuple(parse_test(parameter, part) for part in alternatives)
    return Filter(parameter.name, parameter.definition, tests, negated=parameter.modifier == "not")


def _parse_boolean(parameter: SearchParameter, text: str) -> bool:
    if text not in ("true", "false"):
        raise Malformed(f"{parameter.name}:missing: the value is not valid. Send true or false.", code="value")
    return text == "true"


def _token_test(parameter: SearchParameter, text: str) -> ValueTest:
    wanted = _without_implied_system(parameter, parse_token(text, parameter.name))
    return lambda value: token_matches(wanted, value)


def _without_implied_system(parameter: SearchParameter, wanted: Token) -> Token:
    """The token without the system that the definitions imply for an element of type `code`.

    Raises `Malformed` for any other system, because it cannot match anything there.
    """
    kinds = {element_type(parameter.resource_type, steps) for steps in parameter.definition.elements}
    implied = {kind.removeprefix("code:") for kind in kinds if kind.startswith("code:")}
    if not wanted.system or len(implied) < len(kinds):
        return wanted
    if wanted.system.rpartition("/")[2] not in implied:
        raise Malformed(
            f"{parameter.name}: it has no codes of this system. Send the code without a system.", code="value"
        )
    return Token(None, wanted.code)


def _date_test(parameter: SearchParameter, text: str) -> ValueTest:
    comparison = search_dates.comparison(text, parameter.name)

    def matches(value: Any) -> bool:
        time_range = time_range_of(value)
        return time_range is not None and comparison.matches(time_range)

    return matches


def _reference_test(parameter: SearchParameter, text: str) -> ValueTest:
    if parameter.modifier == "identifier":
        wanted = parse_token(text, parameter.name)
        return lambda value: isinstance(value, dict) and token_matches(wanted, value.get("identifier"))
    target = parse_reference(unescape(text), parameter.name, parameter.modifier, parameter.fhir)
    return lambda value: reference_matches(target, value, parameter.fhir)


def _string_test(parameter: SearchParameter, text: str) -> ValueTest:
    wanted = unescape(text)
    if parameter.modifier == "exact":
        return lambda texts: wanted in texts.exact
    words = identifiers.name_words(wanted)
    refuse_many_words(parameter.name, words)
    if parameter.modifier == "contains":
        part = "".join(words)
        return lambda texts: bool(part) and any(part in text for text in texts.joined)
    return lambda texts: identifiers.words_begin_forms(words, texts.forms)


def _uri_test(parameter: SearchParameter, text: str) -> ValueTest:
    wanted = unescape(text)
    if parameter.modifier == "below":
        return lambda value: isinstance(value, str) and value.startswith(wanted)
    # A canonical URL without a version names all versions (http://hl7.org/fhir/R4/references.html#canonical).
    return lambda value: isinstance(value, str) and wanted in (value, value.partition("|")[0])


def _quantity_test(parameter: SearchParameter, text: str) -> ValueTest:
    parts = [unescape(part) for part in split_escaped(text, "|")]
    return quantities.parse_quantity(parts, parameter.name).matches


def _number_test(parameter: SearchParameter, text: str) -> ValueTest:
    return quantities.parse_number(text, parameter.name).matches


_MODIFIERS: Mapping[str, tuple[str, ...]] = {
    "token": ("not",),
    "date": (),
    "reference": ("identifier",),
    "string": ("exact", "contains"),
    "uri": ("below",),
    "quantity": (),
    "number": (),
}
_TEST_PARSERS: Mapping[str, TestParser] = {
    "token": _token_test,
    "date": _date_test,
    "reference": _reference_test,
    "string": _string_test,
    "uri": _uri_test,
    "quantity": _quantity_test,
    "number": _number_test,
}


def element_values(resource: Any, definition: SearchParameterDefinition) -> Iterator[Any]:
    """All values that the search parameter looks at, in the order of its elements."""
    for steps in definition.elements:
        yield from _values_at(resource, steps)


def _values_at(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _values_at(item, steps)
    elif not steps:
        if value is not None:
            yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _values_at(value[steps[0]], steps[1:])


# Escaped characters in values, http://hl7.org/fhir/R4/search.html#escaping
_ESCAPED = re.compile(r"\\([,|$\\])")


def split_escaped(text: str, separator: str) -> list[str]:
    """The text cut at each separator without a backslash before it. The pieces keep their backslashes."""
    if "\\" not in text:
        return text.split(separator)
    pieces, begin, at = [], 0, 0
    while at < len(text):
        if text[at] == separator:
            pieces.append(text[begin:at])
            begin = at + 1
        # A backslash escapes the next character.
        at += 2 if text[at] == "\\" else 1
    return [*pieces, text[begin:]]


def unescape(text: str) -> str:
    """The text without the backslashes that escape a character."""
    return _ESCAPED.sub(r"\1", text)


# References, http://hl7.org/fhir/R4/search.html#reference
_RELATIVE = re.compile(r"(?P<resource_type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class ReferenceTarget(NamedTuple):
    """The resource that a reference points to. `resource_type` is empty for any type."""

    resource_type: str
    id: str


def reference_target(reference: object, fhir: str) -> ReferenceTarget | None:
    """The resource here that a reference points to, without its version. `fhir` is the FHIR base URL."""
    match = _RELATIVE.fullmatch(reference.removeprefix(f"{fhir}/")) if isinstance(reference, str) else None
    return ReferenceTarget(match["resource_type"], match["id"]) if match else None


def parse_reference(text: str, name: str, resource_type: str, fhir: str) -> ReferenceTarget | str:
    """The target that `Type/id`, a bare id, or a URL names; the URL itself if it is not ours. Raises `Malformed`."""
    target = reference_target(text, fhir)
    if target is None and _ID.fullmatch(text):
        return ReferenceTarget(resource_type, text)
    if target is None and "://" in text:
        return text
    if target is None or resource_type not in ("", target.resource_type):
        raise Malformed(f"{name}: the value is not a reference. Send Type/id, an id, or a URL.", code="value")
    return target


def reference_matches(wanted: ReferenceTarget | str, value: Any, fhir: str) -> bool:
    """Whether this Reference points to the wanted target."""
    reference = value.get("reference") if isinstance(value, dict) else None
    if isinstance(wanted, str):
        return bool(reference == wanted)
    target = reference_target(reference, fhir)
    return target is not None and target.id == wanted.id and wanted.resource_type in ("", target.resource_type)


class Token(NamedTuple):
    """`system|code` (http://hl7.org/fhir/R4/search.html#token).

    The system is None for any system and empty for none. An empty code matches any code. Codes are compared with upper
    and lower case: few code systems treat both alike, and a caller can send both.
    """

    system: str | None
    code: str


def parse_token(text: str, name: str) -> Token:
    """The token in `[code]`, `[system]|[code]`, `|[code]` or `[system]|`. Raises `Malformed`."""
    parts = [unescape(part) for part in split_escaped(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Malformed(f"{name}: the value is not a token. Send a code, system|code, |code or system|.", code="value")
    return Token(None, parts[0]) if len(parts) == 1 else Token(_canonical_system(parts[0]), parts[1])


def token_matches(wanted: Token, value: Any) -> bool:
    """Whether the token matches one of the codes in this value."""
    return any(
        wanted.code in ("", code) and (wanted.system is None or wanted.system == _canonical_system(system))
        for system, code in codings(value)
    )


def codings(value: Any) -> Iterator[tuple[str, str]]:
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


def _canonical_system(system: str) -> str:
    # The NHS has published more than one spelling of these systems.
    if is_nhs_number_system(system):
        return NHS_NUMBER_SYSTEM
    return ODS_CODE_SYSTEM if is_ods_code_system(system) else system


def time_range_of(value: Any) -> TimeRange | None:
    """The time that a date, Period or Timing means (http://hl7.org/fhir/R4/search.html#date).

    A Timing means the time between its outer limits. None for a value without a time, which no comparison matches.
    """
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
    events = [event for value in (listed if isinstance(listed, list) else ()) if (event := time_range_of(value))]
    if isinstance(bounds, dict) and (period := _period(bounds)):
        events.append(period)
    return (
        TimeRange(_earliest([event.since for event in events]), _latest([event.before for event in events]))
        if events
        else None
    )


def _earliest(moments: list[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment), default=None) if all(moments) else None


def _latest(moments: list[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment), default=None) if all(moments) else None
