"""Reads the dosage of a resource as a regimen, and compares regimens.

A dose is compared in what both sides state: 1 tablet of a 5 mg tablet is 5 mg, every 12 hours is twice a day, "1 OM" is
"one each morning". Where one side cannot be read, the answer is `UNKNOWN`, never a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import combinations
from typing import Any

from onestory.record.medicines.directions import Amount, Dose, Regimen, Step, Times, read_directions, unit_of
from onestory.record.medicines.products import Product
from onestory.record.medicines.sites import sides_of
from onestory.record.merge.values import number as number_of
from onestory.shared.fhir.json import first_object, objects, text

_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1, "d": 24, "wk": 168, "mo": 730, "a": 8766}
_SLOTS = {"MORN": "morning", "NOON": "noon", "AFT": "afternoon", "EVE": "evening", "NIGHT": "night", "HS": "night"}
TOLERANCE = 1.1
"""Times per day within this factor are equal: every four weeks and once a month."""


class DoseComparison(StrEnum):
    """How two regimens compare. `UNKNOWN`: they cannot be compared, or one states less than the other."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def read_regimen(directions: object) -> Regimen:
    """The regimen of the `dosageInstruction` or `dosage` of a resource. Coded parts win over the words beside them."""
    found = objects(directions)
    parts = [_regimen(each) for each in found]
    sides = frozenset().union(*map(sides_of, found))
    if len(parts) == 1:
        return parts[0]._replace(sides=sides) if sides else parts[0]
    sequences = {each["sequence"] for each in found if isinstance(each.get("sequence"), int)}
    steps = [step for part in parts for step in part.steps]
    unclear = any(part.unclear for part in parts)
    slots = {dose.slots for step in steps for dose in step}
    if len(sequences) <= 1 and len(steps) == len(slots) and frozenset() not in slots:
        # "One in the morning" and "two at night" as two instructions go together.
        steps = [tuple(dose for step in steps for dose in step)] if steps else []
    as_needed, continuous = _one(part.as_needed for part in parts), _one(part.continuous for part in parts)
    return Regimen(tuple(steps), as_needed, continuous, unclear, sides)


def _one(flags: Iterable[bool | None]) -> bool | None:
    """The flag that all parts that have one agree on; None if they do not."""
    stated = {flag for flag in flags if flag is not None}
    return stated.pop() if len(stated) == 1 else None


def _regimen(dosage: Mapping[str, Any]) -> Regimen:
    words = " ".join(part for name in ("text", "patientInstruction") if (part := text(dosage.get(name))))
    written = read_directions(words) if words else Regimen()
    timing = first_object(dosage.get("timing"))
    repeat = first_object(timing.get("repeat"))
    amounts = frozenset(_coded_amounts(dosage))
    times, slots, weekdays = (
        _coded_times(timing, repeat),
        _coded_slots(repeat),
        frozenset(_strings(repeat, "dayOfWeek")),
    )
    rate = any("rateRatio" in each or "rateQuantity" in each for each in objects(dosage.get("doseAndRate")))
    stated = dosage.get("asNeededBoolean")
    as_needed = stated if isinstance(stated, bool) else True if "asNeededCodeableConcept" in dosage else None
    steps = written.steps
    if len(steps) <= 1 and (amounts or times or slots):
        doses = steps[0] if steps else ()
        if len(doses) <= 1:
            own = doses[0] if doses else Dose()
            times = times or _times_of_slots(slots, weekdays) or own.times
            steps = ((Dose(_united(amounts, own.amounts), times, slots or own.slots, weekdays or own.weekdays),),)
    if as_needed is None:
        as_needed = written.as_needed if written.as_needed is not None else False if times and not rate else None
    continuous = True if rate or written.continuous else False if steps else None
    return Regimen(steps, written.as_needed or as_needed, continuous, written.unclear and not steps)


def _united(coded: frozenset[Amount], written: frozenset[Amount]) -> frozenset[Amount]:
    kinds = {amount.kind for amount in coded}
    return coded | {amount for amount in written if amount.kind not in kinds}


def _coded_amounts(dosage: Mapping[str, Any]) -> Iterator[Amount]:
    for rate in objects(dosage.get("doseAndRate")):
        if amount := _amount_of(rate.get("doseQuantity"), rate.get("doseQuantity")):
            yield amount
        span = first_object(rate.get("doseRange"))
        if amount := _amount_of(span.get("low", span.get("high")), span.get("high", span.get("low"))):
            yield amount
        ratio = first_object(rate.get("rateRatio"))
        if (amount := _amount_of(ratio.get("numerator"), ratio.get("numerator"))) and (hours := _hours_of(ratio)):
            yield Amount(amount.kind, amount.low * 24 / hours, amount.high * 24 / hours)


