"""The narrative of a source is read as text, whatever it contains and however much of its markup is broken."""

from __future__ import annotations

import pytest

from onestory.record.summary.narrative import plain_text


def test_scripts_styles_and_comments_are_no_text() -> None:
    assert plain_text(
        "<p>one<SCRIPT>alert(1)</script >two<style>p{}</style>three<!-- <p>four</p> -->five</p>"
    ).split() == [
        "one",
        "two",
        "three",
        "five",
    ]


@pytest.mark.parametrize("begin", ["<script>", "<style>", "<!--"])
def test_what_is_never_closed_is_text_because_it_may_matter(begin: str) -> None:
    assert "No penicillin" in plain_text(f"<p>Allergies</p>{begin}No penicillin")


@pytest.mark.parametrize(
    "piece", ["<", "<a", "<script ", "<script>", "<style", "<!-- ", "</script ", "<script></style>"]
)
def test_a_long_and_broken_narrative_is_read_once_and_not_again_from_each_of_its_pieces(piece: str) -> None:
    # A search for an end from each piece would take days.
    assert plain_text(f"<p>Before</p>{piece * 500_000}").startswith("Before")
    assert "Before" in plain_text(f"Before<{piece.strip(chr(60)) * 500_000}")
