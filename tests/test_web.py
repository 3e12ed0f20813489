"""The web app: its types, units, colours and size; its client against the API; and people's ways in real Chromium.

The browser's ways are Playwright's (`web/tests/browser`), one test here for each of their files, against a platform of
this file's own, which all of them share. `make webtest` runs the same by hand.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from platform_house import ADMIN_EMAIL, ADMIN_PASSWORD, Platform

WEB = Path(__file__).resolve().parents[1] / "web"
# those that draw pictures are for people to look at
DRAWN = {"screenshots.spec.ts", "guide.spec.ts"}
SPECS = sorted({path.name for path in (WEB / "tests" / "browser").glob("*.spec.ts")} - DRAWN)
BROWSERS = [Path("/usr/bin") / name for name in ("chromium", "chromium-browser", "google-chrome")]
UNAVAILABLE = 69  # build.sh's exit status when Node or its packages cannot be had

pytestmark = pytest.mark.process


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """kill -9 of the process and of all that descend from it: a browser leads a process group of its own."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, timeout=10)
    process.wait(10)


class NoNode(Exception):
    """Neither on this machine nor from an index."""


def build_sh(tmp_path: Path, *arguments: str, seconds: float, **environment: str) -> str:
    """What `web/build.sh <arguments>` wrote. AssertionError with it unless that ended with 0; NoNode."""
    # a file, not a pipe: nobody waits for a reader, and what is written is there whatever happens
    written = tmp_path / "output.txt"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")}
    plain = {"CI": "1", "NO_COLOR": "1", "FORCE_COLOR": "0"}
    with written.open("wb") as out:
        process = subprocess.Popen(
            [str(WEB / "build.sh"), *arguments],
            env={**kept, **plain, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            kill_tree(process)
    text = written.read_text(encoding="utf-8", errors="replace")
    if status == UNAVAILABLE:
        raise NoNode(text)
    told = "did not end" if status is None else f"ended with {status}"
    assert status == 0, f"web/build.sh {' '.join(arguments)} {told} (within {seconds} s)\n{text[-20_000:]}"
    return text


@pytest.fixture(scope="module")
def built(left_out: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The app in web/dist, as the gateway serves it."""
    try:
        build_sh(tmp_path_factory.mktemp("build"), seconds=280)
    except NoNode:
        left_out["the web app"] = "Node or its packages could not be fetched"
        pytest.skip("no Node: see NOT COVERED")


@pytest.fixture(scope="module")
def chromium(left_out: dict[str, str]) -> Path:
    """The browser; without one what needs it is left out, loudly."""
    chosen = os.environ.get("CHROMIUM")
    found = next((path for path in ([Path(chosen)] if chosen else BROWSERS) if path.exists()), None)
    if found is None:
        left_out["the web app in a browser"] = "no Chromium: apt-get install chromium fonts-noto-cjk"
        pytest.skip("no Chromium: see NOT COVERED")
    return found


@pytest.fixture(scope="module")
def house(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that browsers may fill, whose tokens live so short that every walk renews its own."""
    found = Platform(tmp_path_factory.mktemp("web") / "platform", {"FLOWWEAVER_ACCESS_TOKEN_S": "10"}).start()
    yield found
    assert found.stop() == 0


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    ("script", "seconds"),
    [("types", 120), ("test", 120), ("contrast", 30), ("first-load", 30)],
)
def test_the_app_is_typed_right_in_its_parts_legible_and_small(script: str, seconds: float, tmp_path: Path) -> None:
    build_sh(tmp_path, "run", "--silent", script, seconds=seconds)


def test_the_client_is_generated_from_the_document_that_the_gateway_serves(house: Platform, tmp_path: Path) -> None:
    build_sh(tmp_path, "run", "--silent", "api:check", "--", house.base_url, seconds=60)


def walk(house: Platform, chromium: Path, folder: Path, *specs: str, workers: int = 2) -> dict[str, list[str]]:
    """Playwright's files (of these names): each test's outcome, as a line, by file."""
    report = folder / "report.json"
    with suppress(AssertionError):  # what failed is told by the test of its file
        build_sh(
            folder,
            *("run", "--silent", "test:browser", "--", f"--workers={workers}", "--reporter=list,json"),
            *(f"--output={folder / 'results'}", *specs),
            seconds=540,
            PLAYWRIGHT_JSON_OUTPUT_NAME=str(report),
            CHROMIUM=str(chromium),
            FLOWWEAVER_BASE_URL=house.base_url,
            FLOWWEAVER_DATA=str(house.data),
            FLOWWEAVER_ADMIN_EMAIL=ADMIN_EMAIL,
            FLOWWEAVER_ADMIN_PASSWORD=ADMIN_PASSWORD,
        )
    assert report.exists(), (folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-20_000:]
    outcomes: dict[str, list[str]] = {}
    for file in json.loads(report.read_text(encoding="utf-8"))["suites"]:
        for spec in file["specs"]:
            [test] = spec["tests"]
            result: dict[str, Any] = test["results"][-1] if test["results"] else {"status": "not run"}
            told = "\n".join(str(error.get("message", "")) for error in result.get("errors", []))
            line = f"{result['status']}: {spec['title']} ({result.get('duration', 0) / 1000:.1f} s)\n{told}"
            outcomes.setdefault(file["file"], []).append(line)
    return outcomes


_walked = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(scope="module")
def walked(
    request: pytest.FixtureRequest, house: Platform, chromium: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Every file, two at a time since they mostly wait. Once: a second try walks its own file alone."""
    if _walked not in request.config.stash:
        request.config.stash[_walked] = walk(house, chromium, tmp_path_factory.mktemp("browser"))
    return request.config.stash[_walked]


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("spec", SPECS)
def test_people_in_chromium_through_the_gateway(
    spec: str,
    walked: dict[str, list[str]],
    house: Platform,
    chromium: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    if getattr(request.node, "execution_count", 1) > 1:
        # decision 0015: the second try is a walk of its own, and not another look at the first one
        walked = walk(house, chromium, tmp_path, spec, workers=1)
    # a file that no test was found in proves nothing
    assert walked.get(spec), f"no test of {spec} was run"
    told = "\n".join(walked[spec])
    print(told)
    assert all(line.startswith("passed") for line in walked[spec]), told
