"""The types as a worker runs them, without a platform: `pytest` in this folder, with the package installed."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from worker_service.sdk import testing

PRICES = "name,price,made in\n머그,12000,이천\n접시,9000,여주\n찻잔,21000,이천\n".encode()


@pytest.mark.parametrize("name", ["csv.fetch", "text.word_count", "image.thumbnail"])
def test_every_text_is_there_in_both_languages(name: str) -> None:
    assert testing.missing_texts(name) == []


# --- csv.fetch ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[str]:
    """`host:port` of a server that has prices, and trouble."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = {"/prices.csv": (200, PRICES), "/busy.csv": (503, b"")}.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def fetch(server: str, path: str, **parameters: Any) -> testing.Ran:
    # a task reaches public addresses only, and what the installation allows beyond
    return testing.run("csv.fetch", {"url": f"http://{server}{path}", **parameters}, allowed_hosts=server)


def test_the_wanted_columns_of_the_wanted_rows_come(server: str) -> None:
    ran = fetch(server, "/prices.csv", columns=["name", "price"], rows=2)
    assert ran.output == {
        "columns": ["name", "price"],
        "rows": [{"name": "머그", "price": "12000"}, {"name": "접시", "price": "9000"}],
        "more": True,
    }
    assert ran.progress[-1] == (1.0, "download")
    [line] = ran.lines
    assert (line.event, line.fields["bytes"]) == ("csv_fetched", len(PRICES))


def test_a_missing_column_is_named_with_those_there_are(server: str) -> None:
    error = fetch(server, "/prices.csv", columns=["weight"]).error
    assert error is not None
    assert error["message"] == "There is no column 'weight'. There are: name, price, made in"


@pytest.mark.parametrize(("path", "retryable"), [("/busy.csv", True), ("/none.csv", False)])
def test_what_may_be_better_next_time_is_retryable(server: str, path: str, retryable: bool) -> None:
    error = fetch(server, path).error
    assert error is not None
    assert (error["code"], error["retryable"]) == ("csv_refused", retryable)


def test_an_address_that_is_not_allowed_is_not_reached(server: str) -> None:
    ran = testing.run("csv.fetch", {"url": f"http://{server}/prices.csv"})
    assert ran.output is None


# --- text.word_count ------------------------------------------------------------------------------------------------


def test_words_of_any_script_are_counted() -> None:
    ran = testing.run("text.word_count", {"text": "물 한 잔, 물 두 잔.\nWater, water!", "top": 3})
    top = [{"word": "물", "count": 2}, {"word": "water", "count": 2}, {"word": "잔", "count": 2}]
    assert ran.output == {"words": 8, "distinct": 5, "top": sorted(top, key=lambda word: str(word["word"]))}
    assert ran.events == ["words_counted"]


def test_a_long_text_comes_from_an_artifact_and_tells_how_far_it_is() -> None:
    ran = testing.run("text.word_count", {"artifact": "in.txt"}, artifacts={"in.txt": b"one two\n" * 5_000})
    assert ran.output is not None
    assert ran.output["words"] == 10_000
    assert ran.progress[-1] == (1.0, "10000 words")
    fractions = [fraction for fraction, _ in ran.progress]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({"text": " … "}, "text_empty"), ({}, "invalid_parameters"), ({"artifact": "none.txt"}, "artifact_missing")],
)
def test_what_cannot_be_counted_says_so(parameters: dict[str, Any], code: str) -> None:
    error = testing.run("text.word_count", parameters).error
    assert error is not None
    assert (error["code"], error["retryable"]) == (code, False)


# --- image.thumbnail ------------------------------------------------------------------------------------------------


def picture(width: int, height: int) -> bytes:
    packed = io.BytesIO()
    Image.new("RGBA", (width, height), "teal").save(packed, "PNG")
    return packed.getvalue()


def test_a_picture_is_made_smaller_and_keeps_its_shape() -> None:
    ran = testing.run("image.thumbnail", {"artifact": "mug.png"}, artifacts={"mug.png": picture(1280, 640)})
    assert ran.output is not None
    assert (ran.output["path"], ran.output["width"], ran.output["height"]) == ("thumbnails/mug.jpg", 320, 160)
    with Image.open(io.BytesIO(ran.artifacts["thumbnails/mug.jpg"])) as small:
        assert (small.format, small.size) == ("JPEG", (320, 160))


def test_what_is_no_picture_is_refused() -> None:
    error = testing.run("image.thumbnail", {"artifact": "a.png"}, artifacts={"a.png": b"no picture"}).error
    assert error is not None
    assert error["code"] == "picture_unreadable"
