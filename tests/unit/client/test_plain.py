"""Text for a terminal holds no control characters."""

from __future__ import annotations

import pytest

from onestory.shared.display import printable_text


@pytest.mark.parametrize("control", ["\x1b[2J", "\x9b2J", "\x07", "\x7f"])
def test_what_a_terminal_would_obey_is_left_out_and_the_rest_is_shown(control: str) -> None:
    assert printable_text(f"Leg{control} ulcer") == f"Leg\ufffd{control[1:]} ulcer"


@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\u200e", "\u061c", "\u206b"])
def test_a_character_that_turns_text_round_is_shown_as_a_mark(control: str) -> None:
    assert printable_text(f"{control}5 mg") == f"[U+{ord(control):04X}]5 mg"


def test_several_lines_become_one() -> None:
    assert printable_text("Leg ulcer\nstat  9990000018\r\n\tCall") == "Leg ulcer stat  9990000018  Call"


@pytest.mark.parametrize("name", ["Zéphyrine O'Brien", "慢性病管理", "میڈیکل سینٹر", "👩\u200d⚕️", "[red]Ulcer[/red]"])
def test_names_of_all_scripts_are_shown_as_they_are(name: str) -> None:
    assert printable_text(name) == name
