"""What stands in the elements that a search parameter looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onestory.shared.fhir.definitions import SearchParameter


def values(resource: Any, parameter: SearchParameter) -> Iterator[Any]:
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
