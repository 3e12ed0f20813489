"""The documentation says what is so: symbols and links exist, generated pages are fresh, commands are there."""

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_NOT_OURS = {
    ".venv",
    ".git",
    ".data",
    ".cache",
    "node_modules",
    ".pytest_cache",
    ".hypothesis",
    ".mypy_cache",
    "test-results",
}


def _pages() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - _NOT_OURS)
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".md"))


PAGES = list(_pages())


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- symbols -------------------------------------------------------------------------------------------------------

SYMBOLS = sorted(
    {
        (path, symbol)
        for page in PAGES
        for path, symbol in re.findall(r"`([\w./-]+\.py)::([\w.]+)`", page.read_text(encoding="utf-8"))
    }
)


def _symbols(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Functions, classes with their members, and what is assigned, at the top of a module or class."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name, body=members):
                yield prefix + name
                yield from _symbols(members, f"{prefix}{name}.")
            case ast.Assign(targets=targets):
                yield from (prefix + item.id for item in targets if isinstance(item, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def test_the_run_lifecycle_names_its_code_in_each_step() -> None:
    text = (ROOT / "docs" / "run-lifecycle.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\| (\d) \|.*$", text, re.MULTILINE)
    assert steps == list("12345678")
    for line in re.findall(r"^\| \d \|.*$", text, re.MULTILINE):
        assert "::" in line.rsplit("|", 2)[1], line


@pytest.mark.parametrize(("path", "symbol"), SYMBOLS, ids=[f"{path}::{symbol}" for path, symbol in SYMBOLS])
def test_every_symbol_that_a_page_names_exists(path: str, symbol: str) -> None:
    file = ROOT / path
    assert file.is_file(), f"there is no {path}"
    assert symbol in set(_symbols(ast.parse(file.read_text(encoding="utf-8")).body))


# --- links ---------------------------------------------------------------------------------------------------------


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in _anchors(found)):
            broken.append(link)
    assert not broken


# --- generated pages -----------------------------------------------------------------------------------------------


def test_the_configuration_page_and_the_example_are_what_the_settings_classes_say() -> None:
    spec = importlib.util.spec_from_file_location("generate_configuration", ROOT / "docs" / "generate_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    # dataclasses look their module up while they are made
    sys.modules[spec.name] = generator
    spec.loader.exec_module(generator)
    stale = [
        named(path)
        for path, text in generator.outputs().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run `make docs`"


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    known = set(re.findall(r"`(FLOWWEAVER_\w+)`", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    assert len(known) > 40
    unknown = {
        (named(page), name)
        for page in PAGES
        for name in re.findall(r"FLOWWEAVER_[A-Z][A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))
        if name not in known
    }
    assert not unknown


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    known = set(re.findall(r"`(FLOWWEAVER_\w+)`", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    unknown = {
        (named(file), name)
        for file in ROOT.glob("*/src/**/*.py")
        if "node_modules" not in file.parts
        for name in re.findall(r"environ(?:\.get\(|\[)\"(FLOWWEAVER_\w+)\"", file.read_text(encoding="utf-8"))
        if name not in known
    }
    assert not unknown


# --- commands ------------------------------------------------------------------------------------------------------

TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_quick_start_runs_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    quick_start = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    fences = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", quick_start, re.MULTILINE | re.DOTALL)
    assert fences, f"{name}: its first section shows no command"
    for fence in fences:
        named_targets = re.findall(r"^(?:\$ )?make ([a-z-]+)", fence, re.MULTILINE)
        assert named_targets, fence
        assert set(named_targets) <= TARGETS, fence


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_target_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    asked = set(re.findall(r"`make ([a-z][a-z-]*)", text)) | set(re.findall(r"^(?:\$ )?make ([a-z-]+)", text, re.M))
    assert asked <= TARGETS
