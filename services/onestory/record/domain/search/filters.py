"""Filters: what a search parameter asks of a resource.

FHIR R4, http://hl7.org/fhir/R4/search.html#combining: values by comma are alternatives, repeated parameters must all be
met. `Unsupported` is for what is not known here; a value that cannot be read is `Malformed` also for lenient callers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onestory.record.domain.search import dates, names, reference, token
from onestory.record.domain.search.escapes import plain, split
from onestory.record.domain.search.times import time_of
from onestory.record.domain.search.token import Token
from onestory.record.domain.search.values import values
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import (
    SearchParameter,
    element_type,
    resource_types,
    search_parameters,
)

Test = Callable[[Any], bool]
"""Whether one value is as asked; of strings, all values together."""
Reader = Callable[["Asked", str], Test]
_MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Asked:
    """One parameter of a search of `resource_type`, such as `code:not`. `fhir` is the FHIR base URL."""

    resource_type: str
    name: str
    modifier: str
    parameter: SearchParameter
    fhir: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Met by a resource of which one value passes one test, or with `negated` none does."""

    name: str
    parameter: SearchParameter
    tests: tuple[Test, ...]
    negated: bool = False

    def is_met(self, resource: Mapping[str, Any]) -> bool:
        said = values(resource, self.parameter)
        # The words of a name stand in several elements.
        whole = [[each for each in said if isinstance(each, str)]] if self.parameter.kind == "string" else said
        return any(test(value) for value in whole for test in self.tests) is not self.negated


def named(resource_type: str, full_name: str, fhir: str) -> Asked | str:
    """The filter's parameter, or why it is not known here."""
    name, _, modifier = full_name.partition(":")
    known = search_parameters(resource_type)
    if name not in known:
        return f"{resource_type} has {', '.join(known)}."
    kind = known[name].kind
    if modifier in ("", _MISSING, *_MODIFIERS[kind]) or (kind == "reference" and modifier in resource_types()):
        return Asked(resource_type, name, modifier, known[name], fhir)
    return f"{name} takes the modifiers {', '.join(sorted([*_MODIFIERS[kind], _MISSING]))}."


def read(asked: Asked, text: str) -> Filter:
    """The filter for a parameter's value. Raises `Malformed`."""
    if asked.modifier == _MISSING:
        return Filter(asked.name, asked.parameter, (lambda value: True,), negated=_is_true(asked, text))
    reader = _READERS[asked.parameter.kind]
    alternatives = [part.strip() for part in split(text, ",")]
    if not all(alternatives):
        raise Malformed(f"{asked.name} has an empty value.", code="value")
    tests = tuple(reader(asked, part) for part in alternatives)
    return Filter(asked.name, asked.parameter, tests, negated=asked.modifier == "not")


def _is_true(asked: Asked, text: str) -> bool:
    if text not in ("true", "false"):
        raise Malformed(f"{asked.name}:missing is true or false.", code="value")
    return text == "true"


def _token(asked: Asked, text: str) -> Test:
    wanted = _without_implied_system(asked, token.token(text, asked.name))
    return lambda value: token.is_met(wanted, value)


def _without_implied_system(asked: Asked, wanted: Token) -> Token:
    """An element of type `code` has its system from the definitions. Any other system can match nothing there."""
    kinds = {element_type(asked.resource_type, steps) for steps in asked.parameter.elements}
    implied = {kind.removeprefix("code:") for kind in kinds if kind.startswith("code:")}
    if not wanted.system or len(implied) < len(kinds):
        return wanted
    if wanted.system.rpartition("/")[2] not in implied:
        raise Malformed(f"{asked.name} has no codes of this system: give the code alone.", code="value")
    return Token(None, wanted.code)


def _date(asked: Asked, text: str) -> Test:
    compare = dates.comparison(text, asked.name)

    def is_met(value: Any) -> bool:
        said = time_of(value)
        return said is not None and compare.is_met(said)

    return is_met


def _reference(asked: Asked, text: str) -> Test:
    if asked.modifier == "identifier":
        wanted = token.token(text, asked.name)
        return lambda value: isinstance(value, dict) and token.is_met(wanted, value.get("identifier"))
    target = reference.asked(plain(text), asked.name, asked.modifier, asked.fhir)
    return lambda value: reference.is_met(target, value, asked.fhir)


def _string(asked: Asked, text: str) -> Test:
    wanted = plain(text)
    if asked.modifier == "exact":
        return lambda texts: wanted in texts
    return lambda texts: names.is_met(wanted, names.forms_of_all(texts))


_MODIFIERS: Mapping[str, tuple[str, ...]] = {
    "token": ("not",),
    "date": (),
    "reference": ("identifier",),
    "string": ("exact",),
}
_READERS: Mapping[str, Reader] = {"token": _token, "date": _date, "reference": _reference, "string": _string}
