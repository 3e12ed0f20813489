"""Keeps the platform's processes alive on this machine, and tells the gateway which of them may get requests.

A child that ends is started again: at once or soon when it had been ready, ever later when it cannot even start. Who is
ready stands in the gateway's list of servers, who is not does not. When this process ends, however it ends, so do its
children.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from flowweaver_cli import endpoint, openapi, probe
from flowweaver_cli.addresses import Addresses, ProgramMissing
from flowweaver_cli.backoff import BackOff
from flowweaver_cli.endpoint import ChildEntry, Endpoint
from flowweaver_cli.fleet import GATEWAY, ROLES, Child, Role, State
from flowweaver_cli.gateway import PAGES, Replica
from flowweaver_cli.launch import ForkServer, Running, send, start_program
from flowweaver_cli.limits import allow_many_open_files
from flowweaver_cli.output import Output, Show
from flowweaver_cli.ports import Ports, PortTaken
from flowweaver_cli.settings import REPLICAS_MOST, SCALABLE, Settings, not_on_sqlite
from kit.messages import text

_START_FAILURES = 4
_CONFIGURATION_WRONG, _NEVER_BEGAN = 2, 255
# beyond the time that a child gives its open requests
_KILL_AFTER_S = 3.0


class AlreadyRunning(Exception):
    """Another supervisor holds the data folder. `pid` is 0 when it does not say."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class StartFailed(Exception):
    """A child ended again and again before the platform was ready, or the time was up."""

    def __init__(self, reason: str, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.last_lines = last_lines


class Supervisor:
    """`run` starts everything and returns after `stop`, or raises AlreadyRunning, PortTaken or StartFailed.

    `show` gets the children's lines, `watch` is called whenever a child's state changed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        show: Show,
        watch: Callable[["Supervisor"], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.data = settings.data.resolve()
        self.children: list[Child] = []
        self.ready: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self._show = show
        self._watch = watch
        self._ports = Ports()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = 0
        self._generation = 0
        self._published: list[Replica] = []

    # --- the whole --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begins an orderly stop; asked again, whoever still runs is killed."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.data / "supervisor.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            holder = endpoint.find_holder(self.data)
            raise AlreadyRunning(holder.pid if holder else 0) from error
        try:
            endpoint.remove(self.data)
            self._addresses = Addresses(self.settings, self._ports)
            self._gateway = self._addresses.gateway()
            endpoint.announce(self.data, sqlite=self.settings.sqlite)
            allow_many_open_files()
            self._forks = ForkServer()
            await self._live()
        finally:
            endpoint.remove(self.data)
            endpoint.withdraw(self.data)
            lock.release()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._rescale(_wanted(self.data)))
        self._gateway.write()
        for role in ROLES:
            for replica in range(self.settings.replicas.get(role.service, 1)):
                self._add(role, replica)
        guard = endpoint.removed_in_any_case(self.data)
        getting_ready = asyncio.create_task(self._get_ready())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([getting_ready, stopping], return_when=asyncio.FIRST_COMPLETED)
            if getting_ready.done():
                getting_ready.result()
                await stopping
        finally:
            getting_ready.cancel()
            stopping.cancel()
            self._stop.set()
            endpoint.remove(self.data)
            guard.communicate()
            await self._stop_all()
            self.ready.cancel()
        if not self.ready.cancelled() and (error := self.ready.exception()):
            raise error

    async def _get_ready(self) -> None:
        try:
            async with asyncio.timeout(self.settings.ready_timeout_s):
                await self._until(lambda: all(child.state == State.READY for child in self.children))
                outdated = not openapi.is_missing(self.data)
                if not outdated:
                    await self._write_openapi()
                await self._applied()
                await asyncio.gather(probe.until(self._is_open), probe.until(self._knows_task_types))
        except TimeoutError:
            late = [child for child in self.children if child.state != State.READY]
            lines = tuple(late[0].output.last) if late else ()
            names = ", ".join(child.name for child in late) or GATEWAY
            self._fail(StartFailed(text("not_ready_in_time", names=names), lines))
            return
        self.ready_s = round(time.time() - psutil.Process().create_time(), 2)
        self.ready.set_result(self._write_endpoint())
        if outdated:
            # what an earlier start left was served until now
            await self._write_openapi()

    async def _is_open(self) -> bool:
        return await probe.is_well(self._addresses.public_port, "/health", tls=self._addresses.tls)

    async def _knows_task_types(self) -> bool:
        """Makes workflow-service ask the workers now: its own turn comes seconds later."""
        port = next(child.port for child in self.children if child.role.service == "workflow")
        return (await probe.get(port, "/internal/learn-task-types"))[0] == 204

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    async def _write_openapi(self) -> None:
        answering = [child for child in self.children if child.role.service in SCALABLE and child.replica == 0]
        documents = {
            child.role.service: (await probe.get(child.port, "/internal/openapi.json", timeout_s=15))[1]
            for child in answering
        }
        openapi.write(self.data, documents)

    async def _stop_all(self) -> None:
        for stage in sorted({child.role.stop_stage for child in self.children}):
            await asyncio.gather(*(self._end(child) for child in self.children if child.role.stop_stage == stage))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for child in self.children:
            child.output.close()
        self._forks.close()
        await asyncio.to_thread(_end_rest)

    # --- one child --------------------------------------------------------------------------------------------------

    def _add(self, role: Role, replica: int) -> None:
        output = Output(f"{role.service}-{replica}", self.data / "logs", self._show, self._started)
        self._started += 1
        child = Child(role, replica, output)
        self.children.append(child)
        self._tasks[child.name] = asyncio.create_task(self._keep(child))

    async def _keep(self, child: Child) -> None:
        """Starts the child again and again until it retires."""
        loop, back_off = asyncio.get_running_loop(), BackOff()
        while not child.retiring and not self._stop.is_set():
            began, child.was_ready = loop.time(), False
            try:
                status = await self._live_once(child)
            except ProgramMissing as error:
                self._fail(StartFailed(text("program_missing", name=error)))
                break
            except (OSError, EOFError, PortTaken) as error:
                # no port, or the fork server died while it was asked: as if the child had ended at once
                self._show(f"{child.name}: {error!r}")
                status = _NEVER_BEGAN
            if child.retiring or self._stop.is_set():
                break
            pause = back_off.after(loop.time() - began, was_ready=child.was_ready)
            self._give_up_start(child, status, back_off.failures)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.woken.wait(), pause)
        child.gone.set()

    async def _live_once(self, child: Child) -> int:
        """One life of a child; its exit status."""
        self._addresses.assign(child)
        self._set(child, State.STARTING)
        child.running, pipe = await self._start(child)
        reading = asyncio.create_task(child.output.take(pipe))
        ended = asyncio.create_task(child.running.wait())
        answering = asyncio.create_task(probe.until(lambda: self._answers(child)))
        await asyncio.wait([ended, answering], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not child.retiring:
            child.was_ready = True
            self._set(child, State.READY)
        status = await ended
        answering.cancel()
        child.running = None
        self._set(child, State.DOWN)
        # a process it started may hold the pipe a little longer
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading, 2)
        if not self._stop.is_set():
            self._show(text("child_ended", name=child.name, status=status))
        return status

    async def _start(self, child: Child) -> tuple[Running, int]:
        if child.role.module is not None:
            environment = self._addresses.service_environment(child)
            return await self._forks.start(child.name, child.role.module, environment)
        return await start_program(*self._addresses.program(child))

    async def _answers(self, child: Child) -> bool:
        match child.role.service:
            case "nats":
                return await probe.speaks_first(child.port, b"INFO ")
            case "gateway":
                return await probe.is_well(self._addresses.metrics_port, "/ping")
            case "demo-shop":
                return await probe.is_well(child.port, "/")
            case _:
                return await probe.is_well(child.port, "/readyz")

    def _give_up_start(self, child: Child, status: int, failures: int) -> None:
        """Before the platform was ever ready, a child that cannot start ends the start."""
        if not self.ready.done() and (status == _CONFIGURATION_WRONG or failures >= _START_FAILURES):
            reason = text("child_cannot_start", name=child.name, status=status)
            self._fail(StartFailed(reason, tuple(child.output.last)))

    def _fail(self, error: StartFailed) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self._stop.set()

    async def _end(self, child: Child) -> None:
        """Asks the child to end, and kills it when it takes too long."""
        child.retiring = True
        child.woken.set()
        if child.running is not None:
            send(child.running, signal.SIGTERM)
        gone = asyncio.create_task(child.gone.wait())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait(
            [gone, hurry], timeout=self.settings.drain_s + _KILL_AFTER_S, return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        if not child.gone.is_set() and child.running is not None:
            send(child.running, signal.SIGKILL)
        await gone

    # --- what the others learn --------------------------------------------------------------------------------------

    def _set(self, child: Child, state: State) -> None:
        child.state = state
        self._changed.set()
        if not self._stop.is_set():
            self._publish()
        self._watch(self)

    def _publish(self) -> None:
        """The gateway's servers and, once the platform was ready, endpoint.json."""
        replicas = [
            Replica(child.role.service, child.port, child.rpc_port)
            for child in self.children
            if child.role.service in (*SCALABLE, *PAGES) and child.state == State.READY
        ]
        if replicas != self._published:
            self._published = replicas
            self._generation += 1
            self._gateway.write_servers(replicas, generation=self._generation)
        if self.ready.done() and not self.ready.exception():
            self._write_endpoint()

    async def _applied(self) -> None:
        """Until the gateway runs by the list written last."""
        await probe.until(lambda: probe.is_well(self._addresses.metrics_port, f"/generation/{self._generation}"))

    def _write_endpoint(self) -> Endpoint:
        pids = [(child, child.running.pid) for child in self.children if child.running and child.state == State.READY]
        entries = tuple(
            ChildEntry(child.role.service, child.replica, pid, child.port, endpoint.tree_pss_mb(pid))
            for child, pid in pids
        )
        here = {id(child) for child, _ in pids}
        written = Endpoint(
            base_url=self._addresses.base_url,
            pid=os.getpid(),
            ready_s=self.ready_s,
            pss_mb=endpoint.whole_pss_mb(os.getpid(), entries),
            children=entries,
            missing=tuple(child.name for child in self.children if id(child) not in here and not child.retiring),
        )
        endpoint.write(self.data, written)
        return written

    # --- replicas ---------------------------------------------------------------------------------------------------

    def _rescale(self, counts: Mapping[str, int]) -> None:
        """Adds and retires replicas until there are as many as `counts` says; others stay as they are."""
        if self._stop.is_set() or (self.settings.sqlite and not_on_sqlite(dict(counts))):
            return
        for service, count in counts.items():
            staying = [child for child in self.children if child.role.service == service and not child.retiring]
            taken = {child.replica for child in self.children if child.role.service == service}
            free = (number for number in itertools.count() if number not in taken)
            for number in itertools.islice(free, max(0, count - len(staying))):
                self._add(next(role for role in ROLES if role.service == service), number)
            for child in sorted(staying, key=lambda child: child.replica)[count:]:
                child.retiring = True
                self._tasks[f"retire {child.name}"] = asyncio.create_task(self._retire(child))

    async def _retire(self, child: Child) -> None:
        # nobody is sent to it any more before it goes
        self._set(child, State.DRAINING)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._applied(), 5)
        await self._end(child)
        self.children.remove(child)
        child.output.close()
        self._addresses.release(child)
        self._publish()
        self._watch(self)


def _wanted(data: Path) -> dict[str, int]:
    try:
        counts = dict(json.loads(endpoint.replicas_file(data).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    return {
        service: count
        for service, count in counts.items()
        if service in SCALABLE and isinstance(count, int) and 1 <= count <= REPLICAS_MOST
    }


def _end_rest() -> None:
    """The fork server and its companion have nobody left to serve."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=1)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
