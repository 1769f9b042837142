"""What a vaccination protects against, by its codes and names. The kinds are `schemas/merge/vaccines.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from onestory.record.merge.values import worded
from onestory.record.text_cache import CachedTextFunction, cache_texts
from onestory.shared.fhir.json import extensions, objects, text


class Vaccines(NamedTuple):
    """The kinds of vaccination: those that a text names, and those of the codes."""

    kinds_named: CachedTextFunction[frozenset[str]]
    codes: Mapping[str, str]

    def kinds(self, content: Mapping[str, Any]) -> frozenset[str]:
        """The kinds that an Immunization, Procedure or Observation names; empty if it names none."""
        return frozenset(kind for concept in _concepts(content) for kind in self._kinds_of(concept))

    def has_name(self, content: Mapping[str, Any]) -> bool:
        """Whether the vaccine itself is named, so that the kind is known from it."""
        return any(self._kinds_of(each) for each in objects(content.get("vaccineCode")))

    def _kinds_of(self, concept: Mapping[str, Any]) -> Iterable[str]:
        codings = objects(concept.get("coding"))
        coded = frozenset(self.codes[code] for each in codings if (code := text(each.get("code"))) in self.codes)
        names = " ".join([worded(concept.get("text")), *(worded(each.get("display")) for each in codings)])
        if not names.strip():
            return coded
        return coded | self.kinds_named(names)


def vaccines_of(table: Mapping[str, Any]) -> Vaccines:
    """The kinds of the data file. Raises `KeyError` or `TypeError` if something is missing."""
    codes = {code: kind for kind, each in table.items() for code in each["codes"]}
    words_of = {kind: tuple(each["words"]) for kind, each in table.items()}

    @cache_texts(4096)
    def kinds_named(names: str) -> frozenset[str]:
        return frozenset(kind for kind, words in words_of.items() if any(word in names for word in words))

    return Vaccines(kinds_named, codes)


def _concepts(content: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for element in ("vaccineCode", "code"):
        yield from objects(content.get(element))
    for each in extensions(content, "VaccinationProcedure"):
        yield from objects(each.get("valueCodeableConcept"))
