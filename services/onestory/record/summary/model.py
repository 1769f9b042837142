"""What a summary is made of: all that a reader may know of one person, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache, cached_property
from typing import Any

import msgspec
import yaml

from onestory.record.freshness.domain import Freshness
from onestory.record.merge.model import Fact, Judgement, Merged, Statement
from onestory.record.merge.reading import WITHDRAWING
from onestory.record.summary.moments import NEVER, midnight
from onestory.shared.fhir.json import Code, codes, each, first, objects
from onestory.shared.kafka.schemas import folder


@dataclass(frozen=True, slots=True)
class SummaryInput:
    """`patient` is the shared Patient and `contents` the visible entries by shared id, as the bytes that are served.

    `base` is the address that ids stand under (`https://care.example/fhir`). `organisations` are the names of ODS
    codes, as far as they are known. `withheld`: policy hides something and allows saying so. `known_until` is when
    `freshness` changes though nobody says anything, as a source becomes stale; None: never.
    """

    patient: bytes
    merged: Merged
    contents: Mapping[str, bytes]
    base: str
    freshness: Sequence[Freshness] = ()
    organisations: Mapping[str, str] = field(default_factory=dict)
    withheld: bool = False
    known_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """An IPS document Bundle as JSON bytes.

    `digest` is the same where two summaries say the same: it covers no clock of ours, and no `base`. `parts` has the
    same for each section, by its code, for the `patient`, and for what sections only `refer` to. From `valid_until` on
    the same knowledge gives another document; None: never.
    """

    document: bytes
    digest: str
    parts: Mapping[str, str]
    valid_until: datetime | None


# The clinical content of the summary as data: `schemas/summary/codes.yaml`, and the plans and denials of
# `schemas/merge/`.

_SNOMED = "http://snomed.info/sct"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """`alerts` has the kinds of Flags in the order in which they are shown; `lists` the codes of a source's List."""

    about_me: frozenset[Code]
    plans: frozenset[Code]
    alerts: tuple[frozenset[Code], ...]
    lists: Mapping[str, frozenset[Code]]
    long_results: frozenset[Code]
    long_result_words: tuple[str, ...]
    pregnancy: frozenset[Code]
    social_history: frozenset[Code]
    languages: frozenset[str]
    none_known: frozenset[Code]


@cache
def reviewed() -> Reviewed:
    """The content, read once."""
    table = yaml.safe_load((folder() / "summary" / "codes.yaml").read_text())
    denials = yaml.safe_load((folder() / "merge" / "none-known.yaml").read_text())
    emergency = yaml.safe_load((folder() / "merge" / "plans.yaml").read_text())
    return Reviewed(
        about_me=_codes(table["about-me"]),
        plans=_codes(table["plans"]) | {(each["system"], each["code"]) for each in emergency["codes"]},
        alerts=tuple(_codes(codes) for codes in table["alerts"].values()),
        lists={name: _codes(codes) for name, codes in table["lists"].items()},
        long_results=_codes(table["long-results"]),
        long_result_words=tuple(table["long-result-words"]),
        pregnancy=_codes(table["pregnancy"]),
        social_history=_codes(table["social-history"]),
        languages=frozenset(table["languages"]),
        none_known=frozenset((each["system"], each["code"]) for said in denials.values() for each in said),
    )


def _codes(written: Iterable[object]) -> frozenset[Code]:
    return frozenset(_code(str(each)) for each in written)


def _code(written: str) -> Code:
    system, bar, code = written.rpartition("|")
    return (system if bar else _SNOMED, code)


# Which section an Observation or a report belongs to.

ABOUT_ME = "about-me"
PREGNANCY = "pregnancy"
SOCIAL_HISTORY = "social-history"
VITAL_SIGN = "vital-signs"
RESULT = "result"
"""Of all kinds: whatever is none of the others."""
NOTHING = ""
"""Ordered or cancelled: there is no result."""

_NO_RESULT = ("cancelled", "registered")


def kind_of(content: Mapping[str, Any]) -> str:
    """One of the kinds."""
    if content.get("status") in _NO_RESULT:
        return NOTHING
    said = codes(content, "code")
    known = reviewed()
    if said & known.about_me:
        return ABOUT_ME
    if said & known.pregnancy:
        return PREGNANCY
    categories = {code for _, code in codes(content, "category")}
    if SOCIAL_HISTORY in categories or said & known.social_history:
        return SOCIAL_HISTORY
    return VITAL_SIGN if VITAL_SIGN in categories else RESULT


