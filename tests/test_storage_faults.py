"""Every storage call may be refused, or be done and said to have timed out, or be slow: the engine keeps its promise.

The real engine, loops and use cases run in simulated time on a real database; what fails is drawn, so that a seed is
one history. simulation/faulty.py is the wrapper around the calls.
"""

from test_simulation import simulate

from kit.database import Database

KINDS = ("read_refused", "read_timed_out", "commit_refused", "commit_doubtful", "storage_slow")
SURROUNDINGS = ("retry", "wait_time", "wait_event", "approval", "form", "child_run", "cancel", "pause", "for_each")


def test_runs_end_whatever_storage_calls_do(database_url: str) -> None:
    Database(database_url).close()  # makes the schema
    few = ("--one", "--seed", "16", "--people", "8")
    code, said, violations = simulate(*few, "--storage", "8", "--database", database_url)
    # an accepted run that is not terminal, an output that is there twice or not at all, a wait without end: violations
    assert code == 0, violations
    assert said["violations"] == 0
    assert said["runs"] + said["children"] >= 20
    assert min(said["faults"].get(kind, 0) for kind in KINDS) >= 5, said["faults"]
    used = {name for name, count in said["capabilities"].items() if count}
    assert len(used.intersection(SURROUNDINGS)) >= 4, used
    assert any(name.startswith("rerun_") for name in used), used
