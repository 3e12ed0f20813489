"""What happens to a run, and what a decision asks of the world: the vocabulary of `decide`.

Every event carries its time in microseconds; they never raise, whatever is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from execution_service.domain.run import RUN, Failure
from kit.payloads import Stored

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The run was accepted. `reused`: outputs of another run's tasks that are not run again, by index; `skipped`: those
    that were skipped there, and stay so; `reused_items`: outputs of items whose task runs again without them;
    `at_once`: it waits for no place, since a run that it is a child of holds one."""

    at: int
    reused: Mapping[int, bytes | Stored] = field(default_factory=dict)
    skipped: tuple[int, ...] = ()
    reused_items: Mapping[int, bytes | Stored] = field(default_factory=dict)
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began an attempt, and it lasts. `delivery` counts how often the broker handed it out."""

    at: int
    index: int
    attempt: int
    worker: str
    started_at: int
    delivery: int = 1
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt ended: with an output (JSON, or where it is kept), a failure, or because it was cancelled. A waiting
    one is answered so."""

    at: int
    index: int
    attempt: int
    output: bytes | None = None
    stored: Stored | None = None
    failure: Failure | None = None
    cancelled: bool = False
    worker: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    delivery: int = 1
    log_lines: int = 0
    """How many its worker sent."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""

    at: int


@dataclass(frozen=True, slots=True)
class Cancel:
    at: int


@dataclass(frozen=True, slots=True)
class Pause:
    at: int


@dataclass(frozen=True, slots=True)
class Resume:
    at: int


@dataclass(frozen=True, slots=True)
class Grant:
    """There is a place for the run (`index` RUN), or for this attempt, under every limit that it shares."""

    at: int
    index: int
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """There is no place for the run, and it was not to wait for one."""

    at: int


@dataclass(frozen=True, slots=True)
class Remind:
    """The sweep asks what is still outstanding. `lost`: the broker forgot everything, running tasks too."""

    at: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Poisoned:
    """An event of this run made the engine itself fail: end the run rather than try for ever."""

    at: int
    reason: str


Event = Begin | Started | Finished | Tick | Cancel | Pause | Resume | Grant | Refuse | Remind | Poisoned


# --- what comes out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hand this attempt to the workers. Publishing it again is always safe."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Tell the workers to stop this attempt, and the broker to forget it."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start the run that this attempt waits for. Starting it again is always safe: its start key is the attempt."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelChild:
    """The run that this attempt waited for is not wanted any more."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class LookBack:
    """The event that this attempt waits for may have come before it waited."""

    index: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Admit:
    """Somebody waits for a place, or one became free. The run that says so is where `index` is RUN."""

    index: int = RUN
    attempt: int = 0


Command = Dispatch | Withdraw | StartChild | CancelChild | LookBack | Admit
