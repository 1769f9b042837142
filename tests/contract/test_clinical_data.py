"""The clinical data files say who has reviewed them, and nothing claims a review that nobody made."""

from __future__ import annotations

from pathlib import Path

import pytest

from onestory.record import clinical_data
from onestory.record.clinical_data import read_clinical_data, unreviewed_files
from onestory.shared.errors import Misconfigured

SCHEMAS = Path(__file__).parents[2] / "schemas"
NAMES = [f"{folder}/{path.stem}" for folder in clinical_data.FOLDERS for path in sorted((SCHEMAS / folder).iterdir())]


def written(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "merge").mkdir()
    (folder / "merge" / "sample.yaml").write_text(text)
    monkeypatch.setattr(clinical_data, "schemas_folder", lambda: folder)


def test_every_file_has_content_and_none_claims_a_review() -> None:
    assert len(NAMES) > 9
    assert all(read_clinical_data(name) for name in NAMES)
    assert sorted(unreviewed_files()) == sorted(NAMES)


def test_a_file_that_a_named_clinician_has_signed_is_reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "status: reviewed\nowner: Dr A. Nwosu, clinical safety officer\ncontent: [1]\n", monkeypatch)

    assert read_clinical_data("merge/sample") == [1]
    assert unreviewed_files() == ()


@pytest.mark.parametrize(
    "text",
    [
        "status: reviewed\nowner: ''\ncontent: [1]\n",
        "status: not reviewed\nowner: Dr A. Nwosu\ncontent: [1]\n",
        "status: draft\nowner: ''\ncontent: [1]\n",
        "owner: ''\ncontent: [1]\n",
        "- 1\n",
    ],
)
def test_a_file_whose_review_is_unclear_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    written(tmp_path, text, monkeypatch)

    with pytest.raises(Misconfigured, match=r"schemas/merge/sample\.yaml"):
        read_clinical_data("merge/sample")
