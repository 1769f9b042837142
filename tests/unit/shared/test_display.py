"""Text of sources keeps its order on a page: invisible controls become marks, and right-to-left text is isolated."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from onestory.record.summary.narrative import own_words, text
from onestory.shared.display import isolate_right_to_left, visible_controls

ARABIC = "\u062f\u0648\u0627\u0621"
HEBREW = "\u05ea\u05e8\u05d5\u05e4\u05d4"
# Classes of Unicode Standard Annex 9 whose characters change the direction of other text.
_EXPLICIT = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS = {"\u200e", "\u200f", "\u061c"}
CONTROLS = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if character in _MARKS or unicodedata.bidirectional(character) in _EXPLICIT
]


@pytest.mark.parametrize("control", [*CONTROLS, "\u206a", "\u206f"])
def test_no_control_of_direction_reaches_a_page(control: str) -> None:
    mark = f"[U+{ord(control):04X}]"

    assert len(CONTROLS) == 12
    assert visible_controls(f"{control}120 / 80") == f"{mark}120 / 80"
    assert text(f"{control}2.5 - 10 mg") == f"{mark}2.5 - 10 mg"
    assert own_words(f"give {control}1") == f'<div dir="auto"><p>give {mark}1</p></div>'


@pytest.mark.parametrize("separator", ["\u2028", "\u2029"])
def test_a_separator_of_paragraphs_is_not_shown(separator: str) -> None:
    assert text(f"1{separator}2") == "1\ufffd2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Ramipril 2.5 mg", "Ramipril 2.5 mg"),
        (f"{ARABIC} 2.5 - 10 mg", f'<span dir="rtl">{ARABIC}</span> 2.5 - 10 mg'),
        (f"5 mg {HEBREW}, 3", f'5 mg <span dir="rtl">{HEBREW}</span>, 3'),
        (
            f"{HEBREW} 1 {HEBREW} x {ARABIC}",
            f'<span dir="rtl">{HEBREW} 1 {HEBREW}</span> x <span dir="rtl">{ARABIC}</span>',
        ),
        (f"{ARABIC} 10 {ARABIC} 5", f'<span dir="rtl">{ARABIC} 10 {ARABIC} 5</span>'),
        (f"<b>{HEBREW}</b> & 5 mg", f'&lt;b&gt;<span dir="rtl">{HEBREW}</span>&lt;/b&gt; &amp; 5 mg'),
        (f"{HEBREW} < 5", f'<span dir="rtl">{HEBREW} &lt; 5</span>'),
    ],
)
def test_right_to_left_text_moves_no_number_beside_it(value: str, shown: str) -> None:
    assert text(value) == shown


def test_a_persons_own_words_keep_the_direction_of_their_script() -> None:
    assert own_words(f"{ARABIC} 5 mg") == f'<div dir="auto"><p>{ARABIC} 5 mg</p></div>'


def test_the_pieces_of_a_text_are_the_whole_text() -> None:
    value = f"a {ARABIC} 1 {HEBREW} b{HEBREW}"

    assert isolate_right_to_left(value, str, str) == value


def test_every_script_that_is_written_from_right_to_left_is_recognised() -> None:
    letters = [
        letter
        for letter in map(chr, range(sys.maxunicode + 1))
        if unicodedata.bidirectional(letter) in ("R", "AL") and unicodedata.category(letter) != "Cn"
    ]

    unseen = [
        f"U+{ord(letter):04X}"
        for letter in letters
        if "span" not in text(f"{letter} 5 mg") and "[U+" not in text(letter)
    ]
    assert not unseen
