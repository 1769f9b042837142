"""`onestory sample` writes files that can be published one after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onestory.__main__ import main
from onestory.sample.main import generate
from onestory.sample.people import TROUBLES


def test_the_files_hold_every_bundle_and_the_manifest_describes_them(tmp_path: Path) -> None:
    assert main(["sample", "--people", "20", "--seed", "5", "--out", str(tmp_path)]) == 0

    lines = [line for path in sorted(tmp_path.glob("*.ndjson")) for line in path.read_bytes().splitlines()]
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert sorted(lines) == sorted(body for _, body in generate(20, 5))
    assert manifest["counts"]["bundles"] == len(lines)
    assert len(manifest["people"]) == 20
    assert all(manifest["cases"][trouble] for trouble in TROUBLES)


def test_the_directory_sorts_first_and_the_demographic_authority_last(tmp_path: Path) -> None:
    main(["sample", "--people", "1", "--out", str(tmp_path)])

    names = sorted(path.name for path in tmp_path.glob("*.ndjson"))
    assert names[0] == "00-directory.ndjson"
    assert names[-1] == "15-X26.ndjson"


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    for people in ("8", "4"):
        main(["sample", "--people", people, "--out", str(tmp_path)])

    assert len(json.loads((tmp_path / "manifest.json").read_bytes())["people"]) == 4


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    assert main(["sample", "--people", "1", "--out", str(tmp_path)]) == 1

    assert "notes.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_population_without_people_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--people", "0", "--out", str(tmp_path)]) == 1

    assert "--people" in capsys.readouterr().err
