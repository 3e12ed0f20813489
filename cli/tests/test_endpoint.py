"""What programs outside may believe about a running platform."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from flowweaver_cli import endpoint
from flowweaver_cli.endpoint import ChildEntry, Endpoint


def an_endpoint(pid: int) -> Endpoint:
    return Endpoint("http://127.0.0.1:9000", pid, 4.2, 500.0, (ChildEntry("worker", 0, pid, 9600, 60.0),), ("nats-0",))


def test_what_was_written_is_read_while_its_supervisor_lives(tmp_path: Path) -> None:
    endpoint.announce(tmp_path, sqlite=True)
    endpoint.write(tmp_path, an_endpoint(os.getpid()))
    assert endpoint.read(tmp_path) == an_endpoint(os.getpid())
    holder = endpoint.find_holder(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.sqlite) == (os.getpid(), True)


def test_a_file_that_another_process_left_behind_is_not_believed(tmp_path: Path) -> None:
    endpoint.announce(tmp_path, sqlite=True)
    endpoint.write(tmp_path, an_endpoint(1))
    assert endpoint.read(tmp_path) is None


def test_a_process_that_only_inherited_the_number_is_not_the_supervisor(tmp_path: Path) -> None:
    endpoint.announce(tmp_path, sqlite=True)
    file = endpoint.runtime(tmp_path) / "supervisor.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "started": told["started"] - 3600}))
    assert endpoint.find_holder(tmp_path) is None
    file.write_text("{")
    assert endpoint.find_holder(tmp_path) is None
    endpoint.withdraw(tmp_path)
    assert endpoint.find_holder(tmp_path) is None


def test_half_a_file_is_no_platform(tmp_path: Path) -> None:
    endpoint.announce(tmp_path, sqlite=True)
    endpoint.endpoint_file(tmp_path).write_text('{"base_url": "http')
    assert endpoint.read(tmp_path) is None
    endpoint.remove(tmp_path)
    endpoint.remove(tmp_path)
    assert endpoint.read(tmp_path) is None


def test_memory_counts_a_process_with_all_below_it() -> None:
    grows = "import sys, subprocess; b = bytearray(50 << 20); {rest}; sys.stdin.read()"
    below = grows.format(rest="print(1, flush=True)")
    above = grows.format(rest=f"subprocess.Popen([sys.executable, '-c', {below!r}], stdin=0); None")
    with subprocess.Popen(
        [sys.executable, "-c", above], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        children = [child.pid for child in psutil.Process(process.pid).children()]
        whole = endpoint.tree_pss_mb(process.pid)
        alone = endpoint.tree_pss_mb(process.pid, without=children)
        process.communicate()
    assert 100 < whole < 300
    assert 50 < alone < whole - 45
    assert endpoint.tree_pss_mb(process.pid) == 0


def test_measuring_again_tells_the_memory_of_now() -> None:
    found = endpoint.measured(an_endpoint(os.getpid()))
    assert found.children[0].pss_mb == endpoint.tree_pss_mb(os.getpid()) or found.children[0].pss_mb > 10
    assert found.missing == ("nats-0",)


def test_the_file_goes_even_when_its_writer_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from flowweaver_cli import endpoint;"
        "data = Path(sys.argv[1]); guard = endpoint.removed_in_any_case(data);"
        "endpoint.endpoint_file(data).write_text('{}'); print(guard.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        guard = psutil.Process(int(process.stdout.readline()))
        assert endpoint.endpoint_file(tmp_path).exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    psutil.wait_procs([guard], timeout=10)
    assert not endpoint.endpoint_file(tmp_path).exists()
