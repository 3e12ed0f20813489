"""What strikes whom and when: one seed is one schedule of kinds, gaps, targets and lengths.

Kinds are dealt like cards, each once before any comes again, so that a short run sees many. Faults overlap: nobody
waits for one to be over before the next strikes, only for a target to be there.
"""

import heapq
import itertools
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil

from chaos.house import MARIADB, NATS, REPLICAS, TRAEFIK, House, send

FREEZE_S = 30.0
"""The longest that a process is stopped."""
AWAY_S = 3.0
"""The longest that MariaDB stays down; everybody else is started again by the supervisor."""
SCALED_S = 15.0
"""The longest that there are more or fewer replicas."""
TARGET_S = 60.0
"""How long a fault waits for somebody whom it can strike."""

KINDS = (
    *(f"{name}.kill" for name in ("execution", "worker", NATS, TRAEFIK, MARIADB)),
    *(f"{name}.freeze" for name in ("execution", "worker", NATS, TRAEFIK, MARIADB)),
    f"{NATS}.wipe",
    f"{MARIADB}.restart",
    *(f"{name}.{how}" for name in REPLICAS for how in ("end", "scale")),
)
"""`<whom>.<what>`: kill -9; SIGSTOP, then SIGCONT; the broker killed and its folder deleted; MariaDB ended in good
order and started again; a replica ended in good order; more or fewer replicas for a while."""


@dataclass
class Strike:
    """`at`, `back_at`: seconds since the epoch; `back_at` is None until another process is in the struck one's place.

    `pid` is 0 where nobody was struck (scale); `lasted_s`: how long a process was stopped.
    """

    kind: str
    at: float
    replica: int = 0
    pid: int = 0
    lasted_s: float = 0.0
    back_at: float | None = None

    @property
    def ends(self) -> bool:
        """Whether the struck process is replaced by another."""
        return self.pid != 0 and not self.kind.endswith(".freeze")


@dataclass(frozen=True)
class _Drawn:
    """`who` and `how_long` in [0, 1)."""

    kind: str
    gap_s: float
    who: float
    how_long: float


