"""What the engine promises when processes are killed: every run ends, within bounds, and publishes one post.

The moments of the kills are drawn from a seed, which is printed; FLOWWEAVER_TEST_SEED draws the same ones again.
"""

import json
import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from blog import KEYS, Watcher, compose_blog, moment, posts, tasks_of
from platform_house import Platform, eventually, states

pytestmark = pytest.mark.process

WORKER_S = 15.0
"""A killed worker's task starts again within."""
EXECUTION_S = 3.0
"""Runs move within, once execution-service is ready again; and whenever nothing is wrong."""
BROKER_S = 15.0
"""Runs move within, once nats-server was killed, its folder there or not."""
MOMENTS = 10
"""How often each kind of kill meets a run under way."""

KEYWORDS = ("텀블러", "가습기", "프라이팬", "베개", "마우스", "선크림", "랜턴", "덤벨", "수건", "칫솔", "담요", "쿠션")


@pytest.fixture
def draw() -> random.Random:
    seed = int(os.environ.get("FLOWWEAVER_TEST_SEED") or random.randrange(10**9))
    print(f"FLOWWEAVER_TEST_SEED={seed}")
    return random.Random(seed)


@dataclass(frozen=True)
class House:
    """A platform of this file's own, a blog workflow on it, and the seconds that its tasks take undisturbed."""

    platform: Platform
    workflow_id: str
    lasts: dict[str, float]

    def run(self, keyword: str) -> str:
        return self.platform.run(self.workflow_id, {"keyword": keyword})

    def runs(self) -> list[dict[str, Any]]:
        with self.platform.client() as api:
            page = api.get("/workflow-runs", params={"workflow_id": self.workflow_id, "limit": 200}).json()
            return [api.get(f"/workflow-runs/{row['run_id']}").json() for row in page["items"]]

    def count_posts(self) -> None:
        """Every run published, each one post, and there is no other."""
        runs = self.runs()
        paths = {self.platform.output(run, "publish")["post_path"] for run in runs}
        assert len(paths) == len(runs)
        assert len(posts(self.platform)) == len(runs)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Its workers have the libraries loaded: a cold start is no part of a recovery."""
    # a process for each run: waiting for one is no part of a recovery either
    platform = Platform(tmp_path_factory.mktemp("recovery"), {"FLOWWEAVER_WORKER_PROCESSES": "3"}).start()
    try:
        workflow_id = compose_blog(platform)
        for keyword in KEYWORDS[:2]:
            run = platform.finished(platform.run(workflow_id, {"keyword": keyword}), 120)
            assert run["state"] == "SUCCESS", states(run)
        yield House(platform, workflow_id, {key: task["ran_ms"] / 1000 for key, task in tasks_of(run).items()})
    finally:
        platform.stop()


# --- at any moment --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """`killed`: when the process died; `at`: from when `bound_s` counts. Seconds since the epoch."""

    what: str
    killed: float
    at: float
    bound_s: float


@dataclass
class Record:
    """What was killed, which task of which run it met, and how long runs lay idle afterwards."""

    kills: list[Kill] = field(default_factory=list)
    met: dict[str, "Counter[str]"] = field(default_factory=lambda: defaultdict(Counter))
    idle: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    late: list[str] = field(default_factory=list)

    def take(self, run: dict[str, Any]) -> None:
        """Looks at a finished run: nothing of it may lie idle for longer than was promised."""
        ended = moment(run["started_at"])
        end = moment(run["finished_at"])
        stops = [(key, moment(task["started_at"]), moment(task["finished_at"])) for key, task in tasks_of(run).items()]
        for key, began, finished in (*stops, ("the end", end, end)):
            for kill in self.kills:
                if ended < kill.killed <= finished:
                    self.met[kill.what][key] += 1
            before = [kill for kill in self.kills if kill.at <= began]
            if before and before[-1].at > ended:
                self.idle[before[-1].what].append(began - before[-1].at)
            if began > max(ended + EXECUTION_S, *(kill.at + kill.bound_s for kill in before), 0):
                kills = ", ".join(f"{kill.what} {began - kill.at:.1f} s before" for kill in before)
                self.late.append(f"{run['run_id']} was idle for {began - ended:.1f} s before {key}; {kills}")
            ended = finished

    def __str__(self) -> str:
        lines = []
        for what, met in self.met.items():
            idle = self.idle[what] or [0.0]
            where = ", ".join(f"{key} {count}" for key, count in met.items())
            moved = f"runs moved after {statistics.median(idle):.2f} s (median), {max(idle):.2f} s (most)"
            lines.append(f"{what}: met {sum(met.values())} times ({where}); {moved}")
        return "\n".join(lines)


# each kills, and gives the moment from which a bound counts, and that bound


def kill_worker(platform: Platform) -> tuple[float, float]:
    os.kill(process_of(platform, "worker"), signal.SIGKILL)
    return time.time(), WORKER_S


def kill_execution(platform: Platform) -> tuple[float, float]:
    pid = process_of(platform, "execution")
    [port] = [child["port"] for child in platform.endpoint["children"] if child["service"] == "execution"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_ready(port), 5, "execution-service is gone")
    eventually(lambda: is_ready(port), 30, "execution-service is ready again")
    return time.time(), EXECUTION_S


def kill_broker(platform: Platform) -> tuple[float, float]:
    os.kill(process_of(platform, "nats"), signal.SIGKILL)
    return time.time(), BROKER_S


def wipe_broker(platform: Platform) -> tuple[float, float]:
    """Stopped first, so that neither it nor the next one writes into the folder that is being deleted."""
    pid = process_of(platform, "nats")
    os.kill(pid, signal.SIGSTOP)
    shutil.rmtree(platform.data / "nats")
    os.kill(pid, signal.SIGKILL)
    return time.time(), BROKER_S


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def process_of(platform: Platform, service: str) -> int:
    """The process of a service's first replica, once there is one that lives."""

    def look() -> int | None:
        found = platform.pids(service)
        return found[0] if found and psutil.pid_exists(found[0]) else None

    return eventually(look, 30, f"a process of {service}")


