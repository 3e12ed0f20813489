"""Random runs under random faults in simulated time keep the engine's promise; and whatever breaks it is noticed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def simulate(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the last line, and what was said of violations."""
    command = [sys.executable, "-m", "simulation", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


RUNS = 5000


# beside the recovery tests it has what they leave over
@pytest.mark.timeout(1600)
def test_random_runs_under_faults_keep_the_promise() -> None:
    code, said, violations = simulate("--runs", str(RUNS), "--seed", "1")
    assert code == 0, violations
    assert said["violations"] == 0
    assert said["runs"] >= RUNS
    assert said["tasks_median"] >= 12
    assert said["faults_median"] >= 5
    assert set(said["states"]) == {"SUCCESS", "FAILED", "CANCELLED"}
    # nothing is left untried: 500 times in 5,000 runs, 3 % of the runs
    rare = {kind: count for kind, count in said["faults"].items() if count < RUNS / 10}
    assert not rare, f"faults that hardly happen: {rare}"
    unused = {name: count for name, count in said["capabilities"].items() if count < 0.03 * said["runs"]}
    assert not unused, f"capabilities that hardly any run makes use of: {unused}"


@pytest.mark.timeout(900)
def test_random_runs_reach_the_rules(tmp_path: Path) -> None:
    """All but a few branches of the domain: whoever adds a rule lets the simulation meet it."""
    coverage = [sys.executable, "-m", "coverage"]
    data, rules = f"--data-file={tmp_path / 'coverage'}", "--rcfile=execution-service/pyproject.toml"
    play = ["-m", "simulation", "--processes", "1", "--runs", "600", "--seed", "2"]
    subprocess.run([*coverage, "run", rules, data, *play], cwd=ROOT, check=True, capture_output=True)
    report = [*coverage, "json", rules, data, "--fail-under=1", "-o", str(tmp_path / "coverage.json")]
    subprocess.run(report, cwd=ROOT, check=True, capture_output=True)
    measured = json.loads((tmp_path / "coverage.json").read_text())
    missed = {name: file["missing_branches"] for name, file in measured["files"].items() if file["missing_branches"]}
    totals = measured["totals"]
    assert totals["covered_branches"] >= 0.95 * totals["num_branches"], missed


def test_a_seed_is_one_history() -> None:
    first, again = (simulate("--one", "--seed", "7")[1] for _ in range(2))
    assert first | {"seconds": 0} == again | {"seconds": 0}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", ["fencing", "cas", "reload", "reconciler", "startkey"])
def test_a_safeguard_taken_out_is_noticed(part: str) -> None:
    code, said, violations = simulate("--runs", "2000", "--seed", "5", "--break", part, "--processes", "1")
    assert code == 1
    assert said["violations"] > 0
    assert f"again: python -m simulation --one --seed {said['seed']} --break {part}" in violations
