"""Dependency audit of `make lint`: known vulnerabilities of the packages in requirements.lock, by pip-audit.

Exit code 1 when a package has a known vulnerability. Where the vulnerability data cannot be reached, one line says so
and how many packages were audited: the check is then not made, and `make lint` goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.lock"
TIMEOUT_S = 120


def report(dependencies: list[dict[str, object]]) -> tuple[int, list[str]]:
    """The exit code and the lines to print, from the `dependencies` of pip-audit's JSON."""
    audited = [dependency for dependency in dependencies if "skip_reason" not in dependency]
    if not audited:
        reason = f"The vulnerability data cannot be reached (0 of {len(dependencies)} packages)."
        return 0, [f"Dependency audit: NOT made. {reason}"]
    lines = []
    for dependency in audited:
        for vulnerability in dependency["vulns"]:  # type: ignore[attr-defined]
            fixed = ", ".join(vulnerability["fix_versions"]) or "no fixed version yet"
            lines.append(f"{dependency['name']} {dependency['version']}: {vulnerability['id']}, fixed in: {fixed}")
    known = len(lines)
    lines.append(
        f"Dependency audit: {known} known vulnerabilities in {len(audited)} of {len(dependencies)} packages."
        + (" Raise these versions in pyproject.toml and run `make lock`." if known else "")
    )
    return int(bool(known)), lines


def main() -> int:
    """Audit the lock file."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes"),
        *("--format", "json", "--progress-spinner", "off"),
    ]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        dependencies = json.loads(ran.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        print("Dependency audit: NOT made. pip-audit gave no answer: the vulnerability data cannot be reached.")
        return 0
    code, lines = report(dependencies)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
