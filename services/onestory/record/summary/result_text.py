"""Writes a result: its value, what it means, and notes. Words and codes are `schemas/summary/results.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.summary.confidentiality import access_held, names_access
from onestory.record.summary.values import range_text, value_text
from onestory.record.summary.wording import notes
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, number_text, objects_at, text_at

_SNOMED = "http://snomed.info/sct"
_UNITS = {"mm[Hg]": "mmHg"}


class ResultWords(NamedTuple):
    """The codes of the parts of a blood pressure, words for interpretations, what counts as a slip, usual specimens."""

    systolic: frozenset[Code]
    diastolic: frozenset[Code]
    interpretations: Mapping[str, str]
    slip_factor: float
    slip_hours: float
    usual_specimens: tuple[str, ...]


@clinical_table
def result_words() -> ResultWords:
    """The words, read once from the file."""
    table = read_clinical_data("summary/results")
    return ResultWords(
        _codes(table["systolic"]),
        _codes(table["diastolic"]),
        table["interpretations"],
        table["slip"]["factor"],
        table["slip"]["hours"],
        tuple(table["usual-specimens"]),
    )


def _codes(written: Iterable[object]) -> frozenset[Code]:
    split = (str(each).rpartition("|") for each in written)
    return frozenset((system or _SNOMED, code) for system, _, code in split)


def result_value(content: Mapping[str, Any]) -> str:
    """The value with its components; a blood pressure as `134/72 mmHg`. "" if there is none.

    The value of a key safe or a door is replaced: it opens the person's home.
    """
    if any(map(names_access, concept_texts(content, "code"))):
        return access_held() if any(name.startswith("value") for name in content) else ""
    components = objects_at(content, "component")
    if len(components) < 2:
        return value_text(content)
    words = result_words()
    upper = next((part for part in components if codes_of(part, "code") & words.systolic), None)
    lower = next((part for part in components if codes_of(part, "code") & words.diastolic), None)
    pressure = _pressure(upper, lower) if upper and lower else ""
    if not pressure:
        return value_text(content)
    others = [part for part in components if part is not upper and part is not lower]
    rest = value_text({**{name: each for name, each in content.items() if name != "component"}, "component": others})
    return "; ".join(part for part in (pressure, rest) if part)


def _pressure(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> str:
    """Both parts in one text; "" if a part is no plain number."""
    values = [part.get("valueQuantity") for part in (upper, lower)]
    if not all(isinstance(each, Mapping) and "comparator" not in each for each in values):
        return ""
    high, low = (number_text(each.get("value")) for each in values if isinstance(each, Mapping))
    unit, other_unit = (text_at(each, "unit") or text_at(each, "code") for each in values)
    if not (high and low) or unit != other_unit:
        return ""
    if float(high) <= float(low):
        return f"as sent: systolic {high}, diastolic {low} {unit}: check"
    return f"{high}/{low} {_UNITS.get(unit, unit)}"


def interpretations(content: Mapping[str, Any]) -> str:
    """What the source says of the value, in words: `High`. "" if it says nothing."""
    words = result_words().interpretations
    found = []
    for concept in objects_at(content, "interpretation"):
        coded = (
            words[code] for code in (text_at(each, "code") for each in objects_at(concept, "coding")) if code in words
        )
        written = concept_text(concept)
        found.append(words.get(written, written) if written else next(coded, ""))
    return ", ".join(dict.fromkeys(each for each in found if each))


def reference_ranges(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields the reference ranges in words."""
    for usual in objects_at(content, "referenceRange"):
        if limits := text_at(usual, "text") or range_text(usual):
            yield ": ".join(["Reference range", *concept_texts(usual, "appliesTo"), limits])


def result_remarks(content: Mapping[str, Any]) -> Iterator[str]:
    """Yields conclusions and notes."""
    yield text_at(content, "conclusion")
    yield "The report is an attached document." if "presentedForm" in content else ""
    yield from concept_texts(content, "conclusionCode")
    yield from notes(content)


def has_content(content: Mapping[str, Any]) -> bool:
    """Whether a report says anything besides the results that it lists."""
    return any(name in content for name in ("conclusion", "conclusionCode", "presentedForm", "note"))
