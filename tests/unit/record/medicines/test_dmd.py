"""A loaded dm+d release: codes without words name medicines, and replaced identifiers join."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.clinical_cases import people_of, shown
from tests.unit.record.medicines import release as sample

from onestory.__main__ import main
from onestory.record.medicines import dmd, names, products
from onestory.record.medicines.dmd_xml import read_folder_or_zip
from onestory.record.medicines.names import Strength, present_code
from onestory.record.medicines.products import product_of, product_of_code, read_product
from onestory.record.merge.engine import merge
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.wording import name_of
from onestory.shared.errors import Misconfigured

AT = datetime(2026, 11, 28, 9, tzinfo=UTC)


def forget() -> None:
    for cached in (dmd.loaded_release, names.lexicon, products.product_of, products.product_of_code):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that ONESTORY_DMD names."""
    place = tmp_path / "loaded"
    monkeypatch.setenv("ONESTORY_DMD", str(place))
    forget()
    yield place
    forget()


@pytest.fixture
def loaded(folder: Path, tmp_path: Path) -> Path:
    """The folder with a release."""
    assert main(["admin", "medicines", "load", str(sample.write_release(tmp_path / "release"))]) == 0
    return folder


def entry(number: int, source: str, code: str, words: str = "", **more: Any) -> Statement:
    concept = {"coding": [{"system": "http://snomed.info/sct", "code": code}]} if code else {}
    content = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {**concept, **({"text": words} if words else {})},
        "authoredOn": "2026-06-01",
        **more,
    }
    return Statement(f"s{number}", "MedicationRequest", source, "main", UUID(int=number), AT, AT, content)


def merged(*statements: Statement) -> tuple[Fact, ...]:
    return merge(statements, merge_rules()).facts


def conflicts(*statements: Statement) -> list[list[str]]:
    return [[each.kind for each in fact.conflicts if not each.is_hint] for fact in merged(*statements)]


@pytest.mark.usefixtures("loaded")
def test_a_product_of_one_source_known_by_its_amp_code_alone_meets_the_stop_of_its_vtm_at_another() -> None:
    repeat = entry(1, "A81001", sample.AMP)
    stop = entry(2, "RZ3", sample.VTM, status="stopped", authoredOn="2026-11-20")

    assert conflicts(repeat, stop) == [["status"]] * 2


def test_without_a_release_codes_without_words_are_not_compared() -> None:
    forget()
    stop = entry(2, "RZ3", sample.VTM, status="stopped", authoredOn="2026-11-20")

    assert conflicts(entry(1, "A81001", sample.AMP), stop) == [[], []]


@pytest.mark.usefixtures("loaded")
def test_a_code_without_words_meets_the_words_of_another_source_without_a_code() -> None:
    stop = entry(2, "RZ3", "", "Tritace", status="stopped", authoredOn="2026-11-20")
    new = entry(2, "RZ3", "", "NEWSUBSTANCE 40mg/5ml", status="stopped", authoredOn="2026-11-20")

    assert conflicts(entry(1, "A81001", sample.BRAND), stop) == [["status"]] * 2
    assert conflicts(entry(1, "A81001", sample.NEW_AMP), new) == [["status"]] * 2


@pytest.mark.usefixtures("loaded")
def test_one_product_under_its_old_and_its_new_identifier_is_one_fact() -> None:
    facts = merged(entry(1, "A81001", sample.OLD_VMP), entry(2, "RZ3", sample.VMP))
    two = merged(entry(1, "A81001", sample.OTHER_VMP), entry(2, "RZ3", sample.VMP))

    assert len(facts) == 1
    assert len(two) == 2
    assert present_code(("http://snomed.info/sct", sample.OLD_VTM)) == ("http://snomed.info/sct", sample.VTM)
    assert present_code(("http://other", sample.OLD_VTM)) == ("http://other", sample.OLD_VTM)


@pytest.mark.usefixtures("loaded")
def test_a_code_gives_ingredient_strength_form_and_brand() -> None:
    generic, brand, new = map(product_of_code, (sample.OLD_VMP, sample.BRAND, sample.NEW_AMP))

    assert (generic.key, generic.strengths, generic.form) == ("ramipril", (Strength("mass", 5000, "count"),), "oral")
    assert (generic.brand, product_of_code(sample.AMP).brand, brand.brand) == ("", "", "heartwell")
    assert (new.key, new.strengths, new.form) == ("newsubstance", (Strength("mass", 8000, "volume"),), "oral")
    assert not product_of_code("12345678").known
    assert not product_of_code("²").known


@pytest.mark.usefixtures("loaded")
def test_a_pack_names_its_product_and_meets_the_stop_of_its_substance() -> None:
    virtual, brand = map(product_of_code, (sample.VIRTUAL_PACK, sample.BRAND_PACK))
    stop = entry(2, "RZ3", sample.VTM, status="stopped", authoredOn="2026-11-20")

    assert (virtual.key, virtual.strengths, brand.brand) == (
        "ramipril",
        (Strength("mass", 5000, "count"),),
        "heartwell",
    )
    assert conflicts(entry(1, "FA123", sample.BRAND_PACK), stop) == [["status"]] * 2
    assert name_of(entry(1, "FA123", sample.BRAND_PACK).content).startswith("Ramipril 5mg capsules, brand Heartwell")


