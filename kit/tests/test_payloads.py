import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.payloads import PayloadMissing, PayloadStore, Stored


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(tmp_path / "payloads")


def test_a_payload_is_had_again_by_its_reference(store: PayloadStore) -> None:
    kept = store.put("org1", "run1", b'"x"')
    assert kept.size == 3
    assert kept.run_id == "run1"
    assert store.get(kept.reference) == b'"x"'
    assert store.put("org1", "run1", b'"x"') == kept


def test_what_is_not_there_or_was_changed_is_missing(store: PayloadStore, tmp_path: Path) -> None:
    kept = store.put("org1", "run1", b'"x"')
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(b'"y"')
    for reference in (kept.reference, kept.reference.replace("run1", "run2"), "", "../../etc/passwd", "a/b/c"):
        with pytest.raises(PayloadMissing):
            store.get(reference)
    with pytest.raises(ValueError, match="reference"):
        assert Stored("a/../c", 1).run_id


def test_a_file_that_a_crash_cut_off_is_written_again(store: PayloadStore, tmp_path: Path) -> None:
    kept = store.put("org1", "run1", b'"whole"')
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(b'"wh')
    store.put("org1", "run1", b'"whole"')
    assert store.get(kept.reference) == b'"whole"'


def test_a_runs_payloads_go_together(store: PayloadStore) -> None:
    kept, other = store.put("org1", "run1", b"1"), store.put("org1", "run2", b"1")
    store.purge("org1", "run1")
    store.purge("org1", "run1")
    with pytest.raises(PayloadMissing):
        store.get(kept.reference)
    assert store.get(other.reference) == b"1"


@pytest.mark.parametrize("ids", [("..", "run"), ("org", ".."), ("org", ""), ("a/b", "c")])
def test_ids_that_are_none_are_refused(store: PayloadStore, ids: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="not a"):
        store.put(*ids, b"1")
    with pytest.raises(ValueError, match="not an id"):
        store.purge(*ids)


FULL = """
import errno, resource, sys
from pathlib import Path
from kit.payloads import PayloadStore

folder, store = Path(sys.argv[1]), PayloadStore(Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    store.put("org1", "run1", b"x" * 5000)
except OSError as error:
    print(errno.errorcode[error.errno], [file.name for file in folder.rglob("*") if file.is_file()])
store.put("org1", "run1", b"x" * 4000)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(len(store.get(store.put("org1", "run1", b"x" * 5000).reference)))
"""


def test_what_the_disk_does_not_take_whole_is_not_there_at_all(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow: a write fails in the middle, as on a full disk."""
    said = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["EFBIG []", "5000"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_takes_payloads_again_when_a_run_was_removed(small_disk: Path) -> None:
    store = PayloadStore(small_disk)
    kept = store.put("org1", "run1", b"x" * 700_000)
    with pytest.raises(OSError, match="No space left on device"):
        store.put("org1", "run2", b"y" * 700_000)
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == [f"{kept.reference[-64:]}.json"]
    assert store.get(kept.reference) == b"x" * 700_000
    store.purge("org1", "run1")
    assert len(store.get(store.put("org1", "run2", b"y" * 700_000).reference)) == 700_000
