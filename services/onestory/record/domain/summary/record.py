"""The merged record as a summary goes through it: facts by type, who stands behind each, what is withdrawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from onestory.record.domain.merge.fact import Fact, Judgement, Said
from onestory.record.domain.merge.reading import WITHDRAWING
from onestory.record.domain.summary.kinds import kind_of
from onestory.record.domain.summary.known import Known
from onestory.record.domain.summary.moments import NEVER, midnight
from onestory.record.domain.summary.plain import each, first, objects

# Decimals stay as they were written: a float would turn 1.00 into 1.0.
_exact = msgspec.json.Decoder(float_hook=str)
_decoded = msgspec.json.Decoder(dict[str, Any])
_WITHDRAWN = "entered-in-error"


class Record:
    """What is known, at one moment. Facts whose every source withdrew them are not part of it."""

    def __init__(self, known: Known, at: datetime) -> None:
        self.at = at
        self.known = known
        self.patient: Mapping[str, Any] = _decoded.decode(known.patient)
        self._former = {(line.organisation, line.system): line.former_until for line in known.freshness}
        self._by_type: defaultdict[str, list[Fact]] = defaultdict(list)
        self._standing: dict[str, Sequence[Said]] = {}
        self._said: dict[str, Said] = {}
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

    def standing(self, fact: Fact) -> Sequence[Said]:
        """The statements that their sources have not withdrawn; the one that is shown first."""
        return self._standing[fact.id]

    def shown(self, fact: Fact) -> Said:
        """The statement that stands for the fact."""
        return self._standing[fact.id][0]

    def said(self, shared_id: str) -> Said | None:
        """A statement by its shared id."""
        return self._said.get(shared_id)

    def former_until(self, said: Said) -> date | None:
        """Until when its source was the person's practice, where it no longer is."""
        until = self._former.get(said.source)
        return until if until and ended(until) <= self.at else None

    def exact(self, said: Said) -> Mapping[str, Any]:
        """Its content with decimals as text, as the source wrote them."""
        raw = self.known.contents.get(said.shared_id)
        try:
            decoded = _exact.decode(raw) if raw else None
        except msgspec.DecodeError:
            decoded = None
        return decoded if isinstance(decoded, dict) else said.content

    def organisation(self, said: Said) -> str:
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

    def resolved(self, said: Said, reference: Mapping[str, Any]) -> Mapping[str, Any] | None:
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
