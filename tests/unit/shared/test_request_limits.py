"""Fixed limits of queries and headers, and the linear work behind them."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from onestory.record.person.identifiers import name_forms, name_matches
from onestory.record.search.filters import split_escaped
from onestory.shared.errors import Malformed
from onestory.shared.http.request_limits import FIXED_LIMITS, refuse_large_request, refuse_many_words
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, REFERRAL_TOPIC, topics
from onestory.shared.visible_positions import parse_position_token


def query(*parameters: tuple[str, str]) -> bytes:
    return urlencode(parameters).encode()


@pytest.mark.parametrize(
    "accepted",
    [
        query(("code", "x" * 2_000)),
        query(("_id", ",".join(["9990000018"] * 500))),
        query(*[("code", "a")] * 100),
        query(("after", ".".join(f"r{place}-123456789012" for place in range(300)))),
        query(("_cursor", "x" * 5_000)),
        query(("family", "\u00e9" * 2_000)),
        b"",
    ],
)
def test_a_query_within_the_limits_passes(accepted: bytes) -> None:
    refuse_large_request(accepted, [(b"prefer", b"x" * 1_000), (b"cookie", b"x" * 8_192), (b"x", b"")])


@pytest.mark.parametrize("name", ["Authorization", "X-Source-System", "Idempotency-Key", "If-None-Exist"])
def test_a_header_with_one_value_is_refused_when_it_is_sent_twice(name: str) -> None:
    line = (name.lower().encode(), b"a")
    refuse_large_request(b"", [line, (b"accept", b"a"), (b"accept", b"b")])

    with pytest.raises(Malformed, match=f"^{name}: the header was sent more than once. Send it once.$"):
        refuse_large_request(b"", [line, (b"accept", b"a"), line])


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (query(("code", "x" * 2_001)), "code: a value is too long. Send at most 2000 characters."),
        (query(("code", "|" * 65_000)), "code: a value is too long. Send at most 2000 characters."),
        (query(("_id", ",".join(["1"] * 501))), "_id: it has 501 values. Send at most 500 in one request."),
        (query(("_id", "," * 65_000)), "_id: it has 65001 values. Send at most 500 in one request."),
        (query(*[("code", "a")] * 101), "The request has too many parameters. Send at most 100."),
        (b"a&" * 32_000, "The request has too many parameters. Send at most 100."),
        (b"x" * 3_000 + b"=1", "The name of a parameter is too long. Correct it, or leave it out."),
        (b"c%0d%0a<b>=" + b"x" * 3_000, "cb: a value is too long. Send at most 2000 characters."),
    ],
)
def test_a_query_beyond_a_limit_is_refused_with_the_remedy(refused: bytes, text: str) -> None:
    with pytest.raises(Malformed, match=f"^{re.escape(text)}$"):
        refuse_large_request(refused, [])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (b"prefer", b"a," * 600, "prefer: the header is too long. Send at most 1000 characters."),
        (b"if-none-match", b"a," * 100, "if-none-match: the header has too many entity tags. Send at most 100."),
        (b"if-match", b"," * 8_000, "if-match: the header has too many entity tags. Send at most 100."),
        (b"x-complete-types", b"Condition," * 1_000, "x-complete-types: the header is too long. Send at most 8192"),
        (b"authorization", b"Bearer " + b"A" * 16_384, "authorization: the header is too long. Send at most 16384"),
    ],
)
def test_a_header_beyond_a_limit_is_refused_with_the_remedy(name: bytes, value: bytes, text: str) -> None:
    with pytest.raises(Malformed, match=f"^{re.escape(text)}"):
        refuse_large_request(b"", [(b"host", b"x"), (name, value)])


def test_a_name_may_have_twenty_words() -> None:
    refuse_many_words("name", ["a"] * 20)

    with pytest.raises(Malformed, match=r"^name: the name has 21 words\. Send at most 20\.$"):
        refuse_many_words("name", ["a"] * 21)


class CountedText(str):
    """A text that counts how many characters of it are copied."""

    copied = 0

    def __getitem__(self, place: object) -> str:
        piece = super().__getitem__(place)  # type: ignore[index]
        CountedText.copied += len(piece)
        return piece


@pytest.mark.parametrize("text", ["\\" + "A" * 9_999, "\\," * 5_000, ",\\" * 5_000])
def test_splitting_reads_each_character_a_fixed_number_of_times(text: str) -> None:
    CountedText.copied = 0

    split_escaped(CountedText(text), ",")

    assert CountedText.copied <= 4 * len(text)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b,c", [r"a\,b", "c"]),
        (r"a\\,b", [r"a\\", "b"]),
        ("a\\", ["a\\"]),
        ("a,\\", ["a", "\\"]),
        (",", ["", ""]),
        ("", [""]),
    ],
)
def test_an_escaped_separator_separates_nothing(text: str, pieces: list[str]) -> None:
    assert split_escaped(text, ",") == pieces


class CountedForm(str):
    """A form of a name that counts comparisons."""

    compared = 0

    def startswith(self, *arguments: object) -> bool:
        CountedForm.compared += 1
        return super().startswith(*arguments)  # type: ignore[arg-type]


def test_a_searched_word_is_compared_with_few_of_many_forms() -> None:
    CountedForm.compared = 0
    forms = [CountedForm(f"name{place:05}") for place in range(10_000)]

    assert name_matches([f"name{place:05}" for place in range(20)], forms)
    assert CountedForm.compared <= 20


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ann"], True),
        (["an", "smi"], True),
        (["ann", "jones"], False),
        (["annsmith"], True),
        (["nn"], False),
        ([], False),
    ],
)
def test_each_word_begins_a_form_of_the_name(words: list[str], found: bool) -> None:
    assert name_matches(words, name_forms("Ann Smith")) is found


def test_a_position_token_has_one_position_for_each_partition_at_most() -> None:
    most = sum(topics()[topic].partitions for topic in (RECORD_TOPIC, DIRECTORY_TOPIC, REFERRAL_TOPIC))

    assert len(parse_position_token(".".join(["r0-0"] * most))) == most
    with pytest.raises(Malformed):
        parse_position_token(".".join(["r0-0"] * (most + 1)))


def test_the_limits_are_documented_once_each() -> None:
    assert len({each.limited for each in FIXED_LIMITS}) == len(FIXED_LIMITS)
    assert all(each.value > 0 and each.unit for each in FIXED_LIMITS)
