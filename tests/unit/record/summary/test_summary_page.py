"""The page shows the document, names the person on each sheet, and folds evidence."""

import contextlib
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.clinical_cases import case, needs_clinical_cases
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, known, said

from onestory.record.merge.model import Statement
from onestory.record.summary.dates import clock, shown
from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text
from onestory.record.summary.page import summary_page
from onestory.shared.fhir.dates import parse_instant

CHROMIUM = shutil.which("chromium")
ASTHMA = said("Condition", "asthma", code={"text": "Asthma"})


def page(*statements: Statement, **more: Any) -> str:
    return summary_page(summarise(known(*statements, **more), NOW).document).decode()


def test_the_title_and_the_head_of_each_sheet_name_the_person() -> None:
    written = page(ASTHMA)

    assert "<title>Amina Okafor, NHS number 999 000 0018: patient summary</title>" in written
    assert '@top-left{content:"Amina Okafor\\00002C  NHS number 999 000 0018"' in written
    assert 'counter(page) " of " counter(pages)' in written


def test_each_sheet_says_its_moment() -> None:
    assert '@bottom-left{content:"As of 22 Nov 2026' in page(ASTHMA)


def test_an_empty_section_says_whom_to_ask() -> None:
    written = page(ASTHMA)

    assert "No current medicines received. Ask the person and check the GP record." in written
    assert "No allergies received. Ask the person and check the GP record." in written
    assert "No current problems received." in page()


def test_no_name_ends_the_style_of_the_page() -> None:
    named = {"resourceType": "Patient", "id": "x", "name": [{"family": '"}</style><script>alert(1)</script>'}]}
    written = page(patient=named)

    assert written.count("</style>") == 1
    assert "<script" not in written
    assert "\\000022 \\00007D \\00003C" in written


def test_evidence_is_folded_on_the_page_and_not_in_the_document() -> None:
    known_twice = known(
        said("Condition", "one", GP, code={"text": "Asthma"}),
        said("Condition", "two", HOSPITAL, code={"text": "Asthma"}),
        said(
            "Linkage",
            "same",
            HOSPITAL,
            active=True,
            item=[
                {"type": "source", "resource": {"reference": f"Condition/{each.shared_id}"}}
                for each in (said("Condition", "one", GP), said("Condition", "two", HOSPITAL))
            ],
        ),
    )
    document = summarise(known_twice, NOW).document
    written = summary_page(document).decode()

    assert b"<details" not in document
    assert '<details class="evidence"><summary>Why one line</summary>A clinician of' in written


def test_words_are_never_broken_in_the_middle() -> None:
    assert "anywhere" not in page(ASTHMA)
    assert "overflow-wrap:break-word" in page(ASTHMA)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-06-30T23:30:00Z", "1 Jul 2026, 00:30"),
        ("2026-12-31T23:30:00Z", "31 Dec 2026, 23:30"),
        ("2026-07-01T01:30:00+02:00", "1 Jul 2026, 00:30"),
        ("2026-06-30T23:30:00", "30 Jun 2026, 23:30"),
        ("2026-06-30", "30 Jun 2026"),
        ("2026-06", "Jun 2026"),
    ],
)
def test_a_time_is_by_the_clock_of_the_uk(written: str, read: str) -> None:
    assert shown(written) == read


def test_a_moment_of_the_page_is_by_the_clock_of_the_uk() -> None:
    assert clock(parse_instant("2026-06-30T23:30:00Z")) == "1 Jul 2026, 00:30"


@needs_clinical_cases
@pytest.mark.skipif(CHROMIUM is None, reason="chromium, which prints the page, is not installed")
def test_two_sheets_hold_the_whole_page_of_a_day_with_everything(tmp_path: Path) -> None:
    person = case("106")[0]
    written = summary_page(summarise(person.known(), person.at).document).decode()
    for part in ("Sertraline", "Ramipril", "Alzheimer", "ReSPECT", "Care and support plan", "Creatinine", "X26"):
        assert part in written
    assert _sheets(written, tmp_path) <= 2
    assert _scale(tmp_path) == 1


def test_nothing_on_paper_is_smaller_than_ten_points() -> None:
    paper = page(ASTHMA).partition("@media print")[2]

    assert min(float(size) for size in re.findall(r"([\d.]+)pt(?=/|;|\}| Arial)", "".join(_fonts(paper)))) >= 10


def _fonts(style: str) -> list[str]:
    return [f"{each};" for each in re.findall(r"font(?:-size)?:([^;}]*)", style)]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium, which prints the page, is not installed")
def test_wide_content_does_not_make_the_print_smaller(tmp_path: Path) -> None:
    """Chromium shrinks a whole print if one table is wider than the sheet."""
    word = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3
    value = {"value": 1200.5, "unit": "micrograms/mL"}
    results = [
        said("Observation", f"r{month}", code={"text": "Thrombocytopoietin"}, effectiveDateTime=f"2026-{month:02}-01",
             valueQuantity=value)
        for month in range(7, 12)
    ]  # fmt: skip
    written = page(*results, said("Condition", "long", code={"text": f"{word} {word}"}))

    assert word in plain_text(written)
    assert _sheets(written, tmp_path) == 1
    assert _scale(tmp_path) == 1


def _scale(folder: Path) -> float:
    """How large the print is: 1 is the size that the style asks for."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", (folder / "page.pdf").read_bytes(), re.S):
        with contextlib.suppress(zlib.error):
            found += re.findall(rb"cm\nq\n([\d.]+) 0 0 \1 ", zlib.decompress(stream)[:200])
    return min(map(float, found)) / 3.125


def _sheets(written: str, folder: Path) -> int:
    (folder / "page.html").write_text(written)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/u"]
    target = f"--print-to-pdf={folder}/page.pdf"
    subprocess.run([str(CHROMIUM), *options, target, f"file://{folder}/page.html"], check=True, capture_output=True)
    return len(re.findall(rb"/Type\s*/Page\b", (folder / "page.pdf").read_bytes()))