class Faults:
    """`run` strikes, `calm` puts everything right again. `strikes`: what happened; `missed`: what found no target."""

    def __init__(self, house: House, seed: int, every_s: float, kinds: Sequence[str] = KINDS) -> None:
        self.strikes: list[Strike] = []
        self.missed: Counter[str] = Counter()
        self._house = house
        self._drawn = draw(seed, every_s, kinds)
        self._kinds = len(kinds)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._frozen: dict[int, psutil.Process] = {}
        self._began = time.monotonic()

    def run(self, seconds: float, watch: Callable[[], None]) -> None:
        """Strikes for so long, and until each kind was dealt; calls `watch` a few times a second, which may raise."""
        self._began = time.monotonic()
        end, next_at = self._began + seconds, self._began
        for dealt, drawn in enumerate(self._drawn):
            owed = dealt < self._kinds
            next_at = max(next_at, time.monotonic() - drawn.gap_s) + drawn.gap_s
            self._pass(next_at if owed else min(next_at, end), watch)
            if not owed and time.monotonic() >= end:
                return
            self._strike(drawn, watch)

    def calm(self, seconds: float, watch: Callable[[], None]) -> None:
        """Ends every fault and waits until all are ready again. Raises RuntimeError when that takes too long."""
        for process in self._frozen.values():
            send(process, signal.SIGCONT)
        self._frozen.clear()
        self._house.scale(REPLICAS)
        deadline = time.monotonic() + seconds
        while not self._is_whole():
            if time.monotonic() > deadline:
                raise RuntimeError("not all are ready again")
            self._later = [(0.0, order, action) for _, order, action in self._later]
            self._pass(time.monotonic() + 0.1, watch)

    def _is_whole(self) -> bool:
        alive = {process.pid for process in self._house.tree()}
        for name in (*REPLICAS, NATS, TRAEFIK):
            ready = self._house.ready(name)
            if len(ready) != REPLICAS.get(name, 1) or not alive.issuperset(ready.values()):
                return False
        return self._house.database.answers()

    # --- time -------------------------------------------------------------------------------------------------------

    def _pass(self, until: float, watch: Callable[[], None]) -> None:
        """Lets time pass, doing what is due."""
        while True:
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()
            self._look_who_is_back()
            watch()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))

    def _in(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), action))

    def _look_who_is_back(self) -> None:
        for strike in self.strikes:
            if strike.ends and strike.back_at is None and self._is_back(strike):
                strike.back_at = time.time()

    def _is_back(self, strike: Strike) -> bool:
        name = strike.kind.partition(".")[0]
        if name == MARIADB:
            process = self._house.database.process
            return process is not None and process.pid != strike.pid and self._house.database.answers()
        return self._house.ready(name).get(strike.replica, strike.pid) != strike.pid

    # --- striking ---------------------------------------------------------------------------------------------------

    def _strike(self, drawn: _Drawn, watch: Callable[[], None]) -> None:
        name, _, what = drawn.kind.partition(".")
        if what == "scale":
            self._scale(name, drawn)
            return
        deadline = time.monotonic() + TARGET_S
        while (found := self._target(name, drawn)) is None:
            if time.monotonic() > deadline:
                self.missed[drawn.kind] += 1
                return
            self._pass(time.monotonic() + 0.1, watch)
        replica, process = found
        strike = Strike(drawn.kind, time.time(), replica, process.pid)
        match what:
            case "kill":
                send(process, signal.SIGKILL)
            case "end" | "restart":
                send(process, signal.SIGTERM)
            case "wipe":
                self._house.wipe_broker(process)
            case "freeze":
                strike.lasted_s = 1 + drawn.how_long * (FREEZE_S - 1)
                send(process, signal.SIGSTOP)
                self._frozen[process.pid] = process
                self._in(strike.lasted_s, lambda: self._wake(process))
        if name == MARIADB and strike.ends:
            self._in(drawn.how_long * AWAY_S, self._start_database)
        self._note(strike)

    def _target(self, name: str, drawn: _Drawn) -> tuple[int, psutil.Process] | None:
        """A ready replica, rather one that is not stopped."""
        replicas = [0] if name == MARIADB else sorted(self._house.ready(name))
        found = [(replica, self._house.process(name, replica)) for replica in replicas]
        alive = [(replica, process) for replica, process in found if process is not None]
        awake = [(replica, process) for replica, process in alive if process.pid not in self._frozen]
        among = awake or alive
        return among[int(drawn.who * len(among))] if among else None

    def _wake(self, process: psutil.Process) -> None:
        send(process, signal.SIGCONT)
        self._frozen.pop(process.pid, None)

    def _start_database(self) -> None:
        process = self._house.database.process
        if process is not None and process.poll() is None:
            # it is still ending, perhaps as soon as it is awake again
            self._in(0.2, self._start_database)
        else:
            self._house.database.start()

    def _scale(self, name: str, drawn: _Drawn) -> None:
        usual = REPLICAS[name]
        self._house.scale({name: usual + (1 if drawn.who < 0.5 else -1)})
        self._in(max(drawn.how_long * SCALED_S, 1), lambda: self._house.scale({name: usual}))
        self._note(Strike(drawn.kind, time.time()))

    def _note(self, strike: Strike) -> None:
        self.strikes.append(strike)
        whom = f" {strike.replica} (pid {strike.pid})" if strike.pid else ""
        lasting = f" for {strike.lasted_s:.1f} s" if strike.lasted_s else ""
        print(f"{time.monotonic() - self._began:6.1f} s  {strike.kind}{whom}{lasting}", file=sys.stderr, flush=True)


def draw(seed: int, every_s: float, kinds: Sequence[str]) -> Iterator[_Drawn]:
    """The schedule of a seed, without end."""
    chance = random.Random(f"faults {seed}")
    while True:
        for kind in chance.sample(list(kinds), len(kinds)):
            yield _Drawn(kind, every_s * chance.uniform(0.4, 1.6), chance.random(), chance.random())
