"""The input, output and data types of a summary: what the caller sees of one person, and the document made from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from onestory.record.freshness.domain import Freshness
from onestory.record.merge.allergy_phrases import AllergyReading
from onestory.record.merge.allergy_reading import read_allergy, types_with_allergies
from onestory.record.merge.lookup import ResourceLookup
from onestory.record.merge.model import Fact, Judgement, MergedRecord, Statement
from onestory.record.merge.qualifiers import tells_of_relative
from onestory.record.merge.reading import MEDICINE_TYPES, WITHDRAWN, is_withdrawn
from onestory.record.summary.identity import IdentityDoubt, identity_doubts
from onestory.record.summary.organisations import OrganisationNames
from onestory.record.summary.places import ALERT, Placement, summary_codes
from onestory.record.summary.plain_facts import is_plain_fact
from onestory.record.summary.topics import TOPIC_TYPES, TopicStatement, topic_statements
from onestory.record.summary.vaccination_copies import copies_of_vaccinations
from onestory.shared.fhir.dates import NEVER, uk_midnight
from onestory.shared.fhir.json import Code, codes_of, concept_text, objects_at, text_at, values_at

ABOUT_ME = "about-me"
PREGNANCY = "pregnancy"
SOCIAL_HISTORY = "social-history"
VITAL_SIGN = "vital-signs"
FAMILY = "family"
"""It tells of a relative, and stands in the family history."""
ALLERGY = "allergy"
"""It tells of an allergy, and stands among the allergies."""
RESULT = "result"
"""Any Observation or report that is none of the other kinds."""
NO_RESULT = ""
"""Ordered or cancelled: there is no result to show."""

Made = TypeVar("Made")
_NO_RESULT_STATUSES = ("cancelled", "registered")


# Decimals are decoded as text, as they were written: a float would turn 1.00 into 1.0.
_exact = msgspec.json.Decoder(float_hook=str)
_decoded = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class SummaryInput:
    """All that a summary is made from: the part of one person's record that the caller sees.

    `patient` is the shared Patient and `contents` are the visible entries by shared id, both as served. `base_url` is
    the FHIR base URL of ids (`https://care.example/fhir`). `organisation_names` maps ODS codes to names, as far as they
    are known. `directory` has type and bytes of the directory resources that the record refers to, by id.

    `withheld`: a policy hides something and allows the summary to say so. `freshness_valid_until` is when
    `freshness` changes without a new event, because a source becomes stale; None: never. `for_person`: it is the copy
    for the person, see `person_copy`.
    """

    patient: bytes
    merged: MergedRecord
    contents: Mapping[str, bytes]
    base_url: str
    freshness: Sequence[Freshness] = ()
    organisation_names: Mapping[str, str] = field(default_factory=dict)
    directory: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    withheld: bool = False
    freshness_valid_until: datetime | None = None
    for_person: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """An IPS document Bundle as JSON bytes.

    Two summaries with the same content have the same `digest`: it covers no clock of OneStory and no base URL. `parts`
    holds the digest of each section by its code, of the `patient`, and of the resources that sections only `refer` to.
    After `valid_until` the same input gives another document; None: never.
    """

    document: bytes
    digest: str
    parts: Mapping[str, str]
    valid_until: datetime | None


def observation_kind(content: Mapping[str, Any]) -> str:
    """The kind of an Observation or DiagnosticReport, which decides its section: one of the constants above."""
    if content.get("status") in _NO_RESULT_STATUSES:
        return NO_RESULT
    statement_codes = codes_of(content, "code")
    codes = summary_codes()
    if statement_codes & codes.about_me:
        return ABOUT_ME
    told = read_allergy("Observation", content) if content.get("resourceType") == "Observation" else None
    if told and not told.is_aside:
        return ALLERGY
    if tells_of_relative(content):
        return FAMILY
    if statement_codes & codes.pregnancy:
        return PREGNANCY
    categories = {code for _, code in codes_of(content, "category")}
    if SOCIAL_HISTORY in categories or statement_codes & codes.social_history:
        return SOCIAL_HISTORY
    if VITAL_SIGN in categories:
        return VITAL_SIGN
    return SOCIAL_HISTORY if is_plain_fact(content) else RESULT


class SummaryRecord:
    """The merged record as sections read it, at one moment: facts by type, with their statements and judgements.

    A fact is left out if every source of it has withdrawn it.
    """

    def __init__(self, summary_input: SummaryInput, at: datetime) -> None:
        self.at = at
        self.input = summary_input
        self.patient: Mapping[str, Any] = _decoded.decode(summary_input.patient)
        self._former = {(line.organisation, line.system): line.former_until for line in summary_input.freshness}
        self._by_type: defaultdict[str, list[Fact]] = defaultdict(list)
        self._valid: dict[str, Sequence[Statement]] = {}
        self._statements: dict[str, Statement] = {}
        self._judged: defaultdict[str, list[Judgement]] = defaultdict(list)
        self._exact: dict[str, Mapping[str, Any]] = {}
        self._made: dict[object, Any] = {}
        for judgement in summary_input.merged.judgements:
            for shared_id in judgement.statement_ids:
                self._judged[shared_id].append(judgement)
        for fact in sorted(summary_input.merged.facts, key=lambda fact: fact.id):
            self._statements.update({statement.shared_id: statement for statement in fact.members})
            self._valid[fact.id] = [
                statement
                for statement in fact.members
                if statement.shared_id not in fact.withdrawn and not _withdrawn(statement.content)
            ]
            if self._valid[fact.id]:
                self._by_type[fact.resource_type].append(fact)

    @cached_property
    def observations_by_kind(self) -> Mapping[str, Sequence[Fact]]:
        """Observations and DiagnosticReports by their kind."""
        found: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts("DiagnosticReport", "Observation"):
            found[observation_kind(self.shown(fact).content)].append(fact)
        return found

    @cached_property
    def allergies(self) -> Mapping[str, AllergyReading]:
        """What each fact of any type tells of an allergy, by its id. Facts that tell of none are left out."""
        found = {}
        by_name = {fact.id for fact in self.observations_by_kind.get(ALLERGY, ())}
        no_result = {fact.id for fact in self.observations_by_kind.get(NO_RESULT, ())}
        for fact in self.every_fact("AllergyIntolerance", *types_with_allergies()):
            content = self.shown(fact).content
            # Most observations are measurements, which were read already.
            is_other = fact.resource_type == "Observation" and fact.id not in by_name
            if is_other and (fact.id in no_result or not ("note" in content or "valueString" in content)):
                continue
            if told := next(iter(self.allergy_readings(fact)), None):
                found[fact.id] = told
        return found

    @cached_property
    def allergy_facts(self) -> Sequence[Fact]:
        """The facts that tell of an allergy: AllergyIntolerances, then other types."""
        kinds = ("AllergyIntolerance", *types_with_allergies())
        return [fact for fact in self.every_fact(*kinds) if fact.id in self.allergies]

    def allergy_readings(self, fact: Fact) -> list[AllergyReading]:
        """What the statements of a fact tell of an allergy; the one that is shown comes first."""
        readings = (read_allergy(each.resource_type, each.content) for each in self.valid_statements(fact))
        return [each for each in readings if each]

    @cached_property
    def topics(self) -> Mapping[str, Sequence[TopicStatement]]:
        """The statements of each topic of which one state holds at a time, newest first."""
        facts = [*self.facts(*TOPIC_TYPES), *self.placed(ALERT)]
        return topic_statements(((fact, self.shown(fact)) for fact in facts), self.at)

    @cached_property
    def vaccination_copies(self) -> Mapping[str, Sequence[Fact]]:
        """The Procedures and Observations that are copies of an Immunization, by the id of its fact."""
        immunisations = ((fact, self.shown(fact)) for fact in self.facts("Immunization"))
        others = ((fact, self.shown(fact)) for fact in self.facts("Procedure", "Observation"))
        return copies_of_vaccinations(immunisations, others)

    @cached_property
    def _placement(self) -> Placement:
        return Placement(self._by_type, self._valid, summary_codes().plans)

    @cached_property
    def named_medicine_codes(self) -> Mapping[Code, Statement]:
        """For each code of a medicine, a statement that has words for it."""
        found: dict[Code, Statement] = {}
        for fact in self.every_fact(*MEDICINE_TYPES):
            for statement in self.valid_statements(fact):
                concept = statement.content.get("medicationCodeableConcept")
                if not concept_text(concept).isdigit():
                    for code in codes_of(statement.content, "medicationCodeableConcept"):
                        found.setdefault(code, statement)
        return found

    def facts(self, *resource_types: str) -> Iterator[Fact]:
        """Yields the facts of these types that stand in the section of their type, in the order of their ids.

        Withdrawn facts are left out, and those that stand among the plans, alerts or objections: see `placed`.
        """
        for resource_type in resource_types:
            yield from self._placement.in_section_of_type.get(resource_type, ())

    def placed(self, place: str) -> Sequence[Fact]:
        """The facts of all types that stand in a place of `places`, by type and id."""
        return self._placement.by_place.get(place, ())

    def every_fact(self, *resource_types: str) -> Iterator[Fact]:
        """Yields the facts of these types that are not withdrawn, also those that stand in a place."""
        for resource_type in resource_types:
            yield from self._by_type.get(resource_type, ())

    def place(self, fact: Fact) -> str:
        """The place of `places` in which a fact stands; "" if it stands in the section of its type."""
        return self._placement.places.get(fact.id, "")

    def all_facts(self) -> Iterator[Fact]:
        """Yields all facts that are not withdrawn, by type and id."""
        for resource_type in sorted(self._by_type):
            yield from self._by_type[resource_type]

    def valid_statements(self, fact: Fact) -> Sequence[Statement]:
        """The statements of a fact that their sources have not withdrawn; the one that is shown comes first."""
        return self._valid[fact.id]

    def shown(self, fact: Fact) -> Statement:
        """The statement that is shown for the fact."""
        return self._valid[fact.id][0]

    def statement(self, shared_id: str) -> Statement | None:
        """A statement by its shared id; None if the caller does not see it."""
        return self._statements.get(shared_id)

    def former_until(self, statement: Statement) -> date | None:
        """The last day on which its source was the person's practice; None if it still is, or never was."""
        until = self._former.get(statement.source)
        return until if until and end_of_day(until) <= self.at else None

    def exact_content(self, statement: Statement) -> Mapping[str, Any]:
        """The content of a statement with decimals as text, as the source wrote them."""
        known = self._exact.get(statement.shared_id)
        if known is not None:
            return known
        raw = self.input.contents.get(statement.shared_id)
        try:
            decoded = _exact.decode(raw) if raw else None
        except msgspec.DecodeError:
            decoded = None
        self._exact[statement.shared_id] = found = decoded if isinstance(decoded, dict) else statement.content
        return found

    @cached_property
    def identity_doubts(self) -> Sequence[IdentityDoubt]:
        """The sources that know the NHS number as somebody else."""
        return identity_doubts(self.patient, self.input.contents)

    @cached_property
    def _doubted(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Organisations whose Patient may be another person's, the ids of those Patients, and of all Patients."""
        another = [each for each in self.identity_doubts if each.is_another]
        linked = [text_at(link, "other", "reference") for link in objects_at(self.patient, "link")]
        return (
            frozenset(each.organisation for each in another),
            frozenset(f"Patient/{each.statement}" for each in another),
            frozenset(linked),
        )

    def once(self, make: Callable[[SummaryRecord], Made]) -> Made:
        """The result of a function of this record, which several sections read. It is called once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made

    def may_be_anothers(self, statement: Statement) -> bool:
        """Whether the statement comes from a source that knows the NHS number as somebody else.

        A statement about another Patient of that source, which does not differ, is no such statement.
        """
        organisations, patients, linked = self._doubted
        if statement.organisation not in organisations:
            return False
        subject = text_at(statement.content, "subject", "reference") or text_at(
            statement.content, "patient", "reference"
        )
        return subject in patients or subject not in linked

    def organisation_of(self, statement: Statement) -> str:
        """The name of the statement's organisation."""
        return self.organisation_name(statement.organisation)

    def judgements(self, fact: Fact) -> Sequence[Judgement]:
        """The active judgements on statements of the fact, oldest first."""
        found = (judgement for statement in fact.members for judgement in self._judged.get(statement.shared_id, ()))
        by_id = {each.statement.shared_id: each for each in found if each.statement.content.get("active") is not False}
        return sorted(by_id.values(), key=lambda each: (each.statement.recorded_at, each.statement.shared_id))

    def organisation_name(self, organisation: str) -> str:
        """An organisation's name, or its ODS code if no name is known."""
        return self._organisation_names.of(organisation)

    @cached_property
    def _organisation_names(self) -> OrganisationNames:
        return OrganisationNames(
            self.input.organisation_names, self._directory.values(), self.patient, self._statements.values()
        )

    @cached_property
    def _directory(self) -> Mapping[str, Mapping[str, Any]]:
        return {shared_id: _decoded.decode(content) for shared_id, (_, content) in self.input.directory.items()}

    @cached_property
    def lookup(self) -> ResourceLookup:
        """Finds the resources that the visible statements refer to."""
        return ResourceLookup(self._statements.values(), self._directory)

    def resolve(self, statement: Statement, reference: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The resource that a reference of a statement points to; None if the caller sees none."""
        return self.lookup.find(statement.content, reference)

    def resource(self, shared_id: str) -> tuple[str, bytes] | None:
        """Type and bytes of a visible statement or of a directory resource; None if the caller sees none."""
        statement, content = self._statements.get(shared_id), self.input.contents.get(shared_id)
        if statement is not None and content is not None:
            return statement.resource_type, content
        return self.input.directory.get(shared_id)


def end_of_day(until: date) -> datetime:
    """The moment at which a day ends in the UK."""
    return uk_midnight(until + timedelta(days=1)) if until < date.max else NEVER


def _withdrawn(content: Mapping[str, Any]) -> bool:
    if is_withdrawn(content):
        return True
    return "verificationStatus" in content and WITHDRAWN in values_at(content, "verificationStatus", "coding", "code")
