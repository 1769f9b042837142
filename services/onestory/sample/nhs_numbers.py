"""NHS numbers from the 999 range, which is never issued, with a right modulus 11 check digit."""

from __future__ import annotations

from onestory.sample.chance import stream

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
