"""The edge for services: a real server and real channels. Messages are plain bytes, so that no stub is needed."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kit import logs, messages, rpc
from kit.auth import ServiceCaller, ServiceTokens
from kit.errors import (
    Conflict,
    Error,
    FieldError,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    Outdated,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

NAME = "kit.test.v1.EchoService"
SECRET = "a-secret-of-the-tests"

ERRORS: dict[str, Error] = {
    "Invalid": Invalid(
        "invalid",
        fields=(
            FieldError("body.이름 | 값", "string_too_long", (("max_length", 5),)),
            FieldError("body.y", "missing"),
        ),
    ),
    "Forbidden": Forbidden("forbidden", permission="run:write"),
    "NotFound": NotFound("not_found"),
    "Conflict": Conflict("json_invalid", error="이미 끝났습니다 = 성공\n둘째 줄"),
    "Outdated": Outdated("outdated"),
    "TooLarge": TooLarge("task_too_large", limit=5),
    "Limited": Limited("limited", retry_after=7),
    "Unavailable": Unavailable("unavailable"),
}


class RunNotFound(NotFound):
    """A service's own class: it comes back as the class of kit's that it is."""

    def __init__(self) -> None:
        super().__init__("not_found")


class Echo:
    """What the server does with a request, by its text."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.asked = 0

    async def say(self, request: bytes, context: Any) -> bytes:
        self.asked += 1
        match request.decode():
            case "who":
                who = rpc.service_caller.get()
                return "|".join((who.service, who.organization_id, who.user_id, logs.trace_id.get())).encode()
            case "bug":
                raise RuntimeError("the secret of the house")
            case "database":
                lost = ConnectionResetError("the secret of the house")
                raise sa.exc.OperationalError("SELECT", {}, lost, connection_invalidated=True)
            case "own class":
                raise RunNotFound
            case "language":
                return messages.language.get().encode()
            case "own words":
                raise Invalid("invalid", fields=(FieldError("body.x", "in no catalogue"),))
            case "many fields":
                fields = tuple(FieldError(f"body.jobs[{n}].name", "string_too_long") for n in range(10_000))
                raise Invalid("invalid", fields=fields)
            case "much text":
                raise Conflict("json_invalid", error="가" * 100_000)
            case "abort":
                await context.abort(grpc.StatusCode.NOT_FOUND, "by hand")
            case "wait":
                self.entered.set()
                await asyncio.get_running_loop().run_in_executor(None, self.released.wait, 20)
            case name if name in ERRORS:
                raise ERRORS[name]
        return request

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            yield str(number).encode()
        if request.decode() in ERRORS:
            raise ERRORS[request.decode()]
        if request == b"bug":
            raise RuntimeError("the secret of the house")

    async def read(self, request: health_pb2.HealthCheckRequest, context: Any) -> bytes:
        self.asked += 1
        return request.service.encode()

    async def read_stream(self, request: health_pb2.HealthCheckRequest, context: Any) -> AsyncIterator[bytes]:
        self.asked += 1
        yield request.service.encode()

    @rpc.in_thread
    def threaded(self, request: Any, caller: ServiceCaller) -> bytes:
        if request == b"refuse":
            raise Forbidden("forbidden", permission=caller.organization_id)
        return f"{caller.organization_id}|{logs.trace_id.get()}|{threading.current_thread().name}".encode()


def register(echo: Echo, server: Any) -> None:
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    handlers = {
        "Say": unary(echo.say),
        "Count": stream(echo.count),
        "Threaded": unary(echo.threaded),
        "Read": unary(echo.read, health_pb2.HealthCheckRequest.FromString),
        "ReadStream": stream(echo.read_stream, health_pb2.HealthCheckRequest.FromString),
    }
    server.add_registered_method_handlers(NAME, handlers)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


