"""The whole synthetic care network, one published Bundle after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from onestory.sample.bundles import Submission
from onestory.sample.difficulties import later_submissions, wrongly_filed
from onestory.sample.network import HOSPITAL, Source
from onestory.sample.people import Person, person
from onestory.sample.sources import community, directory, former_gp, gp, hospital, mental_health, pds, social_care
from onestory.sample.story import story

_NIGHT = 4
"""People whose laboratory results come in one batch."""


def generate(people: int, seed: int) -> Iterator[tuple[Source, bytes]]:
    """The Bundles of `people` people in publishing order, the directory first, each with the source that publishes it.

    The bytes depend on the seed alone, and a larger population contains every Bundle of a smaller one.
    Raises `ValueError` for more people than there are NHS numbers for.
    """
    for submission in itertools.chain(directory_of(), submissions(people, seed)):
        yield submission.source, submission.body


def directory_of() -> Iterator[Submission]:
    """What the organisations say of themselves; about no person, and to be published first."""
    return directory.submissions()


def submissions(people: int, seed: int) -> Iterator[Submission]:
    """What all sources say of these people, person by person."""
    for index in range(people):
        yield from of_person(person(seed, index))
        if index % _NIGHT == _NIGHT - 1:
            yield hospital.results([person(seed, each) for each in range(index - _NIGHT + 1, index + 1)])


def of_person(who: Person) -> Iterator[Submission]:
    """What each source says of one person, in the order in which that source publishes it."""
    told = story(who)
    yield from gp.submissions(who, told)
    yield from former_gp.submissions(who, told)
    for kind in told.care:
        yield from _CARE[kind](who, told)
    # After the community team has filed under the old number: a supersession must join what is already there.
    yield from pds.submissions(who)
    yield from later_submissions(who, told)
    if "wrong-person" in who.troubles:
        yield from wrongly_filed(who, HOSPITAL)


_CARE = {
    "community": community.submissions,
    "social-care": social_care.submissions,
    "mental-health": mental_health.submissions,
    "hospital": hospital.submissions,
}
