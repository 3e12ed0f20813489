"""Thousands who only hold a connection, and hundreds who talk or listen slowly: everybody else is served as ever."""

import contextlib
import json
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from platform_house import Platform, eventually

pytestmark = pytest.mark.process
IDLE, LORIS, BODIES, READERS = 2_000, 200, 50, 20
# what gateway/traefik.yml grants a request to arrive
READ_TIMEOUT_S = 20
SAMPLES = 25
TYPICALLY_S, AT_MOST_S = 0.3, 1.0


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """This process holds the crowd's other ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8_192 if hard == resource.RLIM_INFINITY else min(8_192, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Slow:
    """One who sends `drip` byte by byte, for ever; without it, one who only waits."""

    sock: socket.socket
    drip: bytes = b""
    sent: int = 0
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None


class Crowd:
    """Connections to one door, kept by a thread of their own; `close` ends them all."""

    def __init__(self, url: str) -> None:
        parsed = httpx.URL(url)
        self._address = (parsed.host, parsed.port or 80)
        self._selector = selectors.DefaultSelector()
        self._members: list[Slow] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def _connect(self, first: bytes, receive_buffer: int | None = None) -> socket.socket:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(20)
        sock.connect(self._address)
        sock.sendall(first)
        return sock

    def idle(self, first: bytes = b"") -> Slow:
        """One who asks once (or nothing), hears the answer out and stays."""
        sock = self._connect(first)
        if first:
            answer = sock.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        self._members.append(member := Slow(sock))
        return member

    def talker(self, first: bytes, drip: bytes) -> Slow:
        """One whose request never ends."""
        sock = self._connect(first)
        sock.setblocking(False)
        member = Slow(sock, drip)
        self._members.append(member)
        self._selector.register(sock, selectors.EVENT_READ, member)
        return member

    def reader(self, requests: bytes) -> Slow:
        """One who asks for a lot and never reads any of it."""
        sock = self._connect(b"", receive_buffer=2_048)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(requests)
        self._members.append(member := Slow(sock))
        return member

    def _drip(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.2):
                self._listen(key.data)
            if time.monotonic() >= due:
                due += 2
                for key in list(self._selector.get_map().values()):
                    member: Slow = key.data
                    with contextlib.suppress(OSError):
                        member.sent += member.sock.send(member.drip[member.sent % len(member.drip) :][:1])

    def _listen(self, member: Slow) -> None:
        # an error answer may come before the end
        try:
            ended = not member.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            member.closed_at = time.monotonic()
            self._selector.unregister(member.sock)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20)
        for member in self._members:
            member.sock.close()
        self._selector.close()


@contextlib.contextmanager
def crowd(platform: Platform, token: str, long_run: str) -> Iterator[tuple[Crowd, list[Slow]]]:
    """Everybody at once; and those of them whose request never ends."""
    made = Crowd(platform.base_url)
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    try:
        talkers = []
        for number in range(LORIS):
            talkers.append(made.talker(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"abcd"))
            if number < BODIES:
                body = f"POST /v0/jobs HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
                talkers.append(made.talker(f"{body}Content-Length: 1000\r\n\r\n{{".encode(), b" "))
                talkers.append(made.talker(f"{body}Transfer-Encoding: chunked\r\n\r\n".encode(), b"1\r\n \r\n"))
        for _ in range(READERS):
            made.reader(f"GET /v0/workflow-runs/{long_run}/events HTTP/1.1\r\n{head}\r\n".encode())
            made.reader(f"GET /openapi.json HTTP/1.1\r\n{head}\r\n".encode() * 20)
        for _ in range(IDLE // 2):
            made.idle()
            made.idle(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        yield made, talkers
    finally:
        made.close()


@dataclass
class Waited:
    """How long a normal user waited for each answer, in seconds."""

    reads: list[float]
    writes: list[float]
    runs: list[str]

    @property
    def bearable(self) -> bool:
        return all(
            statistics.median(times) <= TYPICALLY_S and max(times) <= AT_MOST_S for times in (self.reads, self.writes)
        )

    def __str__(self) -> str:
        return ", ".join(
            f"{name} median {statistics.median(times):.3f} s, longest {max(times):.3f} s"
            for name, times in (("reads", self.reads), ("writes", self.writes))
        )


def use(platform: Platform, workflow_id: str, token: str) -> Waited:
    """A normal user, who lists workflows and starts runs; a new connection each time, as a newcomer has."""
    waited = Waited([], [], [])
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=f"{platform.base_url}/v0", headers=headers, limits=limits, timeout=30) as api:

        def timed(times: list[float], ask: Callable[[], httpx.Response]) -> httpx.Response:
            began = time.perf_counter()
            answer = ask()
            times.append(time.perf_counter() - began)
            return answer

        for _ in range(SAMPLES):
            assert timed(waited.reads, lambda: api.get("/workflows")).status_code == 200
            started = timed(waited.writes, lambda: api.post(f"/workflows/{workflow_id}/run", json={"input": {}}))
            assert started.status_code == 202, started.text
            waited.runs.append(started.json()["run_id"])
    return waited


def test_a_crowd_of_idle_and_slow_ones_keeps_nobody_waiting(platform: Platform) -> None:
    [gateway], [execution] = platform.pids("gateway"), platform.pids("execution")
    workflow_id = platform.compose([{"key": "one", "type": "test.increment", "parameters": {"n": 1}}])
    seconds = READ_TIMEOUT_S + 5
    slow_workflow = platform.compose([{"key": "long", "type": "test.sleep", "parameters": {"seconds": seconds}}])
    with platform.client() as api:
        token = api.headers["authorization"].removeprefix("Bearer ")
    # whoever comes first pays for what is made once
    use(platform, workflow_id, token)
    before = {pid: psutil.Process(pid).num_fds() for pid in (gateway, execution)}

    # A machine that is busy with other things makes everybody wait. Whether it was is seen without the crowd, right
    # after: only then is a longer wait no answer, and the question put again.
    for _ in range(3):
        long_run = platform.run(slow_workflow)
        with following(platform, token, long_run) as events, crowd(platform, token, long_run) as (_, talkers):
            assert psutil.Process(gateway).num_fds() >= before[gateway] + IDLE
            crowded = use(platform, workflow_id, token)
            # each is cut off in time, however diligently it goes on
            deadline = talkers[-1].opened_at + READ_TIMEOUT_S + 10
            eventually(
                lambda talkers=talkers: all(slow.closed_at for slow in talkers),
                deadline - time.monotonic(),
                "slow requests are cut off",
            )
            assert min(slow.closed_at - slow.opened_at for slow in talkers if slow.closed_at) > READ_TIMEOUT_S / 2
        # a stream may last longer than a request may take to arrive
        eventually(lambda events=events: '"state":"SUCCESS"' in "".join(events), 30, "the stream tells the end")
        assert platform.finished(long_run)["state"] == "SUCCESS"
        for run_id in crowded.runs:
            assert platform.finished(run_id)["state"] == "SUCCESS"
        for pid, files in before.items():
            eventually(lambda pid=pid, files=files: psutil.Process(pid).num_fds() <= files + 50, 30, "all is closed")
        if crowded.bearable:
            break
        alone = use(platform, workflow_id, token)
        assert not alone.bearable, f"with the crowd {crowded}; without it {alone}"
    else:
        raise AssertionError(f"this machine is too busy to tell: with the crowd {crowded}; without it {alone}")
    print(f"with the crowd {crowded}")


@contextlib.contextmanager
def following(platform: Platform, token: str, run_id: str) -> Iterator[list[str]]:
    """The lines of a run's event stream, as they come."""
    lines: list[str] = []

    def follow() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        address = f"{platform.base_url}/v0/workflow-runs/{run_id}/events"
        with httpx.stream("GET", address, headers=headers, timeout=120) as answer:
            lines.extend(answer.iter_lines())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield lines
    thread.join(60)


# --- open files -------------------------------------------------------------------------------------------------------


def test_every_process_of_the_platform_may_open_as_many_files_as_the_system_lets_it(platform: Platform) -> None:
    assert platform.process is not None
    for pid in (platform.process.pid, *(child["pid"] for child in platform.endpoint["children"])):
        [line] = [
            line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open files")
        ]
        soft, hard = (int(number) for number in line.split()[3:5])
        assert soft >= min(65_536, hard), (pid, line)


def test_a_low_limit_is_raised_and_a_high_one_left_alone() -> None:
    program = (
        "import json, resource\n"
        "from flowweaver_cli.limits import allow_many_open_files as allow\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "first = [allow(), *resource.getrlimit(resource.RLIMIT_NOFILE)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))\n"
        "print(json.dumps([hard, first, [allow(), *resource.getrlimit(resource.RLIMIT_NOFILE)]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    hard, raised, kept = json.loads(done.stdout)
    wanted = min(65_536, hard) if hard > 0 else 65_536
    assert raised == [wanted, wanted, hard]
    assert kept == [512, 512, 512]
