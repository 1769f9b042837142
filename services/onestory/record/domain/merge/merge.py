"""One line for one fact, whoever said it (design section 6, "Merged view"). Pure, and the same for any order.

What clinicians judge comes first, then what an identifier says, then what each type's own rule finds alike. A pair that
is offered is joined unless the union would hold two statements of one source (other than by identifier or by a
clinician's word) or a pair that a clinician keeps apart. What says yes is never joined with what says no, plans are
never joined, and what is entered in error joins nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from onestory.record.domain.merge import clinicians, identifiers, none_known, plans, withdrawal
from onestory.record.domain.merge.allergies import Allergies
from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.conditions import Conditions
from onestory.record.domain.merge.fact import Fact, Merged, Said
from onestory.record.domain.merge.facts import facts
from onestory.record.domain.merge.immunisations import Immunisations
from onestory.record.domain.merge.judgement import Decided, decided, judged, kept_apart, verdict
from onestory.record.domain.merge.likeness import in_order
from onestory.record.domain.merge.medicines import Medicines
from onestory.record.domain.merge.observations import Observations
from onestory.record.domain.merge.reading import Reader, Reading
from onestory.record.domain.merge.rules import Rules


def merge(said: Iterable[Said], rules: Rules) -> Merged:
    """The facts that these statements make. What comes twice counts once. Raises nothing, whatever the content."""
    every = _once(said)
    told = [each for each in every if verdict(each) is None]
    places = {each.shared_id: place for place, each in enumerate(told)}
    judgements = judged((each for each in every if each.shared_id not in places), places)
    reader = Reader(rules, told)
    readings = [reader.read(place, each) for place, each in enumerate(told)]
    return Merged(_facts(readings, decided(judgements, places), rules), judgements)


def _once(said: Iterable[Said]) -> list[Said]:
    """Each statement once, in the order of the ids."""
    latest: dict[str, Said] = {}
    for each in said:
        known = latest.get(each.shared_id)
        if known is None or (each.recorded_at, each.event_id) > (known.recorded_at, known.event_id):
            latest[each.shared_id] = each
    return [latest[shared_id] for shared_id in sorted(latest)]


def _facts(readings: Sequence[Reading], judgements: Decided, rules: Rules) -> tuple[Fact, ...]:
    clusters = Clusters(readings, kept_apart(judgements))
    named = identifiers.shared_identifiers(readings, rules)
    of_type = _by_type(readings)
    allergies = Allergies(of_type["AllergyIntolerance"], rules)
    conditions = Conditions(of_type["Condition"], rules)
    immunisations = Immunisations(of_type["Immunization"], rules)
    observations = Observations(of_type["Observation"], of_type["Specimen"], rules)
    medicines = Medicines(sorted([*of_type["MedicationRequest"], *of_type["MedicationStatement"]], key=in_order))

    clinicians.join(readings, judgements, clusters)
    identifiers.join(named, clusters)
    allergies.join(clusters)
    conditions.join(clusters)
    immunisations.join(clusters)
    medicines.join(clusters)
    observations.join(clusters)

    beside = [*clinicians.beside(readings, judgements), *medicines.beside()]
    conflicts = [
        *identifiers.conflicts(named, clusters),
        *allergies.conflicts(clusters),
        *conditions.conflicts(clusters),
        *immunisations.conflicts(clusters),
        *medicines.conflicts(clusters, beside),
        *observations.conflicts(clusters),
        *none_known.conflicts(readings),
        *withdrawal.conflicts(readings, named),
        *plans.conflicts(readings),
    ]
    return facts(readings, clusters, conflicts, beside)


def _by_type(readings: Sequence[Reading]) -> defaultdict[str, list[Reading]]:
    found: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        found[reading.said.resource_type].append(reading)
    return found
