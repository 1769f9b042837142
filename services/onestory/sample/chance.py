"""Repeatable randomness: the same seed gives the same sample on every machine, day and Python version.

Random streams and ids follow from words. The sample's calendar ends on a fixed day. NHS numbers follow from the seed.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random


def random_stream(*words: int | str) -> random.Random:
    """A random generator for these words. It is independent: a new stream changes no other stream."""
    return random.Random(int.from_bytes(fingerprint(*words)))  # noqa: S311 (people are invented here, not secrets)


def fingerprint(*words: int | str) -> bytes:
    """A hash of these words, 16 bytes. `hash()` would not do: it differs from process to process."""
    return hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()


def stable_uuid(*words: int | str) -> str:
    """A UUID that follows from these words; it has the form of version 4."""
    return str(uuid.UUID(bytes=fingerprint(*words), version=4))


TODAY = date(2026, 6, 1)
"""The last day of the synthetic network: fixed, so that a seed gives the same bytes on any day."""

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
_BRITISH_SUMMER_TIME = timezone(timedelta(hours=1))


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def working_time(day: date, chance: Random) -> datetime:
    """A random minute of that day's working hours (UTC), never later than noon of `TODAY`."""
    at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC) + timedelta(minutes=chance.randrange(540))
    return min(at, _NOON)


def fhir_instant(at: datetime, system: str) -> str:
    """A FHIR instant as this system writes it: systems differ in offset and fractions, and all forms are valid."""
    match system:
        case "rio" | "pds":
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "mosaic":
            return at.astimezone(_BRITISH_SUMMER_TIME).isoformat()
        case "millennium":
            return at.strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
        case _:
            return at.isoformat()


_STEMS = 100_000
_SLOTS = 4
LARGEST_POPULATION = _STEMS * _SLOTS


def nhs_numbers(seed: int, index: int) -> tuple[str, str]:
    """The NHS number of this person, and the number that it superseded.

    Both come from the range that begins with 999, which is never issued, and have a right modulus 11 check digit.
    All numbers of a seed are distinct, and none depends on the size of the population. A person's stem is a
    permutation of five digits. Each stem has at least nine valid numbers, and a person takes two.
    Raises `ValueError` for an index outside `range(LARGEST_POPULATION)`.
    """
    if not 0 <= index < LARGEST_POPULATION:
        raise ValueError(f"index: there are NHS numbers for {LARGEST_POPULATION} people only.")
    slot, offset = divmod(index, _STEMS)
    chance = random_stream(seed, "nhs-numbers")
    step, start = 10 * chance.randrange(1_000, 9_000) + 1, chance.randrange(_STEMS)
    numbers = _valid_numbers(f"999{(offset * step + start) % _STEMS:05d}")
    return numbers[2 * slot], numbers[2 * slot + 1]


def _valid_numbers(stem: str) -> list[str]:
    """Every valid NHS number that begins with these eight digits. A body whose check digit would be 10 has none."""
    bodies = [f"{stem}{ninth}" for ninth in range(10)]
    return [f"{body}{check}" for body in bodies if (check := _check_digit(body)) != 10]


def _check_digit(body: str) -> int:
    return -sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1), strict=True)) % 11
