"""Inputs and outputs too large for a row or a message: they lie in a folder that services share, and go by reference.

A reference is `<organisation>/<run>/<SHA-256 of the content>`: the same content has one file, and writing it again is
harmless. A file goes with its run.
"""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from kit.files import write_whole

INLINE_LIMIT = 256 * 1024
"""Bytes of JSON up to which a payload stays where it is."""
PAYLOAD_LIMIT = 16 * 1024 * 1024
"""Bytes of JSON that a payload may have at all."""
_REFERENCE = re.compile(r"([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})/([0-9a-f]{64})")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class PayloadMissing(Exception):
    """There is no such content, or it is not what was written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A payload by reference; `size` in bytes."""

    reference: str
    size: int

    @property
    def organization_id(self) -> str:
        """Whose it is. Raises ValueError when the reference is none."""
        return _parts(self.reference)[1]

    @property
    def run_id(self) -> str:
        """The run whose folder it lies in. Raises ValueError when the reference is none."""
        return _parts(self.reference)[2]


def _parts(reference: str) -> re.Match[str]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError("not a reference of a payload")
    return match


class PayloadStore:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, organization_id: str, run_id: str, content: bytes) -> Stored:
        """Keeps `content`, durably. Raises OSError, ValueError for ids that are none."""
        digest = hashlib.sha256(content).hexdigest()
        stored = Stored(f"{organization_id}/{run_id}/{digest}", len(content))
        target = self._locate(stored.reference)
        if not (target.exists() and target.stat().st_size == len(content)):
            write_whole(target, content)
        return stored

    def get(self, reference: str) -> bytes:
        """The content, whole and unchanged. Raises PayloadMissing, and OSError when the folder is away."""
        try:
            content = self._locate(reference).read_bytes()
        except (FileNotFoundError, ValueError) as error:
            raise PayloadMissing(reference) from error
        if not reference.endswith(hashlib.sha256(content).hexdigest()):
            raise PayloadMissing(reference)
        return content

    def purge(self, organization_id: str, run_id: str) -> None:
        """Removes all of a run's. Again is harmless. Raises ValueError for ids that are none."""
        if not (_ID.fullmatch(organization_id) and _ID.fullmatch(run_id)):
            raise ValueError("not an id")
        folder = self._folder / organization_id / run_id
        if folder.exists():
            shutil.rmtree(folder)

    def _locate(self, reference: str) -> Path:
        match = _parts(reference)
        return self._folder / match[1] / match[2] / f"{match[3]}.json"
