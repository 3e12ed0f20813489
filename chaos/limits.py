"""How many ran at once, by what the tasks themselves wrote, and how many places were held, by what the database noted.

An attempt counts from its first line to its last, over all its deliveries, but no longer than it was current: once the
engine has let it go (it timed out, its run was cancelled, another delivery's result came first) its place is another's,
and what a frozen worker still does then changes nothing and is only counted (`lingered`). One whose worker was killed
counts until then, too: its place is kept for its next delivery. The engine's moment is noted in the transaction that
lets it go, and nobody can be given the place before that is committed: so no overlap is found that was none.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.book import Book, Place, Run, Span, Task
from chaos.workflows import CONCURRENCY, KEY_LIMIT, PARALLEL, QUEUE, QUEUE_LIMIT, RUNS_LIMIT, WORKFLOWS

LIMITS = {"workflow": RUNS_LIMIT, "queue": QUEUE_LIMIT, "key": KEY_LIMIT, "list": PARALLEL}
"""The levels at which something is limited; `list` is what `max_parallel` says."""
_FOREVER = 2**62

Interval = tuple[int, int]


@dataclass(frozen=True)
class Level:
    """`most` ran at once of a limit; `held`: the most places that were held; `counted`: runs, tasks or items."""

    limit: int
    most: int
    held: int
    counted: int


def levels(book: Book) -> tuple[dict[str, Level], list[str]]:
    """Each level, and one sentence for each limit that was not kept."""
    ran, over = _ran(book), []
    found = {}
    for level, limit in LIMITS.items():
        most, held = 0, 0
        for name, units in ran[level].items():
            # a run keeps its place between its tasks, a task gives it back between its attempts
            joined = _whole if level == "workflow" else _merged
            many = most_at_once(interval for intervals in units.values() for interval in joined(intervals))
            most = max(most, many)
            if many > limit:
                over.append(f"{many} ran at once of {name}, whose limit is {limit}")
        for scope, places in _by_scope(book.places).items():
            if _level(scope) == level:
                many = most_held(places)
                held = max(held, many)
                if many > limit or any(place.limit != limit for place in places):
                    over.append(f"{many} places of {scope} were held, of {sorted({place.limit for place in places})}")
        found[level] = Level(limit, most, held, sum(len(units) for units in ran[level].values()))
    return found, over


def lingered(book: Book) -> int:
    """Attempts that went on, or even began, after the engine had let them go."""
    return len({_attempt(span) for span in book.spans if _is_late(span, book)})


def lingered_alone(book: Book) -> int:
    """Those of them that were delivered once: they timed out, or their run was cancelled or ended without them. Of one
    that was delivered again another delivery's result came first."""
    times = Counter(_attempt(span) for span in book.spans)
    return len({_attempt(span) for span in book.spans if _is_late(span, book) and times[_attempt(span)] == 1})


def delivered_again(book: Book) -> int:
    """Attempts that were begun more than once."""
    return sum(times > 1 for times in Counter(_attempt(span) for span in book.spans).values())


def _attempt(span: Span) -> tuple[str, int]:
    return span.task_run_id, span.attempt


def _is_late(span: Span, book: Book) -> bool:
    return (span.ended_at or span.began_at) > book.over.get(_attempt(span), _FOREVER)


def _ran(book: Book) -> dict[str, dict[str, dict[str, list[Interval]]]]:
    """Level → what is limited → who counts once → when it ran."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for span in book.spans:
        spans[span.task_run_id].append(span)
    found: dict[str, dict[str, dict[str, list[Interval]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for run in book.runs.values():
        for task, parent in _tasks(run):
            current = [interval for span in spans[task.task_run_id] for interval in _current(span, book)]
            for level, name, unit in _counts_for(run, task, parent):
                if current:
                    found[level][name][unit] += current
    return found


def _tasks(run: Run) -> Iterator[tuple[Task, Task | None]]:
    for task in run.tasks.values():
        yield task, None
        for item in task.items.values():
            yield item, task


def _counts_for(run: Run, task: Task, parent: Task | None) -> Iterator[tuple[str, str, str]]:
    placement = next((one for one in WORKFLOWS[run.workflow] if one["key"] == task.key), {})
    if run.workflow in CONCURRENCY:
        yield "workflow", run.workflow, run.run_id
    if placement.get("queue") == QUEUE:
        yield "queue", QUEUE, task.task_run_id
    if "concurrency_key" in placement:
        yield "key", f"site-{run.input['site']}", task.task_run_id
    if parent is not None:
        yield "list", parent.task_run_id, task.task_run_id


def _current(span: Span, book: Book) -> list[Interval]:
    """The part of it in which its attempt was current."""
    over = book.over.get((span.task_run_id, span.attempt), _FOREVER)
    end = min(over, _FOREVER if span.ended_at is None else span.ended_at)
    return [(span.began_at, end)] if span.began_at < end else []


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """One at a time: a unit counts once, however often it was delivered."""
    merged: list[Interval] = []
    for began, ended in sorted(intervals):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def _whole(intervals: list[Interval]) -> list[Interval]:
    return [(min(began for began, _ in intervals), max(ended for _, ended in intervals))]


def most_at_once(intervals: Iterable[Interval]) -> int:
    """What ends at the moment at which another begins is not at once with it."""
    steps = sorted(step for began, ended in intervals for step in ((began, 1), (ended, -1)))
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _by_scope(places: Iterable[Place]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        found[place.scope].append(place)
    return found


def most_held(places: Iterable[Place]) -> int:
    """In the order in which they were noted."""
    most, held = 0, set[str]()
    for place in places:
        (held.add if place.held else held.discard)(place.owner)
        most = max(most, len(held))
    return most


def _level(scope: str) -> str:
    return "queue" if scope.startswith("queue:") else "workflow" if ":workflow:" in scope else "key"