def _hours_of(ratio: Mapping[str, Any]) -> float:
    denominator = first_object(ratio.get("denominator"))
    unit = text(denominator.get("code")) or text(denominator.get("unit"))
    return (number_of(denominator.get("value")) or 1) * _HOURS.get(unit, 0)


def _amount_of(low: object, high: object) -> Amount | None:
    least, most = first_object(low), first_object(high)
    value, top = number_of(least.get("value")), number_of(most.get("value"))
    if value is None or top is None or text(least.get("comparator")) or text(most.get("comparator")):
        return None
    unit, code = text(most.get("unit")).strip(), text(most.get("code")).strip()
    known = unit_of(unit, code)
    if known is None:
        return Amount(f"other {unit or code}".casefold(), value, top)
    low_known = unit_of(text(least.get("unit")).strip(), text(least.get("code")).strip()) or known
    return Amount(known[0], value * (low_known if low_known[0] == known[0] else known)[1], top * known[1])


def _coded_times(timing: Mapping[str, Any], repeat: Mapping[str, Any]) -> Times | None:
    frequency, period = number_of(repeat.get("frequency")), number_of(repeat.get("period"))
    if frequency is None and period is None:
        return _times_of_code(timing)
    hours = (period or 1) * _HOURS.get(text(repeat.get("periodUnit")), 0)
    if not 0 < hours < float("inf"):
        return None
    longest = max(number_of(repeat.get("periodMax")) or 0, period or 1) * hours / (period or 1)
    least = frequency or 1
    return least * 24 / longest, max(number_of(repeat.get("frequencyMax")) or 0, least) * 24 / hours


def _times_of_code(timing: Mapping[str, Any]) -> Times | None:
    """The times of a code such as BID, or of its text."""
    concept = first_object(timing.get("code"))
    words = [text(coding.get("code")) for coding in objects(concept.get("coding"))]
    for word in [*words, text(concept.get("text"))]:
        for step in read_directions(word).steps if word else ():
            for dose in step:
                return dose.times
    return None


def _coded_slots(repeat: Mapping[str, Any]) -> frozenset[str]:
    stated = [_SLOTS.get(each, each) for each in _strings(repeat, "when")]
    return frozenset([*stated, *_strings(repeat, "timeOfDay")])


def _times_of_slots(slots: Collection[str], weekdays: Collection[str]) -> Times | None:
    if not (slots or weekdays):
        return None
    times = (len(slots) or 1) * (len(weekdays) / 7 if weekdays else 1)
    return times, times


def _strings(value: Mapping[str, Any], name: str) -> list[str]:
    found = value.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def compare(one: Regimen, other: Regimen, product: Product, other_product: Product) -> DoseComparison:
    """How two regimens of one ingredient compare. Pieces count only by what they hold if the strengths differ."""
    if differ_plainly(one, other):
        return DoseComparison.DIFFERENT
    if not (one.steps and other.steps):
        return DoseComparison.UNKNOWN
    by_piece = product.strengths == other_product.strengths or not (product.strengths and other_product.strengths)
    mine, theirs = _measured(one, product, by_piece), _measured(other, other_product, by_piece)
    if len(mine) != len(theirs):
        return DoseComparison.DIFFERENT
    found = _worst([_compare_steps(a, b) for a, b in zip(mine, theirs, strict=True)])
    if found is DoseComparison.UNKNOWN and one.as_needed and other.as_needed and _share_an_amount(mine, theirs):
        # When required, "every 4-6 hours" and "four times a day", or no times, are one direction.
        return DoseComparison.SAME
    return found


def differ_plainly(one: Regimen, other: Regimen) -> bool:
    """Whether they name other sides of the body, or other days of the week, whatever the amounts are."""
    if len(one.sides) == len(other.sides) == 1 and one.sides != other.sides:
        return True
    days, other_days = _weekdays(one), _weekdays(other)
    return bool(days and other_days) and days.isdisjoint(other_days)


def _weekdays(regimen: Regimen) -> frozenset[str]:
    return frozenset().union(*[dose.weekdays for step in regimen.steps for dose in step])