def test_a_release_without_packs_is_read(tmp_path: Path) -> None:
    place = sample.write_release(tmp_path / "release")
    for each in (*place.glob("f_vmpp2*"), *place.glob("f_ampp2*")):
        each.unlink()

    assert read_folder_or_zip(place).packs == {}


@pytest.mark.usefixtures("loaded")
def test_the_words_count_where_they_name_another_medicine_than_the_code() -> None:
    assert read_product(["Amlodipine 5mg tablets"], [sample.VMP]).key == "amlodipine"
    assert read_product(["Ramipril 2.5mg"], [sample.VMP]).strengths == (Strength("mass", 2500, "count"),)
    assert read_product(["Ramipril"], [sample.VMP]).strengths == (Strength("mass", 5000, "count"),)
    assert not read_product([], [sample.VMP, sample.NEW_VMP]).known


@pytest.mark.usefixtures("loaded")
def test_the_names_of_a_release_add_to_those_of_the_lexicon_and_change_none() -> None:
    assert product_of("Newsubstance 5mg tablets").known
    assert product_of("Tritace 5mg capsules").key == "ramipril"


@pytest.mark.usefixtures("loaded")
def test_doses_in_pieces_and_in_milligrams_are_compared_by_the_strength_of_the_code() -> None:
    pieces = entry(1, "A81001", sample.VMP, dosageInstruction=[{"text": "ONE capsule each morning"}])
    same = entry(2, "RZ3", sample.VTM, dosageInstruction=[{"text": "5mg OM"}])
    other = entry(2, "RZ3", sample.VTM, dosageInstruction=[{"text": "10mg OM"}])

    assert conflicts(pieces, same) == [[], []]
    assert conflicts(pieces, other) == [["dose"]] * 2


def test_a_release_in_a_zip_is_read_as_in_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        for name, xml in sample.release_files().items():
            archive.writestr(f"inner/{name}", xml)
        archive.writestr("inner/f_gtin2_3091126.xml", "not read")

    release = read_folder_or_zip(tmp_path / "release.zip")
    assert release.date == "2026-11-09"
    assert release.virtual == read_folder_or_zip(sample.write_release(tmp_path / "folder")).virtual
    assert (len(release.moieties), len(release.virtual), len(release.actual)) == (2, 3, 3)


def test_an_identifier_that_is_still_in_use_or_that_two_products_replace_joins_nothing(tmp_path: Path) -> None:
    vtms = [
        {"VTMID": "11", "NM": "One", "VTMIDPREV": "12"},
        {"VTMID": "12", "NM": "Two", "VTMIDPREV": "13"},
        {"VTMID": "14", "NM": "Three", "VTMIDPREV": "13"},
    ]
    release = read_folder_or_zip(sample.write_release(tmp_path / "r", vtm=sample.table("V", "VTM", vtms)))

    assert release.previous == {int(sample.OLD_VMP): int(sample.VMP)}


