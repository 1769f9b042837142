"""The jars of the embedded broker: resolved once by pinned coordinates, checked, and shared by all checkouts."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from onestory.shared.errors import Misconfigured, Unavailable

PINS = Path(__file__).with_name("kafka-jars.txt")


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar: `group:artifact:version` and what its content must hash to."""

    coordinates: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it."""
        group, artifact, version = self.coordinates.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def cache() -> Path:
    """The directory that the stacks of all checkouts share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onestory"


def read_pins(path: Path = PINS) -> list[Pin]:
    """The checked-in list, in its order."""
    lines = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Pin(coordinates, sha256) for coordinates, sha256 in lines]


def resolve(pins: list[Pin], repository: Path) -> list[Path]:
    """The jars on disk, downloaded when absent, each checked against its pin at every start (0.1 s for all).

    Raises `Unavailable` when one cannot be had, and `Misconfigured` when one is not what the pin says.
    """
    _download([pin for pin in pins if not (repository / pin.path).exists()], repository)
    for pin in pins:
        verify(pin, repository / pin.path)
    return [repository / pin.path for pin in pins]


def verify(pin: Pin, jar: Path) -> None:
    """Raises `Misconfigured`, and takes the file away, when a jar is not what its pin says."""
    if hashlib.sha256(jar.read_bytes()).hexdigest() != pin.sha256:
        jar.unlink()
        raise Misconfigured(
            f"{pin.coordinates} does not have the checksum that kafka-jars.txt pins; it was not used and is deleted. "
            "Run the command again, and if it stays so, distrust where your jars come from."
        )


def _download(pins: list[Pin], repository: Path) -> None:
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pin: _fetch(pin, repository), pins))
        shutil.rmtree(_fetched(repository), ignore_errors=True)
    except Exception as error:  # jgo raises RuntimeError, its HTTP library its own family, the disk OSError
        reason = str(error).splitlines()[0][:200]
        raise Unavailable(f"Kafka's jars cannot be downloaded into {repository}: {reason}") from error


def _fetch(pin: Pin, repository: Path) -> None:
    """Into a folder of our own first: a download that is cut off, or a second stack's, never leaves half a jar."""
    from jgo.maven import MavenContext  # late: it takes 0.3 s, and only the first start needs it

    group, artifact, version = pin.coordinates.split(":")
    context = MavenContext(repo_cache=_fetched(repository), local_repos=[], timeout=60)
    jar = context.project(group, artifact).at_version(version).artifact().resolve()
    target = repository / pin.path
    target.parent.mkdir(parents=True, exist_ok=True)
    jar.replace(target)


def _fetched(repository: Path) -> Path:
    return repository / f".fetching-{os.getpid()}"
