"""Files that tasks leave: whole or not there at all, each with its hash and its row in the index.

They lie under `<data>/artifacts/<organisation>/<run>/<path>`; no path leads out of its run's folder.
"""

import hashlib
import re
import shutil
from pathlib import Path

from kit.database import Database, utc_now
from kit.files import write_whole
from kit.ids import new_id
from worker_service import storage
from worker_service.sdk import Artifact, TaskError
from worker_service.storage import ArtifactNotFound, ArtifactRow

MOST_BYTES = 32 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9-]+)?")
_ARTIFACT_ID = re.compile(r"[0-9a-z]{26}")


class ArtifactStore:
    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database

    def put(
        self, organization_id: str, run_id: str, task_run_id: str, path: str, content: bytes, content_type: str
    ) -> Artifact:
        """Stores `content` under the run. TaskError `artifact_refused` for an impossible path, type or size."""
        if len(content) > MOST_BYTES:
            raise TaskError("artifact_refused", f"{len(content)} bytes, at most {MOST_BYTES}", field="content")
        if not _CONTENT_TYPE.fullmatch(content_type) or len(content_type) > 128:
            raise TaskError("artifact_refused", f"content type {content_type!r}", field="content_type")
        try:
            target = self._locate(organization_id, run_id, path)
            write_whole(target, content)
        except (ValueError, OSError) as error:
            raise TaskError("artifact_refused", str(error), field="path") from error
        row = storage.record_artifact(
            self._database,
            ArtifactRow(
                new_id(),
                organization_id,
                run_id,
                task_run_id,
                path,
                len(content),
                hashlib.sha256(content).hexdigest(),
                content_type,
                utc_now(),
            ),
        )
        return as_artifact(row)

    def get(self, organization_id: str, run_id: str, path: str) -> bytes:
        """By a path of this run, or by the id of any artifact of the organisation. TaskError `artifact_missing`."""
        try:
            try:
                row = storage.find_artifact(self._database, organization_id, run_id, path)
            except ArtifactNotFound:
                if not _ARTIFACT_ID.fullmatch(path):
                    raise
                row = storage.get_artifact(self._database, organization_id, path)
            return self.file(row).read_bytes()
        except (ArtifactNotFound, OSError) as error:
            raise TaskError("artifact_missing", path, field="path") from error

    def file(self, row: ArtifactRow) -> Path:
        """Where the content lies. Raises ArtifactNotFound when it is gone."""
        found = self._locate(row.organization_id, row.run_id, row.path)
        if not found.is_file():
            raise ArtifactNotFound
        return found

    def purge(self, organization_id: str, run_id: str) -> int:
        """Removes all that a run left; how many artifacts. Again is harmless. Raises ValueError for what is no id."""
        if not (_ID.fullmatch(organization_id) and _ID.fullmatch(run_id)):
            raise ValueError("not an id")
        folder = self._folder / organization_id / run_id
        if folder.exists():
            shutil.rmtree(folder)
        # the index last: it names what is still to be removed
        return storage.forget_artifacts(self._database, organization_id, run_id)

    def _locate(self, organization_id: str, run_id: str, path: str) -> Path:
        segments = path.split("/")
        if not (_ID.fullmatch(organization_id) and _ID.fullmatch(run_id)):
            raise ValueError("not an id")
        if len(path) > 512 or not path.isprintable() or "\\" in path:
            raise ValueError("a path has at most 512 printable characters")
        if any(segment in ("", ".", "..") or len(segment.encode()) > 200 for segment in segments):
            raise ValueError("a path's segments have 1 to 200 bytes, none is . or ..")
        root = self._folder / organization_id / run_id
        found = root.joinpath(*segments)
        # a link inside the folder would lead out of it
        if not found.resolve().is_relative_to(self._folder.resolve()):
            raise ValueError("the path leads out of its folder")
        return found


def as_artifact(row: ArtifactRow) -> Artifact:
    return Artifact(
        row.artifact_id, row.path, row.size, row.sha256, row.content_type, f"/v0/artifacts/{row.artifact_id}/content"
    )
