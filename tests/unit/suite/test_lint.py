"""The dependency audit reports its findings, and says when it could not run."""

from __future__ import annotations

from tests.lint.dependencies import report


def test_a_known_vulnerability_fails_and_names_package_id_and_fixed_version() -> None:
    vulnerability = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}

    code, lines = report(
        [
            {"name": "good", "version": "1.0", "vulns": []},
            {"name": "bad", "version": "1.0", "vulns": [vulnerability]},
            {"name": "unknown", "skip_reason": "not found"},
        ]
    )

    assert code == 1
    assert lines[0] == "bad 1.0: PYSEC-1, fixed in: 1.1, 2.0"
    assert lines[1].startswith("Dependency audit: 1 known vulnerabilities in 2 of 3 packages.")


def test_no_known_vulnerability_passes() -> None:
    code, lines = report([{"name": "good", "version": "1.0", "vulns": []}])

    assert (code, lines) == (0, ["Dependency audit: 0 known vulnerabilities in 1 of 1 packages."])


def test_an_audit_that_could_not_be_made_says_so() -> None:
    code, lines = report([{"name": "one", "skip_reason": "no data"}, {"name": "two", "skip_reason": "no data"}])

    assert (code, len(lines)) == (0, 1)
    assert "NOT made" in lines[0]
    assert "0 of 2 packages" in lines[0]
