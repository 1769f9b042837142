"""`onestory publish` against the real service, with the people of Synthea as they were written."""

from __future__ import annotations

import argparse
import itertools
import json
import tarfile
from pathlib import Path

import pytest
from tests.stack import Services

from onestory.client import publish

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "synthea-gb-1092.tar.xz"
MEMBERS = 15


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The first members of the archive, the list of hospitals among them."""
    if not ARCHIVE.exists():
        pytest.skip(f"the shared test data is not here: {ARCHIVE.name}")
    small = tmp_path / "people.tar.gz"
    with tarfile.open(ARCHIVE, "r|xz") as source, tarfile.open(small, "w:gz") as target:
        for member in itertools.islice((member for member in source if member.isfile()), MEMBERS):
            target.addfile(member, source.extractfile(member))
    return small


def test_an_archive_of_people_publishes_whole_and_again(
    services: Services,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    parser = argparse.ArgumentParser()
    publish.add_arguments(parser)
    at = ["--base-url", services.base_url, "--token", services.token("A81001"), "--system", "synthea"]

    for _ in range(2):
        code = publish.run(parser.parse_args([*at, archive.name]))

        printed = capsys.readouterr().out
        assert code == 0, _reasons()
        assert f"{MEMBERS} items" in printed
        assert "nothing refused" in printed


def _reasons() -> list[str]:
    return [json.loads(line)["reason"] for line in publish.REPORT.read_text().splitlines()][:5]
