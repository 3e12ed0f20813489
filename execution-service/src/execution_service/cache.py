"""The runs that the engine holds in memory: bounded in bytes, those that were not asked for the longest go first."""

from collections import OrderedDict
from collections.abc import Iterable

from prometheus_client import Gauge

from execution_service.domain.run import Run

CACHE_BYTES = 128 * 1024 * 1024

_cached = Gauge("engine_cache_runs", "Runs held in memory")


class Cache:
    """Runs by id. Ended ones are not kept: nothing more is decided about them."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._runs: OrderedDict[str, tuple[Run, int]] = OrderedDict()

    def get(self, run_id: str) -> Run | None:
        held = self._runs.get(run_id)
        return held[0] if held else None

    def keep(self, run: Run) -> None:
        """Takes a run as it is now, in the place of what was held of it."""
        self.drop([run.facts.run_id])
        if run.head.state.terminal:
            return
        size = run.size()
        self._runs[run.facts.run_id] = (run, size)
        self._bytes += size
        while self._bytes > self._limit and len(self._runs) > 1:
            _, (_, dropped) = self._runs.popitem(last=False)
            self._bytes -= dropped
        _cached.set(len(self._runs))

    def drop(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            held = self._runs.pop(run_id, None)
            if held is not None:
                self._bytes -= held[1]
