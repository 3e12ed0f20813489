"""Random workflows under random events, lost, doubled, late and out of order: what must hold whatever happens.

And that a decision costs what it changes, not what the run holds.
"""

import random
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
from domain_house import SECOND, T0, Story, job, maybe, out, payloads, sequence, snapshot, task, workflow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution_service.domain.definition import Definition, FailurePolicy, Retry
from execution_service.domain.draft import Decision
from execution_service.domain.events import (
    Begin,
    Cancel,
    Dispatch,
    Event,
    Finished,
    Pause,
    Remind,
    Resume,
    Started,
    Tick,
)
from execution_service.domain.plan import Plan, compile_plan
from execution_service.domain.run import Failure, RunState, TaskState

# --- random workflows ------------------------------------------------------------------------------------------------


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Up to four jobs of up to four tasks; a task reads any of those ordered before it, some of them optionally."""
    jobs, before_job, tasks_of = [], {}, {}
    for number in range(draw(st.integers(0, 4))):
        name = f"j{number}"
        after = draw(st.sets(st.sampled_from(list(before_job)), max_size=2)) if before_job else set()
        before_job[name] = after.union(*(before_job[other] for other in after))
        earlier = [key for other in before_job[name] for key in tasks_of[other]]
        tasks, before = [], {}
        for index in range(draw(st.integers(0, 4))):
            key = f"t{number}_{index}"
            own = draw(st.sets(st.sampled_from(list(before)), max_size=2)) if before else set()
            before[key] = own.union(*(before[other] for other in own))
            readable = sorted(before[key]) + earlier
            read = draw(st.lists(st.sampled_from(readable), max_size=3, unique=True)) if readable else []
            parameters = {other: (maybe if draw(st.booleans()) else out)(other) for other in read}
            when = None
            if draw(st.integers(0, 3)) == 0:
                asked = draw(st.sampled_from(readable)) if readable else None
                texts = ["true", "false", *([f"optional(tasks.{asked}.output, null) != null"] if asked else [])]
                when = draw(st.sampled_from([*texts, *([f"tasks.{asked}.output != null"] if asked else [])]))
            retry = Retry(draw(st.integers(1, 3)), delay_s=draw(st.sampled_from([0.5, 5.0])), jitter=0.5)
            tasks.append(
                task(
                    key,
                    *sorted(own),
                    parameters=parameters,
                    when=when,
                    failure_policy=draw(st.sampled_from(FailurePolicy)),
                    retry=retry,
                    timeout_s=5.0,
                )
            )
        tasks_of[name] = list(before)
        jobs.append(job(name, *tasks, after=tuple(sorted(after))))
    return workflow(*jobs, timeout_s=draw(st.sampled_from([0.0, 40.0])))


class World:
    """A run among a broker that loses and doubles, workers that fail or vanish, and people who press buttons."""

    def __init__(self, definition: Definition, chance: random.Random) -> None:
        self.story = Story(definition)
        self.chance = chance
        self.broker: list[Dispatch] = []
        self.results: list[Finished] = []
        self.old: list[Event] = []
        self.began: set[int] = set()
        self.output_of: dict[int, bytes] = {}

    def tell(self, event: Event) -> None:
        """Decides and checks all that must hold after every single event; sometimes the commit fails."""
        story, run = self.story, self.story.run
        before, held, clock = snapshot(run), payloads(run), run.head.clock
        decision = story.decide(event)
        assert snapshot(run) == before
        assert payloads(run)["inputs"] == held["inputs"]
        self.old.append(event)
        if self.chance.random() < 0.05:
            return  # the process died before its commit: nothing of it is left
        self.check(decision)
        if isinstance(event, Finished) and event.index in decision.changes.outputs:
            assert event.attempt == run.tasks[event.index].attempt, "a stale attempt's output was recorded"
        story.apply(decision)
        assert run.head.clock >= clock
        restored = story.restored()
        assert snapshot(restored) == snapshot(run)
        if self.chance.random() < 0.05:
            story.run = restored
        if self.chance.random() < 0.9:  # else it died after its commit: no command ever left
            self.broker += [c for c in decision.commands if isinstance(c, Dispatch) and self.chance.random() < 0.9]

    def check(self, decision: Decision) -> None:
        story, changes = self.story, decision.changes
        if story.state.terminal:
            assert not changes
            assert not decision.commands
        for index, body in changes.outputs.items():
            assert index not in self.output_of, "an output was recorded twice"
            assert changes.tasks[index].state is TaskState.SUCCESS
            assert changes.tasks[index].attempt == story.run.tasks[index].attempt
            self.output_of[index] = body
        for index, new in changes.tasks.items():
            old = story.run.tasks[index]
            assert not old.state.terminal, "a terminal task changed"
            assert new.attempt in (old.attempt, old.attempt + 1)
            if new.attempt == 1 and old.attempt == 0:
                self.check_may_begin(index, changes.tasks)

    def check_may_begin(self, index: int, changed: dict[int, Any]) -> None:
        """Nothing runs before its turn, without a needed input, after a stop, or in a run that is paused or ending."""
        story = self.story
        assert story.run.head.state in (RunState.PENDING, RunState.RUNNING, RunState.PAUSED)
        step = story.plan.steps[index]

        def now(other: int) -> TaskState:
            found: TaskState = (changed.get(other) or story.run.tasks[other]).state
            return found

        assert all(now(other) is TaskState.SUCCESS for other in step.needs)
        assert all(now(other).terminal for other in step.after)
        for stage in story.plan.stages[step.job].after:
            assert all(now(other).terminal for other in story.plan.stages[stage].steps)
        for other in step.after:
            policy = story.plan.steps[other].spec.failure_policy
            assert policy is FailurePolicy.CONTINUE or now(other) in (TaskState.SUCCESS, TaskState.SKIPPED)

    # --- what may happen ---

    def happen(self) -> None:
        chance, story = self.chance, self.story
        story.now += chance.choice((0, 1, 1000, SECOND, 3 * SECOND, -2 * SECOND))
        match chance.choice(("work", "work", "work", "result", "result", "tick", "old", "remind", "person", "begin")):
            case "work":
                self.work()
            case "result" if self.results:
                self.tell(self.results.pop(chance.randrange(len(self.results))))
            case "tick":
                story.now += chance.choice((0, SECOND, 10 * SECOND, 30 * SECOND))
                self.tell(Tick(story.now))
            case "old" if self.old:
                self.tell(chance.choice(self.old))
            case "remind":
                self.tell(Remind(story.now, lost=chance.random() < 0.3))
            case "person" if chance.random() < 0.3:
                self.tell(chance.choice((Cancel, Pause, Resume, Resume))(story.now))
            case "begin":
                self.tell(Begin(story.now))
            case _:
                pass

    def work(self) -> None:
        """A worker takes an attempt: it announces itself, brings a result, both, or vanishes; copies stay around."""
        if not self.broker:
            return
        chance, now = self.chance, self.story.now
        taken = chance.choice(self.broker)
        if chance.random() < 0.8:
            self.broker.remove(taken)
        if chance.random() < 0.3:
            self.tell(Started(now, taken.index, taken.attempt, "w", now, chance.choice((1, 2)), 5.0))
        if chance.random() < 0.8:
            self.results += [self.result(taken)] * chance.choice((1, 1, 2))

    def result(self, taken: Dispatch) -> Finished:
        chance, at = self.chance, (self.story.now, taken.index, taken.attempt)
        kind = chance.random()
        if kind < 0.7:
            return Finished(*at, output=orjson.dumps([taken.index, taken.attempt, chance.random()]))
        if kind < 0.8:
            return Finished(*at, cancelled=True)
        return Finished(*at, failure=Failure("broken", retryable=kind < 0.95))

    def until_it_ends(self) -> None:
        """The faults stop: every message arrives, time passes, a paused run is resumed."""
        for _ in range(400):
            if self.story.state.terminal:
                return
            self.story.now += 31 * SECOND
            for event in (Begin(self.story.now), Resume(self.story.now), Tick(self.story.now), Remind(self.story.now)):
                decision = self.story.tell(event)
                self.check_outputs(decision)
                for command in decision.commands:
                    if isinstance(command, Dispatch):
                        at = (self.story.now, command.index, command.attempt)
                        self.check_outputs(self.story.tell(Finished(*at, output=b"1")))
        raise AssertionError(f"did not end: {self.story.state} {self.story.states()}")

    def check_outputs(self, decision: Decision) -> None:
        for index, body in decision.changes.outputs.items():
            assert index not in self.output_of
            self.output_of[index] = body


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(definition=definitions(), seed=st.integers(0, 2**32), length=st.integers(0, 80))
def test_whatever_happens_a_run_ends_once_and_each_output_is_recorded_once(
    definition: Definition, seed: int, length: int
) -> None:
    chance = random.Random(seed)
    world = World(definition, chance)
    reused = [index for index in range(len(world.story.plan.steps)) if chance.random() < 0.15]
    world.tell(Begin(T0, dict.fromkeys(reused, b'"reused"')))
    for _ in range(length):
        world.happen()
    world.until_it_ends()
    story = world.story
    end = story.run.head
    assert end.finished_at is not None
    assert all(state.terminal for state in story.states().values())
    assert all(state.terminal for state in story.jobs().values())
    assert {index: bodies[0] for index, bodies in story.recorded.items()} == world.output_of
    assert {i for i, each in enumerate(story.run.tasks) if each.state is TaskState.SUCCESS} == set(world.output_of)
    for event in list(world.old):
        world.tell(event)
    assert story.run.head == end


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(definition=definitions(), seed=st.integers(0, 2**32))
def test_without_faults_every_run_ends_and_only_conditions_keep_tasks_from_running(
    definition: Definition, seed: int
) -> None:
    chance = random.Random(seed)
    world = World(definition, chance)
    story = world.story
    waiting: list[Dispatch] = [c for c in story.begin().commands if isinstance(c, Dispatch)]
    while waiting:
        taken = waiting.pop(chance.randrange(len(waiting)))
        decision = story.tell(Finished(story.now, taken.index, taken.attempt, output=b"1"))
        waiting += [c for c in decision.commands if isinstance(c, Dispatch)]
    kept_back = {TaskState.SKIPPED, TaskState.UPSTREAM_FAILED}
    for step, task_run in zip(story.plan.steps, story.run.tasks, strict=True):
        match task_run.state:
            case TaskState.SKIPPED:
                assert step.condition is not None
            case TaskState.UPSTREAM_FAILED:
                before = {*step.needs, *step.asks, *step.after}
                before |= {i for stage in story.plan.stages[step.job].after for i in story.plan.stages[stage].steps}
                assert any(story.run.tasks[other].state in kept_back for other in before)
            case state:
                assert state is TaskState.SUCCESS
    fell = TaskState.UPSTREAM_FAILED in story.states().values()
    assert story.state is (RunState.FAILED if fell else RunState.SUCCESS)


# --- what a decision costs -------------------------------------------------------------------------------------------


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the domain's code `work` runs: the same on every machine."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "execution_service/domain" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@lru_cache
def chain(length: int) -> Plan:
    return compile_plan(sequence(length))


def cost_of_a_result(length: int) -> tuple[int, int]:
    story = Story(chain(length))
    story.begin()
    for number in range(length // 10):
        story.done(f"t{number}")
        story.run.next_due_at()  # as every commit asks
    decisions: list[Decision] = []
    cost = lines_run(lambda: decisions.append(story.done(f"t{length // 10}")))
    cost += lines_run(story.run.next_due_at) + lines_run(story.run.size) + lines_run(lambda: story.after(0.001))
    changes = decisions[0].changes
    return cost, len(changes.tasks) + len(changes.jobs) + len(changes.waits) + len(changes.inputs) + len(
        changes.outputs
    )


def test_a_result_in_a_chain_of_ten_thousand_tasks_costs_what_it_costs_in_one_of_a_hundred() -> None:
    small, large = cost_of_a_result(100), cost_of_a_result(10_000)
    assert large == small


def test_a_chain_of_ten_thousand_tasks_ends() -> None:
    story = Story(chain(10_000))
    story.begin()
    for number in range(10_000):
        story.done(f"t{number}")
    assert story.state is RunState.SUCCESS


def test_a_failure_ahead_of_ten_thousand_tasks_ends_them_all_at_once() -> None:
    story = Story(chain(10_000))
    story.begin()
    story.fails("t0")
    assert story.state is RunState.FAILED
    assert set(story.states().values()) == {TaskState.FAILED, TaskState.UPSTREAM_FAILED}