# The merged record as a summary goes through it: facts by type, who stands behind each, what is withdrawn.

# Decimals stay as they were written: a float would turn 1.00 into 1.0.
_exact = msgspec.json.Decoder(float_hook=str)
_decoded = msgspec.json.Decoder(dict[str, Any])
_WITHDRAWN = "entered-in-error"


class MergedRecord:
    """What is known, at one moment. Facts whose every source withdrew them are not part of it."""

    def __init__(self, known: SummaryInput, at: datetime) -> None:
        self.at = at
        self.known = known
        self.patient: Mapping[str, Any] = _decoded.decode(known.patient)
        self._former = {(line.organisation, line.system): line.former_until for line in known.freshness}
        self._by_type: defaultdict[str, list[Fact]] = defaultdict(list)
        self._standing: dict[str, Sequence[Statement]] = {}
        self._said: dict[str, Statement] = {}
        self._judged: defaultdict[str, list[Judgement]] = defaultdict(list)
        for judgement in known.merged.judgements:
            for shared_id in judgement.about:
                self._judged[shared_id].append(judgement)
        for fact in sorted(known.merged.facts, key=lambda fact: fact.id):
            self._said.update({said.shared_id: said for said in fact.members})
            self._standing[fact.id] = [
                said for said in fact.members if said.shared_id not in fact.withdrawn and not _withdrawn(said.content)
            ]
            if self._standing[fact.id]:
                self._by_type[fact.resource_type].append(fact)

    @cached_property
    def observed(self) -> Mapping[str, Sequence[Fact]]:
        """Observations and reports by their kind."""
        found: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts("DiagnosticReport", "Observation"):
            found[kind_of(self.shown(fact).content)].append(fact)
        return found

    def facts(self, *resource_types: str) -> Iterator[Fact]:
        """The facts of these types that somebody stands by, in the order of their ids."""
        for resource_type in resource_types:
            yield from self._by_type.get(resource_type, ())

    def everything(self) -> Iterator[Fact]:
        """All facts that somebody stands by."""
        return self.facts(*sorted(self._by_type))

    def standing(self, fact: Fact) -> Sequence[Statement]:
        """The statements that their sources have not withdrawn; the one that is shown first."""
        return self._standing[fact.id]

    def shown(self, fact: Fact) -> Statement:
        """The statement that stands for the fact."""
        return self._standing[fact.id][0]

    def said(self, shared_id: str) -> Statement | None:
        """A statement by its shared id."""
        return self._said.get(shared_id)

    def former_until(self, said: Statement) -> date | None:
        """Until when its source was the person's practice, where it no longer is."""
        until = self._former.get(said.source)
        return until if until and ended(until) <= self.at else None

    def exact(self, said: Statement) -> Mapping[str, Any]:
        """Its content with decimals as text, as the source wrote them."""
        raw = self.known.contents.get(said.shared_id)
        try:
            decoded = _exact.decode(raw) if raw else None
        except msgspec.DecodeError:
            decoded = None
        return decoded if isinstance(decoded, dict) else said.content

    def organisation(self, said: Statement) -> str:
        """Who says it: the organisation's name with its ODS code."""
        return self.named(said.organisation)

    def judgements(self, fact: Fact) -> Sequence[Judgement]:
        """What clinicians said of its statements and did not take back, oldest first."""
        found = (judgement for said in fact.members for judgement in self._judged.get(said.shared_id, ()))
        by_id = {each.said.shared_id: each for each in found if each.said.content.get("active") is not False}
        return sorted(by_id.values(), key=lambda each: (each.said.recorded_at, each.said.shared_id))

    def named(self, organisation: str) -> str:
        """An organisation's name with its ODS code, or the code alone."""
        name = self.known.organisations.get(organisation)
        return f"{name} ({organisation})" if name else organisation

    def resolved(self, said: Statement, reference: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a reference of a statement leads to: something contained in it, or another visible statement."""
        target = first(reference, "reference")
        if target.startswith("#"):
            return next((one for one in objects(said.content, "contained") if one.get("id") == target[1:]), None)
        found = self._said.get(target.rpartition("/")[2])
        return found.content if found else None


def ended(until: date) -> datetime:
    """The moment at which a day is over."""
    return midnight(until) + timedelta(days=1) if until < date.max else NEVER


def _withdrawn(content: Mapping[str, Any]) -> bool:
    if any(content.get(name) == _WITHDRAWN for name in WITHDRAWING):
        return True
    return "verificationStatus" in content and _WITHDRAWN in each(content, "verificationStatus", "coding", "code")
