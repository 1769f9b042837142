"""Compares the medicines of one ingredient across products, strengths, brands and words. It joins nothing.

A stop, a pause, a denial or another dose in one source is raised at the lines of that ingredient in other sources,
whatever code each has. Lines of one ingredient get a hint that says how they belong together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from onestory.record.medicines.medicine import ACUTE, of_two_uses
from onestory.record.medicines.names import lexicon
from onestory.record.medicines.products import SEVERAL_ENTRIES, Product, same_medicine_words
from onestory.record.medicines.regimen import TOLERANCE, DoseComparison, compare, daily_mass, differ_plainly, is_rare
from onestory.record.medicines.stop_notes import members_of_class, stopped_by
from onestory.record.merge.conflicts import conflict, two_sided_conflict
from onestory.record.merge.medication import Medicines
from onestory.record.merge.model import FactConflict
from onestory.record.merge.pairs import Bucket, Clusters
from onestory.record.merge.reading import Reading

_STOPPED = "One source goes on with this medicine, another stopped it, as another product or in other words."
_PAUSED = "One source goes on with this medicine, another has put it on hold, as another product or in other words."
_PART_STOPPED = "One source goes on with a combination, another stopped a medicine that it contains."
_PART_PAUSED = "One source goes on with a combination, another has put on hold a medicine that it contains."
_NEGATED = "One source has this medicine, another says that it is not taken or not to be given."
_DOSE = "The daily doses of this medicine differ between sources, in different products."
_TOTAL = "The daily amounts of this medicine, over all lines of each source, differ between sources."
_NOTE = "A note at another medicine says that this one is to stop or to pause."
_ROUTES = "Same medicine by several routes: read the lines together, and ask whether all are meant."
_SHARED = "Both contain {}: count it once."


class IngredientGroups:
    """The medicines of one person by ingredient."""

    def __init__(self, medicines: Medicines) -> None:
        self._medicines = medicines
        self._keys = _group_keys(medicines)
        self._groups: dict[str, Bucket] = {}
        for reading in medicines.readings:
            self._groups.setdefault(self._keys[reading.ordinal], []).append(reading)

    def key(self, ordinal: int) -> str:
        """The key of the ingredient group of a statement; "" if it is no medicine that is compared."""
        return self._keys.get(ordinal, "")

    def group(self, key: str) -> Sequence[Reading]:
        """The readings of an ingredient group."""
        return self._groups.get(key, ())

    def conflicts(self, clusters: Clusters, related: Sequence[tuple[Reading, Reading]]) -> Iterator[FactConflict]:
        """Yields the conflicts and hints between the entries of one ingredient, of one class, and of notes."""
        together = {frozenset((clusters.root(a.ordinal), clusters.root(b.ordinal))) for a, b in related}
        for group in self._groups.values():
            if len(group) > 1 and (len({each.codes for each in group}) > 1 or not group[0].codes):
                yield from self._status_conflicts(group)
                yield from self._dose_conflicts(group, clusters, together)
                yield from self._same_ingredient(group, clusters, together)
        current = [each for each in self._medicines.readings if _is_current(each)]
        yield from self._part_conflicts(current)
        yield from self._forbidden_classes(current)
        yield from self._shared_ingredients(current)
        yield from self._class_conflicts(current)
        yield from self._note_conflicts(current)

    def _product(self, reading: Reading) -> Product:
        return self._medicines.entry(reading).product

    def _status_conflicts(self, group: Bucket) -> Iterator[FactConflict]:
        current = [each for each in group if _is_current(each)]
        if not current:
            return
        current_sources: defaultdict[Hashable, set[object]] = defaultdict(set)
        for each in current:
            current_sources[each.source].add(self._product(each).strengths)

        def contradict(one: Reading, other: Reading) -> bool:
            # Entries with a code in common are compared by that code.
            if one.source == other.source or not one.codes.isdisjoint(other.codes):
                return False
            own = current_sources.get(other.source)
            if own and (self._product(other).strengths in own or self._is_other_product(one, other)):
                # Its source has ordered it again, or has another product of it.
                return False
            return self._medicines.began_before_end(one, other) and not self._medicines.concurrent(one, other)

        def denied(one: Reading, other: Reading) -> bool:
            return one.codes.isdisjoint(other.codes) and self._medicines.overlap(one, other)

        stopped = [each for each in group if not each.negative and each.phase == "stopped"]
        paused = [each for each in group if not each.negative and each.phase == "paused"]
        negative = [each for each in group if each.negative]
        yield from two_sided_conflict("status", _STOPPED, current, stopped, contradict)
        yield from two_sided_conflict("status", _PAUSED, current, paused, contradict)
        yield from two_sided_conflict("negation", _NEGATED, current, negative, denied)

    def _is_other_product(self, one: Reading, other: Reading) -> bool:
        """Whether the strengths differ, or one names no strength: its source then has another product of it."""
        return self._product(one).strengths != self._product(other).strengths

    def _dose_conflicts(
        self, group: Bucket, clusters: Clusters, together: set[frozenset[int]]
    ) -> Iterator[FactConflict]:
        """Yields a conflict where two sources, each with one regular line of the ingredient, give different doses."""
        lines: dict[Hashable, dict[int, Reading]] = {}
        for reading in group:
            if _is_current(reading) and self._is_regular(reading):
                lines.setdefault(reading.source, {}).setdefault(clusters.root(reading.ordinal), reading)
        single = [next(iter(each.values())) for each in lines.values() if len(each) == 1]
        sides: list[Bucket] = []
        for reading in single:
            place = next((side for side in sides if not self._doses_differ(side[0], reading, clusters, together)), None)
            if place is None:
                sides.append([reading])
            else:
                place.append(reading)
        if len(sides) > 1:
            yield conflict("dose", _DOSE, *sides)
        elif len(single) < len(lines):
            yield from self._total_conflicts([list(each.values()) for each in lines.values()])

    def _total_conflicts(self, lines: Sequence[Bucket]) -> Iterator[FactConflict]:
        """Yields a conflict where all lines of one source give another daily amount than those of another source.

        Lines of which no amount is known, or of another form, are compared with nothing.
        """
        shapes = {(self._product(each).form, self._product(each).modified) for bucket in lines for each in bucket}
        sides: list[tuple[float, Bucket]] = []
        for bucket in lines if len(shapes) == 1 else ():
            masses = [
                daily_mass(self._medicines.entry(each).regimen, self._product(each)).get("mass") for each in bucket
            ]
            if any(mass is None or mass[0] != mass[1] for mass in masses):
                return
            total = sum(mass[0] for mass in masses if mass)
            place = next((side for known, side in sides if known / 1.01 <= total <= known * 1.01), None)
            if place is None:
                sides.append((total, list(bucket)))
            else:
                place.extend(bucket)
        if len(sides) > 1:
            yield conflict("dose", _TOTAL, *[side for _, side in sides])

    def _is_regular(self, reading: Reading) -> bool:
        entry = self._medicines.entry(reading)
        return entry.course != ACUTE and not entry.regimen.as_needed and not entry.regimen.continuous

    def _doses_differ(self, one: Reading, other: Reading, clusters: Clusters, together: set[frozenset[int]]) -> bool:
        roots = frozenset((clusters.root(one.ordinal), clusters.root(other.ordinal)))
        if len(roots) == 1 or roots in together or self._medicines.concurrent(one, other):
            return False
        a, b = self._medicines.entry(one), self._medicines.entry(other)
        if a.product.ingredients & lexicon().same_brand and a.product.salts != b.product.salts:
            # 100 mg of a salt is not 100 mg of its base.
            return False
        if differ_plainly(a.regimen, b.regimen):
            return True
        mine, theirs = daily_mass(a.regimen, a.product), daily_mass(b.regimen, b.product)
        if shared := mine.keys() & theirs.keys():
            # Every 12 weeks and every three months are one interval.
            factor = TOLERANCE if is_rare(a.regimen) and is_rare(b.regimen) else 1.01
            return all(
                mine[kind][1] * factor < theirs[kind][0] or theirs[kind][1] * factor < mine[kind][0] for kind in shared
            )
        return compare(a.regimen, b.regimen, a.product, b.product) is DoseComparison.DIFFERENT

    def _same_ingredient(
        self, group: Bucket, clusters: Clusters, together: set[frozenset[int]]
    ) -> Iterator[FactConflict]:
        """Yields a hint for the current products of one ingredient, unless they are meant to be given together."""
        for alike in self._of_one_use([reading for reading in group if _is_current(reading)]):
            by_product: dict[Hashable, Bucket] = {}
            for reading in alike:
                by_product.setdefault(reading.codes or self._product(reading), []).append(reading)
            sides = list(by_product.values())
            if len(sides) > 1:
                yield conflict("same-ingredient", self._explanation(sides), *sides)
            elif not sides[0][0].codes:
                yield from self._same_words(sides[0], clusters, together)

    def _of_one_use(self, current: Bucket) -> list[Bucket]:
        """The lines in groups, of which no line is of another use than the first one of its group."""
        groups: list[Bucket] = []
        for reading in current:
            entry = self._medicines.entry(reading)
            group = next((each for each in groups if not of_two_uses(self._medicines.entry(each[0]), entry)), None)
            if group is None:
                groups.append([reading])
            else:
                group.append(reading)
        return groups

    def _same_words(self, entries: Bucket, clusters: Clusters, together: set[frozenset[int]]) -> Iterator[FactConflict]:
        """Yields a hint for one product that several sources name in words only, so that it has a line for each."""
        first: dict[Hashable, Reading] = {}
        for reading in entries:
            first.setdefault(reading.source, reading)
        roots = {clusters.root(each.ordinal) for each in first.values()}
        if len(roots) > 1 and frozenset(roots) not in together:
            yield conflict("same-ingredient", SEVERAL_ENTRIES, *[[each] for each in first.values()])

    def _explanation(self, sides: Sequence[Bucket]) -> str:
        """What the products have in common. A source that has two of them may mean both."""
        seen: set[Hashable] = set()
        of_one_source = False
        for sources in ({reading.source for reading in side} for side in sides):
            of_one_source = of_one_source or not seen.isdisjoint(sources)
            seen |= sources
        routes = {route for side in sides if (route := self._medicines.entry(side[0]).route)}
        if len(routes) > 1:
            return _ROUTES
        return same_medicine_words([self._product(side[0]) for side in sides], of_one_source)

    def _shared_ingredients(self, current: Bucket) -> Iterator[FactConflict]:
        """Yields a hint for each ingredient that two different combinations contain."""
        for ingredient, groups in self._by_ingredient(current).items():
            if len(groups) > 1:
                yield conflict("same-ingredient", _SHARED.format(ingredient), *groups.values())

    def _by_ingredient(self, current: Iterable[Reading]) -> Mapping[str, dict[str, Bucket]]:
        found: defaultdict[str, dict[str, Bucket]] = defaultdict(dict)
        for reading in current:
            if self._medicines.entry(reading).route not in ("skin", "eye", "ear", "nose"):
                for ingredient in sorted(self._product(reading).ingredients):
                    found[ingredient].setdefault(self._keys[reading.ordinal], []).append(reading)
        return found

    def _part_conflicts(self, current: Bucket) -> Iterator[FactConflict]:
        """Yields a conflict where one source ended an ingredient that a combination of another source contains."""
        combined = [each for each in current if len(self._product(each).ingredients) > 1]
        if not combined:
            return
        for ingredient, groups in sorted(self._by_ingredient(combined).items()):
            alone = self._groups.get(ingredient, ())
            held = [each for bucket in groups.values() for each in bucket]
            own = {each.source for each in alone if _is_current(each)}
            over = [each for each in alone if not each.negative and each.source not in own]
            for phase, words in (("stopped", _PART_STOPPED), ("paused", _PART_PAUSED)):
                ended = [each for each in over if each.phase == phase]
                yield from two_sided_conflict("status", words, held, ended, self._ended_elsewhere)

    def _forbidden_classes(self, current: Bucket) -> Iterator[FactConflict]:
        """Yields a conflict for each class ("NSAIDs") that is not to be given and of which a source has a medicine."""
        forbidden: dict[frozenset[str], Bucket] = {}
        for reading in self._medicines.readings:
            if reading.negative and not self._product(reading).known:
                forbidden.setdefault(members_of_class(self._medicines.entry(reading).name), []).append(reading)
        for members, orders in forbidden.items():
            held = [each for each in current if not members.isdisjoint(self._product(each).ingredients)]
            yield from two_sided_conflict("negation", _NEGATED, held, orders, self._medicines.overlap)

    def _ended_elsewhere(self, one: Reading, other: Reading) -> bool:
        """Whether another source ended the medicine after the current one began, by the same route."""
        return (
            one.source != other.source
            and self._medicines.began_before_end(one, other)
            and not self._medicines.concurrent(one, other)
        )

    def _class_conflicts(self, current: Bucket) -> Iterator[FactConflict]:
        """Yields a conflict where two medicines of a class are current that should not be."""
        by_ingredient = self._by_ingredient(current)
        for each in lexicon().classes:
            sides = {}
            for ingredient in sorted(each.members & by_ingredient.keys()):
                held = [reading for bucket in by_ingredient[ingredient].values() for reading in bucket]
                if not each.any_source:
                    held = [reading for reading in held if self._medicines.entry(reading).course != ACUTE]
                if held:
                    sides[ingredient] = held
            sources = {reading.source for side in sides.values() for reading in side}
            one_source_has_all = any(
                all(any(reading.source == source for reading in side) for side in sides.values()) for source in sources
            )
            if len(sides) > 1 and (each.any_source or not one_source_has_all):
                yield conflict("same-class", each.words, *sides.values())

    def _note_conflicts(self, current: Bucket) -> Iterator[FactConflict]:
        """Yields a conflict for each note that stops another line."""
        by_ingredient = self._by_ingredient(current)
        for reading in self._medicines.readings:
            stopped = stopped_by(reading.content)
            if not any(stopped):
                continue
            named = [
                target
                for ingredient in sorted(stopped.ingredients & by_ingredient.keys())
                for bucket in by_ingredient[ingredient].values()
                for target in bucket
            ]
            if stopped.forms:
                named += [
                    each for each in self._groups[self._keys[reading.ordinal]] if self._has_form(each, stopped.forms)
                ]
            targets = {each.ordinal: each for each in named if self._may_stop(reading, each)}
            if targets:
                yield conflict("note", _NOTE, [reading], targets.values())

    def _has_form(self, reading: Reading, forms: Iterable[str]) -> bool:
        words = self._medicines.entry(reading).name.casefold()
        return _is_current(reading) and any(form in words for form in forms)

    def _may_stop(self, note: Reading, target: Reading) -> bool:
        """Whether the note can be about the target: another line that did not begin after the note was written."""
        if note.ordinal == target.ordinal or (note.codes and note.codes == target.codes):
            return False
        same = self._keys[note.ordinal] == self._keys[target.ordinal] and note.source != target.source
        if same and not _is_current(note):
            # The stop of the medicine itself is told as such.
            return False
        course, written = self._medicines.course(target), self._medicines.course(note)
        return course.start is None or course.start.since <= max(
            written.asserted, written.start.since if written.start else 0
        )


def _is_current(reading: Reading) -> bool:
    return reading.phase == "current" and not reading.negative


def _group_keys(medicines: Medicines) -> dict[int, str]:
    """The key of each reading: its ingredients; one without a known name takes that of another with its code."""
    keys: dict[int, str] = {}
    by_code: dict[Hashable, str] = {}
    unknown: Bucket = []
    for reading in medicines.readings:
        product = medicines.entry(reading).product
        if product.known:
            keys[reading.ordinal] = product.key
            for code in reading.codes:
                by_code.setdefault(code, product.key)
        else:
            unknown.append(reading)
    for reading in unknown:
        named = sorted({by_code[code] for code in reading.codes if code in by_code})
        own = medicines.entry(reading).product.key or "|".join(
            min(reading.codes, default=("", reading.statement.shared_id))
        )
        keys[reading.ordinal] = named[0] if named else own
    return keys
