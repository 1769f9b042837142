"""A process does not start with clinical data that nobody has reviewed, unless a setting accepts each file by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.record.summary.written import GP, NOW, known

from onestory.local.state import Stack
from onestory.local.up import deployment_settings
from onestory.record import clinical_data, review
from onestory.record.clinical_data import unreviewed_files
from onestory.record.freshness.domain import Freshness
from onestory.record.review import require_review
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.sections import notices
from onestory.record.summary.sections.notices import review_remark
from onestory.shared import settings
from onestory.shared.errors import Misconfigured

SERVE = {"ONESTORY_KEY_SECRET": "x" * 32, "ONESTORY_OIDC_ISSUER": "http://x", "ONESTORY_OIDC_JWKS_URL": "http://x"}
POSTGRES = "postgresql://postgres@127.0.0.1:5432/onestory"
STACK = Stack("/x", "http://x", "127.0.0.1:9092", "127.0.0.1:9093", POSTGRES, "http://x", {})


def test_a_start_is_refused_and_the_error_names_the_files_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "unreviewed_files", lambda: ("merge/allergens", "summary/codes"))

    with pytest.raises(Misconfigured) as refused:
        require_review({"merge/allergens"})

    assert str(refused.value) == (
        "No clinician has reviewed schemas/summary/codes.yaml. Have a named clinician review each file and set its "
        "`status` to `reviewed` and its `owner` to the clinician's name. To start without a review, accept the files "
        "by name: ONESTORY_ACCEPT_UNREVIEWED=merge/allergens,summary/codes"
    )


def test_files_that_are_accepted_by_name_or_reviewed_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    require_review(unreviewed_files())
    monkeypatch.setattr(review, "unreviewed_files", lambda: ())
    require_review(())


@pytest.mark.parametrize("command", [["serve"], ["serve", "record"], ["summarise", "record"]])
def test_processes_that_show_records_refuse_to_start(command: list[str]) -> None:
    onestory = [sys.executable, "-m", "onestory", *command]

    ended = subprocess.run(onestory, env=SERVE, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"onestory {command[0]}: No clinician has reviewed schemas/merge/allergens.yaml")


def test_a_page_says_that_its_rules_have_no_review(monkeypatch: pytest.MonkeyPatch) -> None:
    remark = "<p>The rules that made this page have not been reviewed by a clinician.</p>"

    section = notices.source_freshness(SummaryRecord(known(freshness=[Freshness(GP, "system", NOW, NOW)]), NOW))
    assert section
    assert remark in section.body

    monkeypatch.setattr(notices, "unreviewed_files", lambda: ())
    assert review_remark.__wrapped__() == ""


def test_the_embedded_stack_accepts_every_file_by_name(tmp_path: Path) -> None:
    environment = deployment_settings(tmp_path, STACK)

    assert settings.read(environment).accept_unreviewed == unreviewed_files()


def test_a_file_with_a_fault_stops_the_start_and_not_the_first_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty() -> None:
        raise Misconfigured("schemas/merge/sample.yaml cannot be used: KeyError('codes').")

    monkeypatch.setattr(clinical_data, "_TABLES", [faulty])

    with pytest.raises(Misconfigured, match="sample"):
        require_review(unreviewed_files())


def test_every_table_of_clinical_data_is_read_at_the_start() -> None:
    record = Path(clinical_data.__file__).parent
    texts = {str(path): path.read_text() for path in record.rglob("*.py")}
    late = [
        name
        for name, text in texts.items()
        if re.search(r"@cache\ndef \w+\(\)[^\n]*:\n(?:.+\n)*?.*read_clinical_data\(", text)
    ]

    assert len(clinical_data._TABLES) > 20
    assert late == []