def test_runs_outlive_whoever_is_killed_at_any_moment(house: House, draw: random.Random) -> None:
    """In each round three runs, each behind the other, see the kinds of kill, each at another of the ten tasks."""
    kinds = {
        "worker": kill_worker,
        "execution-service": kill_execution,
        "nats-server": kill_broker,
        "nats-server and its folder": wipe_broker,
    }
    moments = {what: draw.sample(KEYS, len(KEYS)) for what in kinds}
    record, watcher = Record(), Watcher(house.platform)
    while open_kinds := [what for what in kinds if sum(record.met[what].values()) < MOMENTS]:
        runs = []
        for keyword in draw.sample(KEYWORDS, 3):
            runs.append(house.run(keyword))
            time.sleep(draw.random() * 0.6)
        record.kills.clear()
        for key, what in sorted(((moments[what].pop(), what) for what in open_kinds), key=lambda at: KEYS.index(at[0])):
            # the last run in the early tasks, the first one in the late ones: so that all three are under way
            watcher.reached(runs[-1] if key in KEYS[:5] else runs[0], key)
            time.sleep(draw.random() * house.lasts[key])
            killed = time.time()
            at, bound_s = kinds[what](house.platform)
            record.kills.append(Kill(what, killed, at, bound_s))
            print(f"{what} killed at {key}")
        for run_id in runs:
            run = house.platform.finished(run_id, 90)
            assert run["state"] == "SUCCESS", (record.kills, json.dumps(run, ensure_ascii=False))
            record.take(run)
    print(record)
    assert record.late == [], "\n".join(record.late)
    house.count_posts()


# --- at the worst moments -------------------------------------------------------------------------------------------


def test_a_worker_killed_between_post_and_result_leaves_one_post(house: House) -> None:
    watcher = Watcher(house.platform)
    folder = house.platform.data / "blog" / "posts"
    for keyword in KEYWORDS[:3]:
        known = {path.name for path in folder.iterdir()}
        worker = process_of(house.platform, "worker")
        run_id = house.run(keyword)
        watcher.reached(run_id, "publish")
        stored = wait_for_post(folder, known)
        os.kill(worker, signal.SIGKILL)
        killed = time.time()
        run = house.platform.finished(run_id)
        assert run["state"] == "SUCCESS", states(run)
        publish = tasks_of(run)["publish"]
        again = moment(publish["started_at"]) - killed
        if again > 0:
            break
        # the result was out already
    else:
        raise AssertionError("the result was always faster")
    print(f"publish started again after {again:.1f} s")
    assert again <= WORKER_S
    assert not publish["worker"].endswith(f"-{worker}")
    assert house.platform.output(run, "publish")["post_path"] == f"posts/{stored}.html"
    house.count_posts()


def wait_for_post(folder: Path, known: set[str]) -> str:
    """The slug of the post that is stored next, the moment it is."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in folder.iterdir():
            if path.name not in known and (path / "post.json").exists():
                return path.name
        time.sleep(0.0005)
    raise AssertionError("no post was stored")


def test_a_killed_supervisor_takes_all_with_it_and_the_next_one_finishes_the_run(house: House) -> None:
    platform = house.platform
    run_id = house.run(KEYWORDS[5])
    Watcher(platform).reached(run_id, "upload")
    assert platform.process is not None
    children = psutil.Process(platform.process.pid).children(recursive=True)
    assert len(children) >= 8
    killed = time.monotonic()
    platform.process.kill()
    platform.process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    print(f"all gone after {time.monotonic() - killed:.2f} s")

    platform.start()
    print(f"ready again after {platform.endpoint['ready_s']} s")
    run = platform.finished(run_id, 90)
    assert run["state"] == "SUCCESS", states(run)
    house.count_posts()


# --- with two workers -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with two workers."""
    platform = Platform(tmp_path_factory.mktemp("pair"), {"FLOWWEAVER_REPLICAS": "worker=2"}).start()
    try:
        yield platform
    finally:
        platform.stop()


