"""Chance that can be repeated: the same words give the same stream on every machine, day and Python version."""

from __future__ import annotations

import hashlib
import random
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random


def stream(*words: int | str) -> random.Random:
    """A random stream of its own for these words. Adding a stream somewhere changes no other stream."""
    return random.Random(int.from_bytes(fingerprint(*words)))  # noqa: S311 (people are invented here, not secrets)


def fingerprint(*words: int | str) -> bytes:
    """16 bytes that stand for these words; not `hash()`, which differs from process to process."""
    return hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()


def uuid_of(*words: int | str) -> str:
    """A UUID (version 4 by its form) that stands for these words."""
    return str(uuid.UUID(bytes=fingerprint(*words), version=4))


# The time of the synthetic network. It ends on a fixed day, so that a seed gives the same bytes on any day.

TODAY = date(2026, 6, 1)
"""The last day of the synthetic network; everything that it records is earlier."""

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
_BRITISH_SUMMER_TIME = timezone(timedelta(hours=1))


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def moment(day: date, chance: Random) -> datetime:
    """A minute of the working day of `day`, never later than noon of `TODAY`."""
    at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC) + timedelta(minutes=chance.randrange(540))
    return min(at, _NOON)


def instant(at: datetime, system: str) -> str:
    """A FHIR instant as this system writes it: systems differ in offset and in fractions, and all are right."""
    match system:
        case "rio" | "pds":
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "mosaic":
            return at.astimezone(_BRITISH_SUMMER_TIME).isoformat()
        case "millennium":
            return at.strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
        case _:
            return at.isoformat()


# NHS numbers from the 999 range, which is never issued, with a right modulus 11 check digit.

_STEMS = 100_000
_SLOTS = 4
LARGEST_POPULATION = _STEMS * _SLOTS


def numbers_of(seed: int, index: int) -> tuple[str, str]:
    """The NHS number of this person, and the one that it superseded.

    All numbers of a seed are distinct, and none depends on how many people there are: a person's stem is a permutation
    of five digits, and each stem has at least nine numbers with a check digit, of which a person takes two.
    Raises `ValueError` for an index outside `range(LARGEST_POPULATION)`.
    """
    if not 0 <= index < LARGEST_POPULATION:
        raise ValueError(f"There are numbers for {LARGEST_POPULATION} people.")
    slot, place = divmod(index, _STEMS)
    chance = stream(seed, "nhs-numbers")
    step, start = 10 * chance.randrange(1_000, 9_000) + 1, chance.randrange(_STEMS)
    numbers = _numbers(f"999{(place * step + start) % _STEMS:05d}")
    return numbers[2 * slot], numbers[2 * slot + 1]


def _numbers(stem: str) -> list[str]:
    """Every valid NHS number that begins with these eight digits; the one body whose check would be 10 has none."""
    bodies = [f"{stem}{ninth}" for ninth in range(10)]
    return [f"{body}{check}" for body in bodies if (check := _check_digit(body)) != 10]


def _check_digit(body: str) -> int:
    return -sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1), strict=True)) % 11
