"""Results for short texts are kept; long texts are read up to a limit and not kept."""

from __future__ import annotations

from onestory.record.text_cache import MAX_CACHED_LENGTH, MAX_READ_LENGTH, cache_texts


def test_the_result_for_a_short_text_is_kept_until_the_cache_is_cleared() -> None:
    read: list[str] = []

    @cache_texts(8)
    def length(words: str) -> int:
        read.append(words)
        return len(words)

    assert (length("ab"), length("ab")) == (2, 2)
    assert read == ["ab"]

    length.cache_clear()
    assert length("ab") == 2
    assert read == ["ab", "ab"]


def test_a_long_text_is_not_kept_and_not_read_beyond_the_limit() -> None:
    read: list[int] = []

    @cache_texts(8, read=MAX_READ_LENGTH)
    def length(words: str) -> int:
        read.append(len(words))
        return len(words)

    long_text = "a" * (MAX_READ_LENGTH * 5)

    assert [length(long_text), length(long_text)] == [MAX_READ_LENGTH, MAX_READ_LENGTH]
    assert read == [MAX_READ_LENGTH, MAX_READ_LENGTH]
    assert length("a" * (MAX_CACHED_LENGTH + 1)) == MAX_CACHED_LENGTH + 1
