"""The reference pages equal the pages that are generated from the code."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from docs.reference.generate import (
    FOLDER,
    INTERNAL_VARIABLES,
    OTHER_VARIABLES,
    PAGES,
    metrics,
    openapi,
    render_cli,
)

from onestory.__main__ import COMMANDS
from onestory.shared.setting_help import SettingHelp
from onestory.shared.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(rf'["\']{PREFIX}([A-Z][A-Z_]*)["\']')


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "Run `python docs/reference/generate.py`."


def test_every_page_of_the_folder_is_generated_and_listed() -> None:
    index = (FOLDER / "index.md").read_text()

    assert {path.name for path in FOLDER.glob("*.md")} == {*PAGES, "index.md"}
    assert [name for name in PAGES if f"({name})" not in index] == []


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_a_setting_carries_a_help_text_of_its_own(name: str) -> None:
    helps: dict[str, SettingHelp] = {each.name: each.metadata["help"] for each in fields(Settings)}

    assert all(helps[name])
    assert [other for other, text in helps.items() if other != name and text.effect == helps[name].effect] == []


def test_every_variable_that_the_code_reads_is_explained() -> None:
    texts = [path.read_text() for folder in ("services", "tests") for path in (ROOT / folder).rglob("*.py")]
    named = {name for text in texts for name in _VARIABLE.findall(text)}

    known = {each.name.upper() for each in fields(Settings)} | OTHER_VARIABLES.keys() | INTERNAL_VARIABLES
    assert OTHER_VARIABLES.keys() | INTERNAL_VARIABLES <= named
    unexplained = {name for name in named - known if not any(each.startswith(f"{name}_") for each in known)}
    assert sorted(unexplained) == []


def test_every_metric_of_the_code_is_found() -> None:
    texts = [path.read_text() for path in (ROOT / "services").rglob("*.py")]
    created = {name for text in texts for name in re.findall(r'\(\s*"(onestory_[a-z_]+)",', text)}

    assert {each.name.removesuffix("_total") for each in metrics()} == created
    assert all(each.help for each in metrics())


def test_a_metric_means_the_same_wherever_it_is_created() -> None:
    meanings = {(each.name, each.kind, each.labels, each.help) for each in metrics()}

    assert [name for name, count in Counter(name for name, *_ in meanings).items() if count > 1] == []


def test_every_command_and_every_route_is_described() -> None:
    page = render_cli()

    assert [name for name in COMMANDS if f"## onestory {name}\n" not in page] == []
    described = openapi()["paths"]
    assert {
        "/fhir",
        "/fhir/Task/{id}/$accept",
        "/worklists/mine",
        "/$process-message",
        "/health/live",
    } <= described.keys()


def test_the_pages_do_not_depend_on_the_terminal_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "20")
    monkeypatch.setitem(os.environ, f"{PREFIX}PORT", "1")

    assert PAGES["cli.md"]() == (FOLDER / "cli.md").read_text()
    assert PAGES["settings.md"]() == (FOLDER / "settings.md").read_text()
