"""Secrets scan of `make lint`: passwords, tokens and private keys in tracked files, by detect-secrets.

Exit code 1 when a line looks like a secret. A line that is none ends with `# pragma: allowlist secret`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Hashes of packages and the FHIR definitions hold long random-looking strings, and nothing else.
NOT_SCANNED = r"(requirements\.lock|schemas/fhir/elements\.json)$"
# Without them every id and every hash in a test is reported.
NOISY = ("Base64HighEntropyString", "HexHighEntropyString")


def main() -> int:
    """Scan what git tracks."""
    disabled = [argument for plugin in NOISY for argument in ("--disable-plugin", plugin)]
    command = [sys.executable, "-m", "detect_secrets", "scan", "--exclude-files", NOT_SCANNED, *disabled]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = [
        f"{name}:{secret['line_number']}: {secret['type']}"
        for name, secrets in json.loads(ran.stdout)["results"].items()
        for secret in secrets
    ]
    print("\n".join([*found, f"Secrets scan: {len(found)} lines look like a secret."]))
    if found:
        print("Remove the secret, and replace it where it is used. If a line has none, end it with a comment:")
        print("# pragma: allowlist secret")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
