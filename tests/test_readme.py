"""What the READMEs tell people to type is typed here, in order; what cannot be is listed with its reason and test."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from platform_house import Platform, ok
from typer.main import get_command

from flowweaver_cli.__main__ import app

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.ko.md"]
PAGES = [*READMES, "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
LANGUAGES = dict(zip(READMES, ("en", "ko"), strict=True))
# what differs between the languages: what is shown to people
WORDS = {
    "Search the shop": "상점 검색",
    "Keep what fits": "맞는 상품만",
    "Find products": "상품 찾기",
    "Looks in the shop and keeps what fits.": "상점에서 찾아 맞는 상품만 남깁니다.",
    '"Find"': '"찾기"',
    '"Keyword"': '"키워드"',
    "What to look for": "찾을 말",
    "At most": "최대 개수",
    "Monday morning": "월요일 아침",
    "export FLOWWEAVER_LANGUAGE=en\n": "",
}


@dataclass(frozen=True)
class NotTypedHere:
    """Why a command is not run by these tests, and the test that covers what it does (`file::function`)."""

    why: str
    covered_by: str | None


_UP = "tests/test_readme.py::guide"
_DEMO = "tests/test_demo.py::test_the_demo_publishes_an_article_and_shows_where_to_go_on"
NOT_TYPED = {
    "git clone ADDRESS-OF-THIS-REPOSITORY flowweaver": NotTypedHere("this checkout is that clone", None),
    "cd flowweaver": NotTypedHere("we are there", None),
    "export FLOWWEAVER_LANGUAGE=en": NotTypedHere("the platform here is started so", _UP),
    "make demo": NotTypedHere("lasts until Ctrl-C", _DEMO),
    "make demo KEYWORD=텀블러": NotTypedHere("lasts until Ctrl-C", _DEMO),
    "make demo ONCE=1": NotTypedHere(
        "as long as everything else here", "tests/test_demo.py::test_once_it_leaves_nothing_running"
    ),
    "make up": NotTypedHere("lasts until Ctrl-C: the program that it calls is started here", _UP),
    "make test": NotTypedHere("is what runs this test", None),
    "make help": NotTypedHere(
        "has a test of its own", "tests/test_readme.py::test_help_lists_every_target_that_a_readme_names"
    ),
    "make fuzz": NotTypedHere(
        "takes twenty minutes", "tests/test_fuzz.py::test_whatever_is_asked_the_answer_is_what_the_document_promises"
    ),
    "make check": NotTypedHere(
        "takes minutes; make test runs what it checks of the pages",
        "tests/test_docs.py::test_every_relative_link_leads_somewhere",
    ),
}
# pages that another test types, whole
TYPED_ELSEWHERE = {"docs/task-types.md": "tests/test_task_types.py::test_from_an_empty_folder_to_a_running_type"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shell_blocks(name: str) -> list[str]:
    return re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)


def is_typed(block: str) -> bool:
    """False for a block of commands that the table lists; a block holds only such or none."""
    lines = [line.partition(" #")[0].strip() for line in block.splitlines() if line.strip()]
    listed = [line in NOT_TYPED for line in lines]
    assert all(listed) or not any(listed), f"one block, two kinds of commands:\n{block}"
    return not any(listed)


# --- typed ---------------------------------------------------------------------------------------------------------


@dataclass
class Guide:
    """A folder that looks like a checkout where `make up` was typed, and what was typed in it since."""

    folder: Path
    platform: Platform
    answers: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)

    def api(self) -> httpx.Client:
        password = (self.folder / ".data" / "secrets" / "admin-password").read_text().strip()
        return self.platform.client(self.platform.log_in("admin@flowweaver.local", password))

    def there_is(self) -> dict[str, int]:
        """How many of each there are."""
        with self.api() as api:
            return {name: len(ok(api.get(f"/{name}"))["items"]) for name in ("workflows", "workflow-runs", "schedules")}

    def type(self, blocks: list[str]) -> None:
        """All of it in one shell, as a person's terminal is one; `answers` are what each block printed."""
        mark, names = "-- next block --", ("FLOW", "RUN", "BAD", "AGAIN")
        told = "; ".join(f'printf "%s=%s\\n" {name} "${{{name}-}}"' for name in names)
        script = f"\necho '{mark}'\n".join([*blocks, told]).replace("http://127.0.0.1:9000", self.platform.base_url)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("FLOWWEAVER_")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        *self.answers, variables = done.stdout.split(f"{mark}\n")
        self.variables = dict(line.split("=", 1) for line in variables.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Makefile would find its programs, and keep its data."""
    made = tmp_path_factory.mktemp("flowweaver")
    (made / ".venv" / "bin").mkdir(parents=True)
    for program in ("python", "flowweaver"):
        script = made / ".venv" / "bin" / program
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(Path(sys.executable).with_name(program)))} "$@"\n')
        script.chmod(0o755)
    return made


@pytest.fixture(scope="module", params=READMES)
def guide(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, Guide]]:
    """The platform as `make up` starts it, in the README's language, with nobody's settings; then all is typed.

    The second README's hour is a second start with the data of the first.
    """
    unset = ["ADMIN_EMAIL", "ADMIN_PASSWORD", "TEST_TASKS", "ACCESS_TOKEN_S", "LOGIN_RATE", "LOGIN_BURST"]
    environment = {f"FLOWWEAVER_{name}": "" for name in unset}
    environment["FLOWWEAVER_LANGUAGE"] = LANGUAGES[request.param]
    found = Guide(folder, Platform(folder / ".data", environment))
    had = (folder / ".data").exists()
    found.platform.start()
    try:
        found.before = found.there_is()
        # all that the first README made, when its hour came before
        expected = {"workflows": 1, "workflow-runs": 3, "schedules": 1} if had else dict.fromkeys(found.before, 0)
        assert found.before == expected
        found.type(
            [block for block in shell_blocks(request.param) if is_typed(block) and "flowweaver stop" not in block]
        )
        yield request.param, found
    finally:
        found.platform.stop()


def test_a_first_hour_does_what_the_page_says(guide: tuple[str, Guide]) -> None:
    name, typed = guide
    blocks = [block for block in shell_blocks(name) if is_typed(block)]
    said = dict(zip(blocks, typed.answers, strict=False))

    def answer(part: str) -> str:
        [found] = [said[block] for block in said if part in block]
        return found

    assert '"type": "product.search"' in answer("$BASE/task-types")
    assert answer("definition() {").strip() == "true"
    made = answer("$BASE/tasks/io-data")
    assert made.startswith("SUCCESS\n")
    assert "접이식 경량 캠핑 의자" in made
    assert '"event": "products_matched"' in made
    refused = json.loads(answer('{"input": {}}'))
    assert refused["status"] == 422
    assert "keyword" in refused["errors"][0]["reason"]
    schedule = json.loads(answer("0 8 * * 1"))
    assert schedule["description"] == {"en": "Every Monday at 08:00", "ko": "매주 월요일 08:00"}[LANGUAGES[name]]
    version, ended, error, lacking = answer("no_such_shop").splitlines()
    assert (version, ended, lacking) == ("2", "FAILED", "UPSTREAM_FAILED")
    assert json.loads(error)["code"] == "site_unknown"
    assert "no_such_shop" in json.loads(error)["message"]
    assert answer("/rerun").splitlines() == ["3", "SUCCESS"]
    assert typed.platform.base_url in answer("flowweaver status")
    assert answer("flowweaver logs").count("worker-0") == 5


def test_the_runs_are_what_the_page_says_of_the_screen(guide: tuple[str, Guide]) -> None:
    _, typed = guide
    with typed.api() as api:
        runs = ok(api.get("/workflow-runs", params={"workflow_id": typed.variables["FLOW"]}))["items"]
        assert [run["run_id"] for run in runs] == [typed.variables[name] for name in ("AGAIN", "BAD", "RUN")]
        again = ok(api.get(f"/workflow-runs/{typed.variables['AGAIN']}"))
        assert (again["rerun_of"], again["workflow_version"]) == (typed.variables["BAD"], 3)
        workflow = ok(api.get(f"/workflows/{typed.variables['FLOW']}/detail"))
        assert list(workflow["input_schema"]["properties"]) == ["keyword", "limit"]
        assert workflow["default_config"] == {"search": {"site": "demo_shop"}}


def test_it_stops_and_the_next_start_finds_everything_again(guide: tuple[str, Guide]) -> None:
    name, typed = guide
    one = {"workflows": 1, "workflow-runs": 3, "schedules": 1}
    assert typed.there_is() == {kind: typed.before[kind] + count for kind, count in one.items()}
    typed.type([block for block in shell_blocks(name) if "flowweaver stop" in block])
    process = typed.platform.process
    assert process is not None
    assert process.wait(30) == 0


def test_help_lists_every_target_that_a_readme_names() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout
    listed = set(re.findall(r"^  make ([a-z]+)", told, re.MULTILINE))
    for name in READMES:
        assert set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)", text_of(name), re.MULTILINE)) - {("help", "")} <= {
            pair for target in listed for pair in ((target, ""), ("", target))
        }


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ("make demo FLOWWEAVER_PORT=9100", r'flowweaver demo +--keyword "\$KEYWORD"'),
        ("make demo KEYWORD=텀블러", r'flowweaver demo +--keyword "\$KEYWORD"'),
        ("make demo ONCE=1", r"flowweaver demo --once"),
        ("make up", r"flowweaver up$"),
    ],
)
def test_what_is_not_typed_calls_the_program_that_other_tests_start(command: str, calls: str) -> None:
    shown = subprocess.run(
        [*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert re.search(calls, re.sub(r"\\\n\s*", "", shown), re.MULTILINE), shown


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_typed_or_has_its_reason(name: str) -> None:
    """Whole blocks of the READMEs are typed; other pages have none that is not in the table."""
    for block in shell_blocks(name):
        if is_typed(block):
            assert name in (*READMES, *TYPED_ELSEWHERE), f"nobody runs this:\n{block}"


def test_the_table_lists_what_there_is_and_names_tests_that_exist() -> None:
    lines = {
        line.partition(" #")[0].strip()
        for name in READMES
        for block in shell_blocks(name)
        for line in block.splitlines()
    }
    assert set(NOT_TYPED) <= lines
    covered = {command: reason.covered_by for command, reason in NOT_TYPED.items()} | TYPED_ELSEWHERE
    for what, by in covered.items():
        if by is not None:
            path, _, function = by.partition("::")
            tree = ast.parse(text_of(path))
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, what


@pytest.mark.parametrize("name", PAGES)
def test_every_command_within_a_line_exists(name: str) -> None:
    """`make …`, `flowweaver …` and `npm run …` between backticks: target, command with its options, script."""
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    scripts = json.loads(text_of("web/package.json"))["scripts"]
    commands: Any = get_command(app)
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL)):
        words = [word for word in span.split() if not re.fullmatch(r"[A-Z_]+=\S+", word)]
        for first, second in pairwise(words[:3]):
            if first == "make":
                assert second in targets, span
            if first == "run" and words[0] == "npm":
                assert second in scripts, span
        if words[:1] == ["flowweaver"] and len(words) > 1:
            command = commands.commands[words[1]]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words[2:] if word.startswith("-")} <= options, span


# --- both languages, links and pictures -----------------------------------------------------------------------------


def test_both_languages_have_the_same_commands() -> None:
    english, korean = ([re.sub(r"\s+#.*", "", block) for block in shell_blocks(name)] for name in READMES)
    for word, translated in WORDS.items():
        assert any(word in block for block in english), word
        english = [block.replace(word, translated) for block in english]
    assert english == korean


@pytest.mark.parametrize("name", READMES)
def test_every_link_leads_somewhere_and_every_picture_says_what_it_shows(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", text_of(name)):
        assert target.startswith("http") or (ROOT / target).exists(), target
    shown = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text_of(name))
    assert 3 <= len(shown) <= 5
    assert all(len(alt) >= 20 for alt, _ in shown)
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "images" / LANGUAGES[name]).iterdir()}
    assert {target for _, target in shown} == there


def test_the_pictures_are_sharp_and_small() -> None:
    pictures = sorted((ROOT / "docs" / "images").rglob("*.*"))
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) <= 120_000
    assert sum(sizes) <= 1_000_000
    for path in pictures:
        with Image.open(path) as picture:
            assert (picture.format, picture.width >= 1280) == ("PNG", True), path
