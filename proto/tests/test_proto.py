"""The contracts are well formed, break nobody who speaks the baseline, and the committed stubs are theirs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CONTRACTS = sorted(path.relative_to(PROTO) for path in PROTO.glob("flowweaver/**/*.proto"))
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def run(*command: str | Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")])}
    return subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The contracts, to be changed."""
    shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    return tmp_path / "proto"


def test_the_contracts_are_well_formed() -> None:
    done = run(BIN / "buf", "lint", folder=PROTO)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_contract_that_is_not_well_formed_would_be_seen(copy: Path) -> None:
    contract = copy / "flowweaver" / "scheduler" / "v1" / "scheduler.proto"
    contract.write_text(contract.read_text() + "\nmessage badly_named { string BadField = 1; }\n")
    assert "badly_named" in run(BIN / "buf", "lint", folder=copy).stdout


def test_the_contracts_break_nobody_who_speaks_the_baseline() -> None:
    done = run(BIN / "buf", "breaking", "--against", PROTO / "baseline.binpb", folder=PROTO)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_breaking_change_would_be_seen(copy: Path) -> None:
    contract = copy / "flowweaver" / "execution" / "v1" / "execution.proto"
    text = contract.read_text()
    assert "string workflow_id = 2;" in text
    contract.write_text(text.replace("string workflow_id = 2;", "string workflow_id = 12;", 1))
    done = run(BIN / "buf", "breaking", "--against", copy / "baseline.binpb", folder=copy)
    assert done.returncode != 0
    assert "workflow_id" in done.stdout


def test_generating_the_stubs_again_changes_no_byte(tmp_path: Path) -> None:
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    done = run(sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *outputs, *CONTRACTS, folder=PROTO)
    assert done.returncode == 0, done.stderr
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2*")}
    committed = {path.relative_to(PROTO): path.read_bytes() for path in PROTO.glob("flowweaver/**/*_pb2*.py*")}
    assert {str(path) for path in fresh} == {
        str(contract).removesuffix(".proto") + suffix for contract in CONTRACTS for suffix in SUFFIXES
    }
    assert sorted(fresh) == sorted(committed)
    assert [str(path) for path in fresh if fresh[path] != committed[path]] == []


def test_each_of_the_five_services_has_its_contract() -> None:
    assert [path.parts[1] for path in CONTRACTS] == ["execution", "identity", "scheduler", "worker", "workflow"]


def test_every_call_that_changes_something_carries_an_idempotency_key() -> None:
    reads = ("Get", "List", "Watch", "Resolve", "Check", "Find", "Validate", "Describe")
    wanting = []
    for contract in CONTRACTS:
        text = (PROTO / contract).read_text()
        for name, request in re.findall(r"rpc (\w+)\((\w+)\)", text):
            [body] = re.findall(rf"message {request} \{{(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
            if not name.startswith(reads) and "string idempotency_key" not in body:
                wanting.append(name)
    assert not wanting
