"""What a run wrote: enough for a demo or a test to pick an interesting person."""

from __future__ import annotations

from onestory.sample.bundles import Case, Submission
from onestory.sample.elements import Json
from onestory.sample.network import SOURCES
from onestory.sample.people import Person
from onestory.sample.troubles import TROUBLES


class Manifest:
    """Collects while the run writes; `as_json` is the content of manifest.json."""

    def __init__(self, people: int, seed: int) -> None:
        self._counts = {"people": people, "bundles": 0, "entries": 0}
        self._seed = seed
        self._people: list[Json] = []
        self._cases: dict[str, list[Json]] = {trouble: [] for trouble in TROUBLES}

    def add_person(self, who: Person, kinds: tuple[str, ...]) -> None:
        entry = {
            "nhs_number": who.nhs_number,
            "name": who.name,
            "practice": who.practice.ods,
            "network": who.practice.network,
            "former_practice": who.former_practice.ods if who.former_practice else "",
            "born": who.born.isoformat(),
            "superseded": who.superseded,
            "known_to": ["demographics", "gp", *kinds],
            "troubles": list(who.troubles),
        }
        self._people.append(entry)

    def add(self, submission: Submission) -> None:
        self._counts["bundles"] += 1
        self._counts["entries"] += submission.entries
        for case in submission.cases:
            self._cases[case.trouble].append(_case(case))

    def as_json(self) -> Json:
        return {
            "seed": self._seed,
            "counts": self._counts,
            "troubles": {name: trouble.meaning for name, trouble in TROUBLES.items()},
            "cases": self._cases,
            "sources": [
                {"ods": each.ods, "system": each.system, "name": each.name, "kind": each.kind, "network": each.network}
                for each in SOURCES
            ],
            "people": self._people,
        }


def _case(case: Case) -> Json:
    return {
        "nhs_number": case.nhs_number,
        "source": case.source.ods,
        "system": case.source.system,
        "resource": case.resource,
        "note": case.note,
    }
