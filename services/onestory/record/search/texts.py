"""The texts of a resource that one string parameter searches, in the forms that its values are compared with.

FHIR R4, http://hl7.org/fhir/R4/search.html#string. Pure. A parameter may have hundreds of values, so each form is made
once for a resource and not once for a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from onestory.record.person import identifiers

MAX_TEXT_LENGTH = 2_000
"""Letters of one text that are searched or sorted by. A value of a parameter has no more."""
_MAX_TOTAL_LENGTH = 20_000


class SearchedTexts:
    """All texts of one element. The part of a text beyond 2,000 letters is compared by `:exact` alone."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    @cached_property
    def exact(self) -> frozenset[str]:
        """The whole texts."""
        return frozenset(self._texts)

    @cached_property
    def forms(self) -> Sequence[str]:
        """The forms in which the texts may be searched, sorted."""
        return sorted(identifiers.all_name_forms(self._shortened()))

    @cached_property
    def joined(self) -> Sequence[str]:
        """The letters of each text without the spaces."""
        return ["".join(identifiers.name_words(text)) for text in self._shortened()]

    def _shortened(self) -> Iterator[str]:
        remaining = _MAX_TOTAL_LENGTH
        for text in self._texts:
            short = text[: min(remaining, MAX_TEXT_LENGTH)]
            yield short
            remaining -= len(short)
            if not remaining:
                return
