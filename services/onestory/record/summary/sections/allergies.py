"""Allergies and intolerances of any resource type, the most dangerous first, and what sources say there is none of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.merge.allergens import allergens_in, known_allergens
from onestory.record.merge.allergy_phrases import (
    ACTIVE,
    DENIED,
    FAMILY,
    REFUTED,
    RESOLVED,
    UNKNOWN,
    WARNING,
    is_empty_word,
    tell,
)
from onestory.record.merge.model import Fact
from onestory.record.summary import allergy_words
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.allergy_asides import aside_paragraphs, folded_asides
from onestory.record.summary.allergy_hints import RelatedAllergies, medicine_hints, medicines_taken
from onestory.record.summary.allergy_words import (
    allergy_name,
    conflict_paragraphs,
    danger_of,
    is_not_confirmed,
    kind_words,
)
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, date_text
from onestory.record.summary.conflict_words import MAX_STATEMENTS_PER_SIDE
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.places import summary_codes
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sources import named_only_in_list, recorded_and_sent
from onestory.record.summary.wording import notes
from onestory.shared.fhir.json import codes_of, concept_texts, extensions, text_at

_ALLERGIES = SectionDefinition(
    "48765-2",
    "Allergies and intolerances",
    "No allergies received. Ask the person and check the GP record.",
    types=frozenset(["AllergyIntolerance"]),
)
_ACTIVE, _NONE_KNOWN, _GONE, _RULED_OUT = "Active", "None known, as stated", "Inactive or resolved", "Ruled out"
_FAMILY = "Family history: not the person's own"
_NOT_KNOWN = "The source does not know"
_WARNINGS = "Not allergies: medicines to avoid, and warnings for prescribing and anaesthesia"
_GROUPS = (_ACTIVE, _WARNINGS, _NONE_KNOWN, _GONE, _RULED_OUT, _FAMILY, _NOT_KNOWN)
_CRITICALITIES = {"high": "High risk", "unable-to-assess": "Risk not known", "low": "Low risk"}


class _Hints(NamedTuple):
    """What a line names besides its own statements: current medicines by name, other allergies, and its conflicts."""

    medicines: Mapping[str, Fact]
    related: RelatedAllergies
    conflicts: Sequence[str] = ()


def allergies(record: SummaryRecord) -> Section | None:
    """The section. Its emptyReason is `nilknown` only if a source states so and none names an allergy."""
    facts: dict[str, list[Fact]] = {caption: [] for caption in _GROUPS}
    folded = {each.id for facts_folded in folded_asides(record).values() for each in facts_folded}
    for fact in record.allergy_facts:
        if fact.id not in folded:
            facts[_group_of(record, fact)].append(fact)
    medicines = medicines_taken(record) if facts[_ACTIVE] or facts[_WARNINGS] else {}
    hints = _Hints(medicines, RelatedAllergies(record))
    no_medicines = hints._replace(medicines={})
    lists = [fact for fact in record.facts("List") if _is_allergy_list(record, fact)]
    nil_lists = [fact for fact in lists if _states_nil(record, fact)]
    lines = {
        _ACTIVE: [_line(record, fact, hints) for fact in _most_dangerous_first(record, facts[_ACTIVE])],
        _WARNINGS: [_line(record, fact, hints) for fact in _most_dangerous_first(record, facts[_WARNINGS])],
        _NONE_KNOWN: [_denial(record, fact, facts[_ACTIVE]) for fact in [*facts[_NONE_KNOWN], *nil_lists]],
        _GONE: [_line(record, fact, no_medicines) for fact in _most_dangerous_first(record, facts[_GONE])],
        _RULED_OUT: [_line(record, fact, no_medicines) for fact in _most_dangerous_first(record, facts[_RULED_OUT])],
        _FAMILY: [_line(record, fact, no_medicines) for fact in _most_dangerous_first(record, facts[_FAMILY])],
        _NOT_KNOWN: [_line(record, fact, no_medicines) for fact in facts[_NOT_KNOWN]],
    }
    lines[_NOT_KNOWN] += [line for fact in lists if (line := _list_that_does_not_know(record, fact))]
    lines[_ACTIVE] += [line for fact in lists if (line := _unresolved_entries(record, fact))]
    return build_section(
        record,
        _ALLERGIES,
        [Group(caption, found) for caption, found in lines.items()],
        remarks=[text(_ALLERGIES.text_if_empty or "")] if _only_warnings(lines) else [],
        empty="nilknown" if lines[_NONE_KNOWN] and not lines[_ACTIVE] else "unavailable",
    )


def _only_warnings(lines: Mapping[str, Sequence[Line]]) -> bool:
    """Whether warnings are all that is shown, so that a reader could think that allergies had been asked for."""
    return {caption for caption, found in lines.items() if found} == {_WARNINGS}


def _group_of(record: SummaryRecord, fact: Fact) -> str:
    """The group by the most current statement: an allergy is not dismissed because one source does so."""
    told = [each for each in record.allergy_readings(fact) if each]
    if any(each.asserts for each in told):
        return _ACTIVE
    standings = {each.standing for each in told}
    if standings == {FAMILY}:
        return _FAMILY
    if standings == {UNKNOWN}:
        return _NOT_KNOWN
    if WARNING in standings:
        return _WARNINGS
    if RESOLVED in standings:
        return _GONE
    is_general = any(each.standing == DENIED and not each.allergens for each in told)
    return _RULED_OUT if REFUTED in standings or not is_general else _NONE_KNOWN


def _most_dangerous_first(record: SummaryRecord, facts: Sequence[Fact]) -> list[Fact]:
    """The facts by danger; those of one class of allergens stand together."""
    families: defaultdict[str, list[Fact]] = defaultdict(list)
    dangers = {fact.id: (-danger_of(record, fact), is_not_confirmed(record, fact)) for fact in facts}
    names = {fact.id: allergy_name(record, fact).casefold() for fact in facts}
    for fact in facts:
        families[_family(record, fact) or names[fact.id]].append(fact)
    family_dangers = {family: min(dangers[fact.id] for fact in found) for family, found in families.items()}
    return [
        fact
        for family in sorted(families, key=lambda each: (family_dangers[each], each.casefold()))
        for fact in sorted(families[family], key=lambda each: (dangers[each.id], names[each.id], each.id))
    ]


def _family(record: SummaryRecord, fact: Fact) -> str:
    """The name of the widest class of its allergens; "" if it names none."""
    known = known_allergens()
    named = record.allergies[fact.id].allergens
    return min((each for each in named | known.classes_of(named) if not known.by_name[each].classes), default="")


def _line(record: SummaryRecord, fact: Fact, hints: _Hints) -> Line:
    shown = record.shown(fact).content
    contents = [statement.content for statement in record.valid_statements(fact)]
    name, conflicts = allergy_name(record, fact), conflict_paragraphs(record, fact)
    substances = [each for content in contents for each in concept_texts(content, "reaction", "substance")]
    return Line(
        fact,
        [strong(text(name)), *[text(f"Substance: {each}") for each in dict.fromkeys(substances) if each != name]],
        list(dict.fromkeys(_details(record, fact, shown, contents, hints._replace(conflicts=conflicts)))),
        conflicts=conflicts,
    )


def _details(
    record: SummaryRecord,
    fact: Fact,
    shown: Mapping[str, Any],
    contents: list[Mapping[str, Any]],
    hints: _Hints,
) -> Iterator[str]:
    told = record.allergies[fact.id]
    name = allergy_name(record, fact)
    yield from medicine_hints(record, told.allergens, hints.medicines)
    stated = [content.get("criticality") for content in contents]
    if worst := next((words for level, words in _CRITICALITIES.items() if level in stated), None):
        yield strong(worst) if worst == _CRITICALITIES["high"] else worst
    yield from allergy_words.reactions(contents)
    if is_not_confirmed(record, fact):
        yield "Not confirmed"
    yield text(allergy_words.type_words(record, fact, name))
    if kind := kind_words(fact):
        when = clinical_date_text(record.shown(fact))
        yield text(f"{kind[:1].upper()}{kind[1:]}, {when}" if when else f"{kind[:1].upper()}{kind[1:]}")
    if fact.resource_type == "CarePlan" and text_at(shown, "status") in ("completed", "revoked"):
        yield "The plan is no longer in force"
    yield from hints.related.hints(fact)
    yield from aside_paragraphs(record, folded_asides(record).get(fact.id, ()))
    if onset := date_text(shown, "onset"):
        yield text(f"Since {onset}" if not told.is_reaction else f"Reaction on {onset}")
    if ended := date_text(shown, "abatement"):
        yield text(f"Ended {ended}") if not told.is_reaction else ""
    for abated in extensions(shown, "/allergyintolerance-abatement"):
        yield text(f"Ended {date_text(abated, 'value')}")
    if last := text_at(shown, "lastOccurrence"):
        yield text(f"Last reaction {summary_dates.shown(last)}")
    quoted = " ".join(hints.conflicts)
    for note in dict.fromkeys(note for content in contents for note in notes(content)):
        is_told = note.endswith(name) or (told.is_aside and (name in note or note in name))
        if not is_told and f"“{text(note)}”" not in quoted:
            yield text(note)


def _denial(record: SummaryRecord, fact: Fact, active: Sequence[Fact]) -> Line:
    """The line of a source that states that there is none: of all kinds, or of some."""
    statement = record.shown(fact)
    told = record.allergies.get(fact.id)
    denied = told.categories if told else frozenset[str]()
    against = [each for each in active if not denied or _overlap(denied, record.allergies[each.id].categories)]
    named = next(filter(_denies, named_only_in_list(record, fact, "allergies")), "") if told is None else ""
    what = told.words if told else named or "None known (an empty list of allergies)"
    details = [text(note) for note in notes(statement.content)]
    if against:
        newest = max((record.shown(each) for each in against), key=lambda each: clinical_date(each).begin)
        if clinical_date(statement).begin < clinical_date(newest).begin:
            details.insert(0, text(f"Older than the allergy above ({recorded_and_sent(newest)})"))
        else:
            said = [_named(record, each) for each in against[:MAX_STATEMENTS_PER_SIDE]]
            more = len(against) - len(said)
            said += [f"and {more} more"] if more else []
            details.insert(0, f"{strong('Sources disagree:')} {'; '.join(said)}")
    day = text_at(statement.content, "date") if fact.resource_type == "List" else ""
    details += [text(f"List of {summary_dates.shown(day)}")] if day else []
    return Line(fact, [strong(text(what))], details, conflicts=())


def _named(record: SummaryRecord, fact: Fact) -> str:
    statement = record.shown(fact)
    who = f"{record.organisation_of(statement)}, {recorded_and_sent(statement)}"
    return text(f"{allergy_name(record, fact)} is recorded above ({who})")


def _overlap(denied: frozenset[str], named: frozenset[str]) -> bool:
    return not named or not denied.isdisjoint(named)


def _is_allergy_list(record: SummaryRecord, fact: Fact) -> bool:
    content = record.shown(fact).content
    is_current = text_at(content, "status") in ("", "current")
    return is_current and bool(codes_of(content, "code") & summary_codes().lists["allergies"])


def _states_nil(record: SummaryRecord, fact: Fact) -> bool:
    """Whether a list of allergies says that there are none: why it is empty, or in the words of an entry."""
    if any(code == "nilknown" for _, code in codes_of(record.shown(fact).content, "emptyReason")):
        return True
    return any(map(_denies, named_only_in_list(record, fact, "allergies")))


def _denies(words: str) -> bool:
    told = tell(words)
    return is_empty_word(words) or (told is not None and told.standing == DENIED and not allergens_in(words))


_REASONS = {
    "notasked": "Allergies: not asked",
    "withheld": "Allergies: withheld by the source",
    "unavailable": "Allergies: not available at the source",
    "notstarted": "Allergies: list not started",
    "closed": "Allergies: list closed",
}
"""Reasons of an empty list, https://hl7.org/fhir/R4/valueset-list-empty-reason.html."""


def _list_that_does_not_know(record: SummaryRecord, fact: Fact) -> Line | None:
    """The line of an empty list of allergies that does not say that there are none."""
    content = record.shown(fact).content
    reason = next((_REASONS[code] for _, code in codes_of(content, "emptyReason") if code in _REASONS), "")
    if not reason or _unresolved_entries(record, fact):
        return None
    return Line(fact, [strong(text(reason))], [], conflicts=())


def _unresolved_entries(record: SummaryRecord, fact: Fact) -> Line | None:
    """The line for allergies that a list names in words only, without a resource that the record has."""
    listed = named_only_in_list(record, fact, "allergies")
    noted = [note for note in notes(record.shown(fact).content) if (each := tell(note)) and each.standing == ACTIVE]
    names = [*(each for each in listed if not _denies(each)), *noted]
    if not names:
        return None
    return Line(fact, [strong(text("; ".join(names)))], ["Named in a list of allergies"], conflicts=())
