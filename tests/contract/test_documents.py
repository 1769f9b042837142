"""The documents: every link and every named test exists, every page can be reached, and the language rules hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *PAGES]
TEMPLATE = ROOT / "docs" / "safety" / "template.md"
PARTS = ("tutorial", "guides", "reference", "explanation")
MOST_WORDS = 600
GENERATED = "Generated "

_LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(")
_TEST = re.compile(r"`(tests/[\w/.-]+)`")
_MODULE = re.compile(r"\b(services/onestory(?:/\w+)*(?:\.\w+)?)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"(?:^|[.:!?]\s+|\|\s+|^[-*\d.]+\s+)(Of|Whom|What|Who|Nobody|That)\s", re.MULTILINE)
_MADE_BY_HAND = [path for path in DOCUMENTS if GENERATED not in path.read_text()[:300] and path != TEMPLATE]


def links(document: Path) -> list[tuple[Path, str]]:
    """The pages that a document links to, each with the anchor there."""
    found = [link.partition("#") for link in _LINK.findall(document.read_text())]
    return [((document.parent / path).resolve() if path else document, anchor) for path, _, anchor in found]


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def reachable(start: Path) -> set[Path]:
    """The pages that can be reached by links from this one."""
    found, ahead = {start}, [start]
    while ahead:
        page = ahead.pop()
        for target, _ in links(page):
            if target.suffix == ".md" and target.exists() and target not in found:
                found.add(target)
                ahead.append(target)
    return found


def forbidden_beginnings(text: str) -> list[str]:
    """Sentences that begin with a forbidden word, each with the end of the sentence before."""
    return [" ".join(match.group(0).split()) for match in _SENTENCE.finditer(_FENCED.sub("", text))]


def missing_modules(text: str) -> list[str]:
    """Modules and folders of the code that a text names but that do not exist."""
    named = {each.rstrip("/") for each in _MODULE.findall(text)}
    return sorted(each for each in named if not (ROOT / each).exists())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_every_named_test_leads_somewhere(document: Path) -> None:
    missing = [f"{path}#{anchor}" for path, anchor in links(document) if not path.exists()]
    missing += [
        f"{path}#{anchor}"
        for path, anchor in links(document)
        if anchor and path.suffix == ".md" and path.exists() and anchor not in anchors(path)
    ]
    missing += [named for named in _TEST.findall(document.read_text()) if not (ROOT / named).exists()]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_names_a_module_that_does_not_exist(document: Path) -> None:
    assert missing_modules(document.read_text()) == []


@pytest.mark.parametrize("document", _MADE_BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_is_a_riddle(document: Path) -> None:
    assert forbidden_beginnings(document.read_text()) == []


def test_every_page_is_reached_from_an_index() -> None:
    found = reachable(ROOT / "docs" / "index.md")

    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in found and page != TEMPLATE] == []
    assert ROOT / "docs" / "index.md" in PAGES
    for part in PARTS:
        assert ROOT / "docs" / part / "index.md" in found


def test_the_readme_is_read_in_a_minute() -> None:
    text = README.read_text()

    assert len(text.split()) <= MOST_WORDS
    assert len(_PICTURE.findall(text)) == 1


def test_the_promises_name_tests() -> None:
    assert len(_TEST.findall(README.read_text())) >= 7
    assert len(_TEST.findall((ROOT / "docs" / "explanation" / "promises.md").read_text())) >= 20


# Tests of these tests.


def test_a_riddle_and_a_missing_module_are_found() -> None:
    assert forbidden_beginnings("It ends. Nobody knows.\n") == [". Nobody"]
    assert forbidden_beginnings("- Who may act\n") == ["- Who"]
    assert forbidden_beginnings("It says that. What matters:\n```sh\nWho am I\n```\n") == [". What"]
    assert missing_modules("See `services/onestory/nowhere/api.py` and `services/onestory/serve.py`.") == [
        "services/onestory/nowhere/api.py"
    ]


def test_an_anchor_is_made_as_github_makes_it() -> None:
    assert "onestory-parked-replay" in anchors(ROOT / "docs" / "reference" / "cli.md")