BILLION = '<!DOCTYPE a [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><V><VTM><VTMID>1</VTMID><NM>&b;</NM></VTM></V>'
AMP_OF_ANOTHER = "<A><AMPS><AMP><APID>1</APID><VPID>9</VPID><NM>X</NM></AMP></AMPS></A>"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vtm": BILLION}, "f_vtm2_3091126.xml, line 1: it declares a document type"),
        ({"vtm": "<V><VTM>"}, "the XML is broken"),
        ({"vtm": "<V/>"}, "it has no VTM"),
        ({"vtm": "<V><VTM><VTMID>1</VTMID></VTM></V>"}, "VTM has no NM"),
        ({"vtm": "<V><VTM><VTMID>x</VTMID><NM>X</NM></VTM></V>"}, "VTM has no VTMID that is an identifier"),
        ({"vtm": f"<V><VTM><VTMID>1</VTMID><NM>{'x' * 30_000}</NM></VTM></V>"}, "NM is longer than 20000 letters"),
        ({"vmp": sample.table("VMPS", "VMP", sample.VMPS)}, "it has no VPI and no DFORM and no DROUTE"),
        ({"amp": AMP_OF_ANOTHER}, "1 of 1 AMPs name a VMP that the release lacks"),
    ],
)
def test_a_broken_release_is_refused_with_its_file_and_element(
    changed: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_folder_or_zip(sample.write_release(tmp_path / "release", **changed))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "f_amp2_3091126.xml").unlink(), "has no f_amp2_….xml"),
        (lambda folder: (folder / "f_amp2_3161126.xml").write_text(""), "has several files of amp"),
        (
            lambda folder: (folder / "f_amp2_3091126.xml").rename(folder / "f_amp2_3161126.xml"),
            "The files are of several releases",
        ),
    ],
)
def test_a_folder_without_one_whole_release_is_refused(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    spoil(sample.write_release(tmp_path / "release"))

    with pytest.raises(Misconfigured, match=message):
        read_folder_or_zip(tmp_path / "release")


def test_something_else_than_a_folder_or_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")

    for path, message in (("text.zip", "is no ZIP that can be read"), ("absent", "does not exist")):
        with pytest.raises(Misconfigured, match=message):
            read_folder_or_zip(tmp_path / path)


def test_a_failed_load_leaves_the_release_that_is_there(
    loaded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (loaded / dmd.FILE).read_bytes()

    assert main(["admin", "medicines", "load", str(sample.write_release(tmp_path / "bad", vtm="<V/>"))]) == 1
    assert "it has no VTM" in capsys.readouterr().err
    assert (loaded / dmd.FILE).read_bytes() == before
    assert [each.name for each in loaded.iterdir()] == [dmd.FILE]


@pytest.mark.usefixtures("loaded")
def test_show_says_what_was_loaded_and_what_a_code_is(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["admin", "medicines", "show"]) == 0
    shown = capsys.readouterr().out
    assert "dm+d release of 2026-11-09, by the names of its files" in shown
    assert "2 VTMs, 3 VMPs, 3 AMPs, 2 packs, 2 replaced identifiers" in shown

    assert main(["admin", "medicines", "show", sample.OLD_VMP]) == 0
    assert capsys.readouterr().out.startswith(f"replaced by {sample.VMP}: VMP Ramipril 5mg capsules, VTM Ramipril")
    assert main(["admin", "medicines", "show", "99"]) == 1


def test_a_setting_without_a_release_and_a_broken_file_are_named(folder: Path) -> None:
    with pytest.raises(Misconfigured, match=r"has no dmd\.msgpack"):
        dmd.loaded_release()
    folder.mkdir()
    (folder / dmd.FILE).write_bytes(b"broken")
    with pytest.raises(Misconfigured, match="Load the release again"):
        dmd.loaded_release()


def test_the_command_needs_the_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ONESTORY_DMD", raising=False)

    assert main(["admin", "medicines", "show"]) == 1
    assert "ONESTORY_DMD is not set" in capsys.readouterr().err


@pytest.mark.usefixtures("loaded")
def test_a_medicine_without_words_is_named_by_its_code_and_the_page_says_so() -> None:
    def concept(code: str, **words: str) -> dict[str, Any]:
        return {"medicationCodeableConcept": {"coding": [{"code": code}], **words}}

    assert (
        name_of(concept(sample.BRAND)) == f"Ramipril 5mg capsules, brand Heartwell (by its code {sample.BRAND} in dm+d)"
    )
    assert name_of(concept(sample.NEW_VMP)) == (
        f"Generic Newbrand (Newsubstance) (by its code {sample.NEW_VMP} in dm+d)"
    )
    assert name_of(concept(sample.BRAND, text="My tablets")) == "My tablets"
    assert name_of(concept("99")) == "Medicine not named by its source: code 99"


@pytest.mark.usefixtures("loaded")
def test_words_that_name_another_medicine_than_the_code_are_remarked_without_a_display() -> None:
    concept = {
        "text": "Amlodipine 5mg tablets",
        "coding": [{"system": "http://snomed.info/sct", "code": sample.NEW_VMP}],
    }
    section = shown_medicines({"A81001": {"status": "active", "medicationCodeableConcept": concept}})["Medicines"]

    assert "The code says “Generic Newbrand (Newsubstance)”, the words say “Amlodipine 5mg tablets”" in section


@pytest.mark.usefixtures("loaded")
def test_a_supply_after_a_stop_is_told_first_with_its_day() -> None:
    summary = shown_medicines(
        {
            "RZ3": {
                "status": "stopped",
                "medicationCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": sample.VTM}]},
                "dispenseRequest": {"validityPeriod": {"end": "2026-11-20"}},
            },
            "FA001": {
                "resourceType": "MedicationDispense",
                "status": "completed",
                "medicationCodeableConcept": {"text": "Ramipril 5mg capsules"},
                "whenHandedOver": "2026-11-25",
            },
        }
    )

    assert "Handed over after that, 25 Nov 2026, by FA001." in summary["Please note"]
    assert "ENDED" not in summary["Please note"]


def shown_medicines(by_source: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The summary of a person of whom each source states one medicine."""
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9999999999"}],
    }
    steps = []
    for source, stated in by_source.items():
        medicine = {
            "resourceType": "MedicationRequest",
            "id": "m",
            "subject": {"reference": "Patient/p"},
            **({} if "resourceType" in stated else {"intent": "order"}),
            **stated,
        }
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in (patient, medicine)
        ]
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        steps.append({"org": source, "system": "main", "body": body})
    (person,) = people_of(steps)
    return shown(person)
