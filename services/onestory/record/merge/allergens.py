"""The allergens of `schemas/merge/allergens.yaml`: their codes, names, categories and classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code

_SNOMED = "http://snomed.info/sct"


class Allergen(NamedTuple):
    """One thing that people are allergic to. `classes` are the names of the classes that it belongs to.

    `cross`: it is a class whose members share their allergy.
    """

    name: str
    category: str
    classes: frozenset[str]
    cross: bool


@dataclass(frozen=True, slots=True)
class AllergenList:
    """All known allergens. `by_name` has them by name, `names_by_code` and `names_by_word` the name for a code or word.

    `same_codes` maps the code of a finding, or an older code, to the one code that stands for its substance.
    """

    by_name: Mapping[str, Allergen]
    names_by_code: Mapping[Code, str]
    names_by_word: Mapping[str, str]
    same_codes: Mapping[Code, Code]
    word_pattern: re.Pattern[str]

    def classes_of(self, names: Iterable[str]) -> frozenset[str]:
        """The names of all classes that these allergens belong to."""
        return frozenset(each for name in names for each in self.by_name[name].classes)

    def categories_of(self, names: Iterable[str]) -> frozenset[str]:
        """The FHIR categories of these allergens."""
        return frozenset(self.by_name[name].category for name in names)


@clinical_table
def known_allergens() -> AllergenList:
    """The allergens, read once. Raises `Misconfigured` when the file lacks something that it needs."""
    try:
        rows: list[dict[str, Any]] = read_clinical_data("merge/allergens")
        names_by_word = {word.casefold(): row["name"] for row in rows for word in row["words"]}
        known = AllergenList(
            by_name={
                row["name"]: Allergen(
                    row["name"], row["category"], frozenset(row.get("within", ())), bool(row.get("cross"))
                )
                for row in rows
            },
            names_by_code={(_SNOMED, code): row["name"] for row in rows for code in _codes(row)},
            names_by_word=names_by_word,
            same_codes={(_SNOMED, code): (_SNOMED, _codes(row)[0]) for row in rows for code in _codes(row)},
            word_pattern=phrase_pattern(names_by_word),
        )
        if missing := {each for row in rows for each in row.get("within", ())} - known.by_name.keys():
            raise Misconfigured(f"schemas/merge/allergens.yaml has no allergen with the name {sorted(missing)}.")
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/allergens.yaml cannot be used: {error!r}.") from error
    return known


def _codes(row: Mapping[str, Any]) -> list[str]:
    """The codes of an allergen; the first stands for all of them."""
    return [*([row["substance"]] if "substance" in row else []), *row.get("same", ())]


@cache_texts(8192, read=MAX_READ_LENGTH)
def allergens_in(words: str) -> frozenset[str]:
    """The names of the allergens that a text names."""
    known = known_allergens()
    # "Heparin-induced" names heparin; other words with a hyphen are names of their own.
    folded = words.casefold().replace("-induced", " induced")
    return frozenset(known.names_by_word[found] for found in known.word_pattern.findall(folded))


def phrase_pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds these phrases as whole words in text that is case folded; `*` at the end: any ending.

    The longest phrase wins, so that `penicillin v` is not read as `penicillin`.
    """
    written = sorted({phrase.casefold() for phrase in phrases}, key=lambda phrase: (-len(phrase), phrase))
    return re.compile("|".join(_bounded(phrase) for phrase in written) or "(?!)")


def _bounded(phrase: str) -> str:
    begin = r"(?<![\w-])" if phrase[0].isalnum() else ""
    if phrase.endswith("*"):
        return f"{begin}{re.escape(phrase[:-1])}\\w*"
    return begin + re.escape(phrase) + (r"(?![\w-])" if phrase[-1].isalnum() else "")
