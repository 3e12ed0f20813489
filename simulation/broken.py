"""The engine with one of its safeguards taken out. A simulation that does not notice is worth nothing."""

from typing import Any

from execution_service.domain.events import Dispatch, Finished
from execution_service.engine import Item, Outcome
from execution_service.loops import BrokerWatch
from execution_service.storage import runs as stored
from simulation.replica import Parts, SteppedEngine


class _WithoutFencing(SteppedEngine):
    """Takes every result for one of the current attempt."""

    def _decided(self, run: Any, event: Any, uncommitted: Any) -> Any:
        if isinstance(event, Finished) and run.has(event.index):
            object.__setattr__(event, "attempt", run.task(event.index).attempt)
        return super()._decided(run, event, uncommitted)


class _WithoutVersions(SteppedEngine):
    """Writes over whatever another replica wrote meanwhile."""

    def _commit(self, works: Any, outcomes: Any) -> Any:
        for work in works:
            if not work.write.new:
                found = stored.load_run(self._database, work.run.facts.run_id, self.plan)
                if found is not None:
                    work.run.version = found.version
        return super()._commit(works, outcomes)


class _WithoutReload(SteppedEngine):
    """Believes what it holds in memory, whatever version the sender has seen. Its replicas think they are alone."""

    def submit(self, item: Item) -> None:
        item.seen_version = 0
        super().submit(item)


class _WithoutStartKeys(SteppedEngine):
    """Starts a run for every request, whatever key it names."""

    def submit(self, item: Item) -> None:
        item.start_key = None
        super().submit(item)


class _WithoutReminders(SteppedEngine):
    """Hands out every attempt once: what the broker lost stays lost."""

    def _outcome(self, run: Any, commands: Any) -> Outcome:
        outcome = super()._outcome(run, commands)
        outcome.outgoing = [
            outgoing
            for outgoing in outcome.outgoing
            if not isinstance(outgoing.command, Dispatch)
            or run.task(outgoing.command.index).queued_at == run.head.clock
        ]
        return outcome


class _WithoutReconciliation(BrokerWatch):
    async def _remind_all(self) -> int:
        """Nobody is reminded of anything."""
        return 0


PARTS = {
    "": Parts(SteppedEngine),
    "fencing": Parts(_WithoutFencing),
    "cas": Parts(_WithoutVersions),
    "reload": Parts(_WithoutReload, sole_writer=True),
    "startkey": Parts(_WithoutStartKeys),
    "reconciler": Parts(_WithoutReminders, watch=_WithoutReconciliation),
}