def effects(platform: Platform) -> list[dict[str, Any]]:
    """The lines that test.effect wrote."""
    path = platform.data / "test-effects.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def worker_pid(task: dict[str, Any]) -> int:
    """The process that ended the task: a worker's name is host-replica-pid-random."""
    return int(task["worker"].rsplit("-", 2)[1])


def test_what_one_of_two_workers_leaves_behind_the_other_does(pair: Platform, draw: random.Random) -> None:
    workflow_id = pair.compose(
        [
            {"key": "sleep", "type": "test.sleep", "parameters": {"seconds": "${{ run.input.sleep }}"}},
            {"key": "effect", "type": "test.effect", "parameters": {"seconds": "${{ run.input.wait }}"}},
        ]
    )
    runs = [
        pair.run(workflow_id, {"sleep": round(draw.random(), 3), "wait": round(draw.random(), 3)}) for _ in range(20)
    ]
    eventually(lambda: len(effects(pair)) >= 5, 20, "some of the effects")
    dead = process_of(pair, "worker")
    os.kill(dead, signal.SIGKILL)
    killed = time.time()
    finished = [pair.finished(run_id) for run_id in runs]
    assert [run["state"] for run in finished] == ["SUCCESS"] * 20

    lines = Counter(line["task_run_id"] for line in effects(pair))
    tasks = {task["task_run_id"]: task for run in finished for task in [tasks_of(run)["effect"]]}
    assert lines.keys() == tasks.keys()
    # a second line means: the killed worker wrote the first, and the other one was told of it by nobody
    repeated = {task_run_id for task_run_id, count in lines.items() if count > 1}
    print(f"repeated: {len(repeated)}")
    for task_run_id in repeated:
        assert lines[task_run_id] == 2
        assert worker_pid(tasks[task_run_id]) != dead
        assert moment(tasks[task_run_id]["started_at"]) > killed
    again = [
        moment(task["started_at"]) - killed
        for run in finished
        for task in tasks_of(run).values()
        if moment(task["started_at"]) > killed + 5
    ]
    print(f"{len(again)} tasks began again, at the latest after {max(again, default=0):.1f} s")
    assert again, "the killed worker had nothing to do"
    assert max(again) <= WORKER_S + 2  # the second task of a run waits for its first


def test_a_worker_that_comes_back_changes_nothing(pair: Platform) -> None:
    """Stopped for longer than the broker waits, then resumed: its results come after those of the other worker."""
    workflows = [
        pair.compose([{"key": "only", "type": kind, "parameters": {"seconds": 3}}])
        for kind in ("test.sleep", "test.effect")
    ]
    before = len(effects(pair))
    runs = [pair.run(workflow_id) for workflow_id in workflows for _ in range(4)]
    watcher = Watcher(pair)

    def holders() -> "Counter[int] | None":
        """How many of the tasks each worker runs, once all run."""
        found = [watcher.look(run_id) for run_id in runs]
        tasks = [tasks_of(run)["only"] for run in found if run is not None]
        return Counter(map(worker_pid, tasks)) if [task["state"] for task in tasks] == ["RUNNING"] * len(runs) else None

    held = eventually(holders, 10, "all tasks run")
    assert len(held) == 2, held
    frozen, count = held.most_common(1)[0]
    [(engine, metrics)] = [
        (engine["port"], worker["port"])
        for engine in pair.endpoint["children"]
        for worker in pair.endpoint["children"]
        if engine["service"] == "execution" and worker["pid"] == frozen
    ]
    results = metric(engine, 'engine_events_total{event="Finished"}')
    reported = metric(metrics, "worker_tasks_total")
    os.kill(frozen, signal.SIGSTOP)
    stopped = time.time()
    try:
        finished = [pair.finished(run_id) for run_id in runs]
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert [run["state"] for run in finished] == ["SUCCESS"] * len(runs), finished
    assert all(worker_pid(tasks_of(run)["only"]) != frozen for run in finished)
    again = max(moment(tasks_of(run)["only"]["started_at"]) for run in finished) - stopped
    print(f"{count} tasks of the stopped worker began again after {again:.1f} s")
    assert again <= WORKER_S

    # it wakes, ends what it held, and is heard
    eventually(lambda: metric(metrics, "worker_tasks_total") >= reported + count, 10, "the stopped worker reports")
    heard = results + len(runs) + count
    eventually(lambda: metric(engine, 'engine_events_total{event="Finished"}') >= heard, 10, "the engine hears of it")
    assert [watcher.look(run_id) for run_id in runs] == finished
    # an effect may happen twice when its worker does not know that it was away, and only then
    lines = Counter(line["task_run_id"] for line in effects(pair)[before:])
    assert lines.keys() == {tasks_of(run)["only"]["task_run_id"] for run in finished[4:]}
    assert sum(lines.values()) - len(lines) <= count
    assert max(lines.values()) <= 2


def metric(port: int, name: str) -> float:
    """The sum of a counter's series whose names begin so, as a service shows them."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