def _share_an_amount(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether every dose has an amount that the other side has too."""
    pairs = [(a, b) for step, others in zip(one, other, strict=True) for a, b in zip(step, others, strict=False)]
    return all(not a.amounts.isdisjoint(b.amounts) for a, b in pairs)


def _worst(found: Collection[DoseComparison]) -> DoseComparison:
    return next(
        (each for each in (DoseComparison.DIFFERENT, DoseComparison.UNKNOWN) if each in found), DoseComparison.SAME
    )


def _best(found: Collection[DoseComparison]) -> DoseComparison:
    return next(
        (each for each in (DoseComparison.SAME, DoseComparison.UNKNOWN) if each in found), DoseComparison.DIFFERENT
    )


def _measured(regimen: Regimen, product: Product, by_piece: bool) -> list[Step]:
    return [tuple(dose._replace(amounts=_amounts(dose, product, by_piece)) for dose in step) for step in regimen.steps]


def _amounts(dose: Dose, product: Product, by_piece: bool) -> frozenset[Amount]:
    """The amounts of a dose, with what so many pieces or millilitres of the product hold."""
    held = {
        Amount(kind, amount.low * value, amount.high * value)
        for amount in dose.amounts
        for kind, value in _contents(product, amount.kind)
    }
    return frozenset(amount for amount in dose.amounts if by_piece or amount.kind not in ("count", "volume")) | held


def _contents(product: Product, per: str) -> set[tuple[str, float]]:
    """What one piece, or one ml, holds: of each ingredient, and of all together."""
    strengths = [each for each in product.strengths if each.per == per]
    found = {(each.kind, each.value) for each in strengths}
    for size in range(2, len(strengths) + 1):
        for group in combinations(strengths[:4], size):
            if len({each.kind for each in group}) == 1:
                found.add((group[0].kind, sum(each.value for each in group)))
    return found


def _compare_steps(one: Step, other: Step) -> DoseComparison:
    if len(one) == len(other) == 1:
        return _compare_doses(one[0], other[0])
    mine, theirs = _daily_totals(one), _daily_totals(other)
    shared = mine.keys() & theirs.keys()
    if not shared:
        return DoseComparison.UNKNOWN
    if not any(_meet(mine[kind], theirs[kind]) for kind in shared):
        return DoseComparison.DIFFERENT
    return DoseComparison.SAME if len(one) == len(other) else DoseComparison.UNKNOWN


def _compare_doses(one: Dose, other: Dose) -> DoseComparison:
    amounts, times = _compare_amounts(one, other), _compare_times(one.times, other.times)
    if DoseComparison.DIFFERENT in (amounts, times):
        return DoseComparison.DIFFERENT
    if one.weekdays and other.weekdays and one.weekdays != other.weekdays:
        return DoseComparison.DIFFERENT
    if one.slots and other.slots and one.slots != other.slots:
        return DoseComparison.UNKNOWN
    return _worst([amounts, times])


def _compare_amounts(one: Dose, other: Dose) -> DoseComparison:
    pairs = [(a, b) for a in one.amounts for b in other.amounts if a.kind == b.kind]
    if not pairs:
        return DoseComparison.UNKNOWN
    return _best([_compare_spans(a[1:], b[1:], 1.001) for a, b in pairs])


def _compare_times(one: Times | None, other: Times | None) -> DoseComparison:
    if one is None or other is None:
        return DoseComparison.UNKNOWN
    return _compare_spans(one, other, TOLERANCE)


def _compare_spans(one: tuple[float, float], other: tuple[float, float], factor: float) -> DoseComparison:
    """Spans that meet and are not equal, as 1-2 and 2, are no difference, and not the same either."""
    if all(a <= b * factor and b <= a * factor for a, b in zip(one, other, strict=True)):
        return DoseComparison.SAME
    return DoseComparison.UNKNOWN if _meet(one, other) else DoseComparison.DIFFERENT


def _meet(one: tuple[float, float], other: tuple[float, float], factor: float = 1.001) -> bool:
    return one[0] <= other[1] * factor and other[0] <= one[1] * factor


def _daily_totals(step: Sequence[Dose]) -> dict[str, tuple[float, float]]:
    """The amount of each kind in a day, for the kinds that every dose states."""
    kinds = frozenset.intersection(*[frozenset(amount.kind for amount in dose.amounts) for dose in step])
    if any(dose.times is None for dose in step):
        return {}
    totals: dict[str, tuple[float, float]] = {}
    for kind in kinds:
        low = high = 0.0
        for dose in step:
            least, most = dose.times or (0.0, 0.0)
            amounts = [amount for amount in dose.amounts if amount.kind == kind]
            low += min(amount.low for amount in amounts) * least
            high += max(amount.high for amount in amounts) * most
        totals[kind] = low, high
    return totals


def is_rare(regimen: Regimen) -> bool:
    """Whether each dose is given less than once a day."""
    return all(dose.times is not None and dose.times[1] < 1 for step in regimen.steps for dose in step)


def daily_mass(regimen: Regimen, product: Product) -> dict[str, tuple[float, float]]:
    """The amount of one day by kind (mass in micrograms, unit), of a regimen of one step; empty if it is not known."""
    if len(regimen.steps) != 1:
        return {}
    step = _measured(regimen, product, by_piece=False)[0]
    return {kind: total for kind, total in _daily_totals(step).items() if kind in ("mass", "unit")}
