"""Former practices: where a person was registered once, and until when.

What such a practice said last, a repeat medicine above all, is not current for ever. So its entries are labelled; none
is hidden, and none ends. A label needs a date that can be told safely; the presently registered practice never has one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from onestory.record.domain.registration import Registration


def former_practices(
    present: Iterable[Registration],
    past: Iterable[Sequence[Registration]],
    authorities: Collection[str],
    today: date,
) -> dict[str, date]:
    """The ODS codes of former practices, with the last day of each; the latest where several are told.

    `present` is what statements that stand say; `past` what each Patient statement of an authority says, those that
    stand and those before them. The authority is heard first, then a practice about itself, and nobody else.
    """
    known = _of_practices(present)
    history = [list(said) for said in past]
    official = [each for each in known if each.by in authorities]
    own = [each for each in known if each.by == each.practice and each.by not in authorities]
    registered = _registered(official, today)
    found: dict[str, date] = {}
    _add(found, _ended([*official, *own, *[each for said in history for each in said]], today))
    _add(found, _replaced(own, registered, today))
    _add(found, _left(history, registered, today))
    spoken_of = {each.practice for each in official}
    return {
        practice: until
        for practice, until in sorted(found.items())
        if until <= today
        and all(each.practice != practice for each in registered)
        and not _goes_on(own, practice, until, today, alone=not registered and practice not in spoken_of)
    }


def changes_on(said: Collection[Registration], today: date) -> date | None:
    """The next day on which a registration begins, or is over, as these statements have it; None: none will."""
    over = [each.end + timedelta(days=1) for each in said if each.end is not None]
    begun = [each.start for each in said if each.start is not None]
    return min((day for day in [*over, *begun] if day > today), default=None)


def _of_practices(said: Iterable[Registration]) -> list[Registration]:
    """Without episodes of care of which nothing tells that a practice had them."""
    listed = list(said)
    practices = {each.practice for each in listed if each.certain}
    return [each for each in listed if each.practice in practices]


def _registered(official: Collection[Registration], today: date) -> list[Registration]:
    """Where the person is registered, by the newest Patient statement of an authority and by episodes since."""
    standing = [each for each in official if _stands(each, official, today)]
    newest = max((each.said_at for each in standing if not each.episode), default=None)
    return [
        each
        for each in standing
        if newest is None or (each.said_at > newest if each.episode else each.said_at == newest)
    ]


def _stands(one: Registration, among: Iterable[Registration], today: date) -> bool:
    """Whether it goes on, and nobody of these has said since that it ended."""
    ended = [other for other in among if other.practice == one.practice and other.is_over(today)]
    return one.goes_on(today) and not any(_ends(other, one) for other in ended)


def _ends(ended: Registration, one: Registration) -> bool:
    assert ended.end is not None
    if one.statement == ended.statement or (one.start is not None and one.start > ended.end):
        return False  # a list that has the past and the present registration, or a registration anew
    if one.episode and ended.episode:
        return False  # two registrations; each has an end of its own
    # A Patient names its practice whether or not anybody has looked at it: the end that has a date counts.
    return ended.said_at >= one.said_at


def _ended(said: Iterable[Registration], today: date) -> dict[str, date]:
    """The last days that are told."""
    found: dict[str, date] = {}
    for each in said:
        if each.end is not None and each.is_over(today):
            _add(found, {each.practice: each.end})
    return found


def _replaced(own: Iterable[Registration], registered: Collection[Registration], today: date) -> dict[str, date]:
    """Practices that know of no end, where the authority says since when another one is the person's."""
    until = _day_before(registered)
    if until is None:
        return {}
    return {each.practice: until for each in own if each.goes_on(today) and (each.start is None or each.start <= until)}


def _left(
    history: Iterable[Sequence[Registration]], registered: Collection[Registration], today: date
) -> dict[str, date]:
    """Practices that an authority named once, until its first statement after that which names others alone."""
    found: dict[str, date] = {}
    began: dict[str, date | None] = {}
    going_on = [[each for each in said if each.goes_on(today)] for said in history] if registered else []
    for named in sorted(filter(None, going_on), key=_by_time):
        until, now = _day_before(named), {each.practice for each in named}
        for practice in began.keys() - now:
            start = began[practice]
            # Who came next did not come before this one; then the day of the statement is what can be told.
            told = until if until is not None and (start is None or start <= until) else _day_of(named[0])
            found.setdefault(practice, told)
        for each in named:
            found.pop(each.practice, None)
            began[each.practice] = each.start
    return found


def _goes_on(own: Iterable[Registration], practice: str, until: date, today: date, *, alone: bool) -> bool:
    """Whether the practice says that the person is registered after that day; `alone`: no authority says anything."""
    about = [each for each in own if each.practice == practice]
    standing = [each for each in about if _stands(each, about, today)]
    return any(alone or (each.start is not None and each.start > until) for each in standing)


def _day_before(registered: Collection[Registration]) -> date | None:
    """The last day before these were the person's; None where it is not told of each."""
    starts = [each.start for each in registered if each.start is not None]
    return min(starts) - timedelta(days=1) if starts and len(starts) == len(registered) else None


def _add(found: dict[str, date], more: dict[str, date]) -> None:
    for practice, until in more.items():
        found[practice] = max(found.get(practice, until), until)


def _by_time(said: Sequence[Registration]) -> tuple[int, list[str]]:
    return said[0].said_at, sorted(each.practice for each in said)


def _day_of(said: Registration) -> date:
    return datetime.fromtimestamp(said.said_at / 1_000_000, UTC).date()