class House:
    """A loop in a thread, and the servers that run on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.echo = Echo()
        self.servers: list[rpc.Server] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def serve(self, port: int = 0) -> int:
        async def start() -> int:
            server = rpc.Server(ServiceTokens(SECRET, "echo-service"))
            server.add(NAME, register, self.echo)
            self.servers.append(server)
            return await server.start("127.0.0.1", port)

        return int(self.run(start()))

    def close(self) -> None:
        self.echo.released.set()
        for server in self.servers:
            self.run(server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.close()


class Client:
    """The echo service as another service calls it."""

    def __init__(self, target: str, audience: str = "echo-service") -> None:
        self.channel = rpc.connect(target)
        self.peer = rpc.Peer(ServiceTokens(SECRET, "caller-service"), audience)
        self.say = self.channel.unary_unary(f"/{NAME}/Say")
        self.threaded = self.channel.unary_unary(f"/{NAME}/Threaded")
        self.count = self.channel.unary_stream(f"/{NAME}/Count")

    def ask(self, text: str, **options: Any) -> str:
        answer: bytes = self.peer.call(self.say, text.encode(), **options)
        return answer.decode()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    with contextlib.ExitStack() as stack:

        def make(target: str, **options: str) -> Client:
            client = Client(target, **options)
            stack.callback(client.channel.close)
            return client

        yield make


@pytest.fixture
def port_of(house: House) -> int:
    return house.serve()


@pytest.fixture
def client(port_of: int, connect: Callable[..., Client]) -> Client:
    return connect(f"127.0.0.1:{port_of}")


def test_a_call_says_which_service_asks_for_whom_and_carries_the_trace(client: Client) -> None:
    token = logs.trace_id.set("ab" * 16)
    try:
        answer = client.ask("who", organization_id="o1", user_id="u1")
    finally:
        logs.trace_id.reset(token)
    assert answer == f"caller-service|o1|u1|{'ab' * 16}"


def test_a_method_in_a_thread_keeps_its_caller_and_trace(client: Client) -> None:
    token = logs.trace_id.set("cd" * 16)
    try:
        answer = client.peer.call(client.threaded, b"", organization_id="o1").decode()
    finally:
        logs.trace_id.reset(token)
    assert answer.startswith(f"o1|{'cd' * 16}|")
    with pytest.raises(Forbidden):
        client.peer.call(client.threaded, b"refuse", organization_id="o1")


def test_only_a_plain_function_runs_in_a_thread() -> None:
    async def method(self: Any, request: Any, caller: ServiceCaller) -> None: ...

    with pytest.raises(TypeError):
        rpc.in_thread(method)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_comes_back_as_the_same_class_with_its_parameters_and_fields(client: Client, name: str) -> None:
    with pytest.raises(Error) as raised:
        client.ask(name)
    sent, got = ERRORS[name], raised.value
    assert type(got) is type(sent)
    assert (got.code, got.params, got.fields) == (sent.code, sent.params, sent.fields)
    for lang in messages.LANGUAGES:
        assert messages.text(got.code, lang=lang, **got.params) == messages.text(sent.code, lang=lang, **sent.params)


def test_the_fields_of_an_error_can_be_read_aloud_on_the_other_side(client: Client) -> None:
    with pytest.raises(Invalid) as raised:
        client.ask("Invalid")
    [first, _] = raised.value.fields
    assert messages.text(first.code, lang="ko", **dict(first.params)) == "5자 이하여야 합니다."


def test_a_reason_that_no_catalogue_here_has_comes_in_the_words_of_the_other_side(client: Client) -> None:
    with pytest.raises(Invalid) as raised:
        client.ask("own words")
    assert raised.value.fields == (FieldError("body.x", "said_elsewhere", (("text", "in no catalogue"),)),)


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_the_other_side_speaks_the_callers_language(client: Client, language: str) -> None:
    messages.language.set(language)
    assert client.ask("language") == language


def test_a_services_own_class_comes_back_as_kits(client: Client) -> None:
    with pytest.raises(NotFound) as raised:
        client.ask("own class")
    assert type(raised.value) is NotFound


def test_an_error_that_is_too_long_for_metadata_is_cut_not_lost(client: Client) -> None:
    with pytest.raises(Invalid) as many:
        client.ask("many fields")
    assert 10 < len(many.value.fields) < 1_000
    with pytest.raises(Conflict) as much:
        client.ask("much text")
    assert (much.value.code, much.value.params) == ("json_invalid", {})


def test_a_bug_leaks_nothing_and_is_not_the_callers_fault(client: Client) -> None:
    with pytest.raises(Unavailable) as raised:
        client.ask("bug")
    assert raised.value.code == "unavailable"
    cause = raised.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    assert cause.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in cause.details()


def test_a_database_that_is_away_is_unavailable_and_not_asked_again(client: Client, house: House) -> None:
    asked = house.echo.asked
    with pytest.raises(Unavailable) as caught:
        client.ask("database")
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert house.echo.asked == asked + 1
    assert "secret" not in caught.value.__cause__.details()


@pytest.mark.parametrize("sent", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x0b" * 200])
def test_bytes_that_are_no_message_are_the_callers_fault(client: Client, house: House, sent: bytes) -> None:
    read = client.channel.unary_unary(f"/{NAME}/Read")
    stream = client.channel.unary_stream(f"/{NAME}/ReadStream")
    metadata = client.peer.metadata("o1")
    sound = health_pb2.HealthCheckRequest(service="이름").SerializeToString()
    assert read(sound, metadata=metadata).decode() == "이름"
    assert [piece.decode() for piece in stream(sound, metadata=metadata)] == ["이름"]
    asked = house.echo.asked
    for call in (read, lambda *args, **options: list(stream(*args, **options))):
        with pytest.raises(grpc.RpcError) as refused:
            call(sent, metadata=metadata)
        error = rpc.translate(refused.value)
        assert type(error) is Invalid
        assert [(field.field, field.code) for field in error.fields] == [("request", "message_invalid")]
        # who may not ask learns nothing about what they sent
        with pytest.raises(grpc.RpcError) as unknown:
            call(sent)
        assert unknown.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert house.echo.asked == asked


def test_a_status_set_by_hand_passes(client: Client) -> None:
    with pytest.raises(Unavailable) as raised:
        client.ask("abort")
    assert raised.value.__cause__.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[union-attr]


def test_a_request_that_no_server_understands_is_unavailable(client: Client) -> None:
    with pytest.raises(Unavailable):
        client.peer.call(client.channel.unary_unary(f"/{NAME}/Nothing"), b"")


def test_a_message_may_have_four_mebibytes(client: Client) -> None:
    assert len(client.ask("x" * (rpc.MESSAGE_LIMIT - 1024))) == rpc.MESSAGE_LIMIT - 1024
    with pytest.raises(Unavailable):
        client.ask("x" * (rpc.MESSAGE_LIMIT + 1))


def test_a_stream_is_answered_and_its_error_crosses_too(client: Client) -> None:
    metadata = client.peer.metadata("o1")
    assert list(client.count(b"", metadata=metadata)) == [b"0", b"1", b"2"]
    for name, sent in ERRORS.items():
        got: list[bytes] = []
        with pytest.raises(grpc.RpcError) as raised:
            got.extend(client.count(name.encode(), metadata=metadata))
        error = rpc.translate(raised.value)
        assert (type(error), error.code, error.params, error.fields) == (
            type(sent),
            sent.code,
            sent.params,
            sent.fields,
        )
    with pytest.raises(grpc.RpcError) as bug:
        list(client.count(b"bug", metadata=metadata))
    assert (bug.value.code(), bug.value.details()) == (grpc.StatusCode.INTERNAL, "internal")


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Basic YTpi"),),
        (("authorization", "Bearer nonsense"),),
        (("authorization", f"Bearer {ServiceTokens(SECRET, 'a').make('another-service')}"),),
        (("authorization", f"Bearer {ServiceTokens('another secret', 'a').make('echo-service')}"),),
    ],
    ids=["none", "basic", "nonsense", "audience", "key"],
)
def test_without_a_sound_service_token_nobody_is_served(client: Client, house: House, metadata: Any) -> None:
    with pytest.raises(grpc.RpcError) as unary:
        client.say(b"who", metadata=metadata)
    assert unary.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as stream:
        list(client.count(b"", metadata=metadata))
    assert stream.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert house.echo.asked == 0


def test_a_refused_service_token_does_not_log_the_person_out(port_of: int, connect: Callable[..., Client]) -> None:
    with pytest.raises(Unavailable) as raised:
        connect(f"127.0.0.1:{port_of}", audience="another-service").ask("who")
    assert isinstance(raised.value.__cause__, grpc.RpcError)
    assert not isinstance(raised.value, Unauthenticated)
    assert raised.value.code == "unavailable"


def test_a_call_ends_at_its_deadline(client: Client, house: House) -> None:
    with pytest.raises(Unavailable) as raised:
        client.ask("wait", timeout_s=0.2)
    assert raised.value.__cause__.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[union-attr]


def test_a_call_is_tried_again_while_its_server_is_not_up_yet(
    house: House, connect: Callable[..., Client], port: int
) -> None:
    client = connect(f"http://127.0.0.1:{port}/")
    refused = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            refused.set()

    client.channel.subscribe(note)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.ask, "hello")
        assert refused.wait(20)
        assert not asked.done()
        house.serve(port)
        assert asked.result(20) == "hello"


def test_a_server_that_stays_away_is_unavailable(connect: Callable[..., Client], port: int) -> None:
    with pytest.raises(Unavailable):
        connect(f"127.0.0.1:{port}").ask("hello")


def test_a_port_that_is_taken_is_said_at_once(house: House, port_of: int) -> None:
    with pytest.raises(RuntimeError):
        house.serve(port_of)
    house.servers.pop()


def test_health_and_reflection_need_no_token(client: Client) -> None:
    health = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", NAME):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    reflection = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    [answer] = reflection.ServerReflectionInfo(iter([listing]))
    assert NAME in {service.name for service in answer.list_services_response.service}


def test_a_server_that_stops_says_so_and_ends_its_open_calls(client: Client, house: House) -> None:
    health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
    assert next(health).status == health_pb2.HealthCheckResponse.SERVING
    with ThreadPoolExecutor(1) as pool:
        open_call = pool.submit(client.ask, "wait", timeout_s=20)
        assert house.echo.entered.wait(20)
        stopping = asyncio.run_coroutine_threadsafe(house.servers[0].stop(20), house.loop)
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(Unavailable):
            client.ask("hello", timeout_s=2)
        house.echo.released.set()
        assert open_call.result(20) == "wait"
    health.cancel()
    stopping.result(20)


COLOURS = {"COLOUR_UNSPECIFIED": 0, "COLOUR_DARK_RED": 1}


def test_an_enums_number_is_its_name_without_the_prefix() -> None:
    assert rpc.from_enum(COLOURS, "COLOUR_", 1) == "dark_red"


@pytest.mark.parametrize("number", [0, 2, -1])
def test_an_enums_number_that_means_nothing_is_refused(number: int) -> None:
    with pytest.raises(Invalid) as refused:
        rpc.from_enum(COLOURS, "COLOUR_", number)
    assert refused.value.fields[0].field == "colour"
