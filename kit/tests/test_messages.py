"""Every code that our sources raise has its text, in both languages, and gets what its placeholders want."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import pytest

from kit import errors, messages
from kit.errors import Error

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    path
    for path in ROOT.glob("*/src/**/*.toml")
    if path.name.endswith("messages.toml") or path.name == "description.toml"
)
SOURCES = sorted(path for path in ROOT.glob("*/src/**/*.py") if "migrations" not in path.parts)


def read(path: Path) -> dict[str, dict[str, str]]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


TEXTS = {code: texts for path in CATALOGUES for code, texts in read(path).items()}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_text_is_there_in_both_languages_with_the_same_placeholders(path: Path) -> None:
    wrong = {
        code: texts
        for code, texts in read(path).items()
        if set(texts) != set(messages.LANGUAGES)
        or not all(text.strip() for text in texts.values())
        or placeholders(texts["ko"]) != placeholders(texts["en"])
        or not all(re.fullmatch(r"[a-z_]+", name) and name != "lang" for name in placeholders(texts["ko"]))
    }
    assert not wrong


def test_no_code_has_two_texts() -> None:
    # a task type's catalogue is its own; the others meet in one process when children are forked
    found: dict[str, Path] = {}
    twice = []
    for path in [path for path in CATALOGUES if path.parent.name != "tasks"]:
        for code, texts in read(path).items():
            if code in found and read(found[code])[code] != texts:
                twice.append((code, found[code], path))
            found[code] = path
    assert not twice


# --- what the sources raise ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raised:
    """A code where an error or a field error is made, as a pattern, and the parameters it gets (None: cannot tell)."""

    where: str
    code: str
    given: frozenset[str] | None

    def known(self) -> set[str]:
        # a task's error is looked up in its type's catalogue, then among those that all tasks share
        return {code for code in TEXTS if re.fullmatch(self.code, code.removeprefix("task."))}


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _error_classes() -> tuple[set[str], set[str]]:
    """Names of all classes of errors, and of those that choose their code themselves."""
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Error)}
    own: set[str] = set()
    classes = [
        node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    ]
    before = -1
    while before != len(known):
        before = len(known)
        for node in classes:
            if {_name(base) for base in node.bases} & known and node.name not in known:
                known.add(node.name)
                if any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body):
                    own.add(node.name)
    return known, own


ERRORS, OWN_CODE = _error_classes()


def _patterns(node: ast.expr) -> Iterator[str]:
    """The codes an expression can be: constants, both sides of a condition, texts with a part left open."""
    match node:
        case ast.Constant(value=str(code)):
            yield re.escape(code)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _patterns(body)
            yield from _patterns(orelse)
        case ast.JoinedStr(values=values):
            yield "".join(re.escape(part.value) if isinstance(part, ast.Constant) else "[a-z_]+" for part in values)


def _keywords(call: ast.Call) -> frozenset[str] | None:
    names = {keyword.arg for keyword in call.keywords}
    return None if None in names else frozenset(str(name) for name in names)


def _pairs(node: ast.expr | None) -> frozenset[str] | None:
    """The names in `(("limit", 5), …)`."""
    if node is None:
        return frozenset()
    if not isinstance(node, ast.Tuple):
        return None
    firsts = [pair.elts[0] if isinstance(pair, ast.Tuple) and pair.elts else None for pair in node.elts]
    return frozenset(str(item.value) for item in firsts if isinstance(item, ast.Constant))


def _calls() -> Iterator[tuple[Path, ast.Call, bool]]:
    """All calls; True for the one by which a class of errors chooses its own code."""
    for path in SOURCES:
        if path == ROOT / "kit/src/kit/errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name in OWN_CODE:
                for call in ast.walk(node):
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                        yield path, call, True
            elif isinstance(node, ast.Call):
                yield path, node, False


def _raised() -> Iterator[Raised]:
    for path, call, chooses in _calls():
        name, arguments = _name(call.func), call.args
        if chooses or name in ERRORS - OWN_CODE:
            code, given = arguments[:1], _keywords(call)
        elif name == "field" and isinstance(call.func, ast.Attribute) and _name(call.func.value) in ERRORS:
            code, given = arguments[1:2], _keywords(call)
        elif name == "FieldError" and len(arguments) >= 2:
            code, given = arguments[1:2], _pairs(arguments[2] if len(arguments) > 2 else None)
        elif name in ("Problem", "problem") and len(arguments) >= 2:
            code, given = arguments[1:2], None
        elif name == "ErrorCode" and len(arguments) == 4:
            continue  # it brings its own texts
        elif name in ("ErrorCode", "TaskError") and arguments:
            code, given = arguments[:1], None
        else:
            continue
        for node in code:
            for pattern in _patterns(node):
                open_end = isinstance(node, ast.JoinedStr)
                yield Raised(f"{path.relative_to(ROOT)}:{call.lineno}", pattern, None if open_end else given)


RAISED = list(_raised())


def test_the_walk_finds_what_is_raised() -> None:
    found = {raised.code for raised in RAISED}
    assert {"invalid", "outdated", "cursor_invalid", "run_not_found", "email_taken", "connection_exists"} <= found
    assert len(RAISED) > 100


def test_every_code_that_is_raised_has_its_text() -> None:
    assert not [raised for raised in RAISED if not raised.known()]


def test_every_placeholder_is_given_where_the_error_is_made() -> None:
    wanting = [
        (raised, code, sorted(missing))
        for raised in RAISED
        if raised.given is not None
        for code in raised.known()
        if (missing := placeholders(TEXTS[code]["en"]) - raised.given)
    ]
    assert not wanting


# --- the texts -----------------------------------------------------------------------------------------------------


def test_a_text_is_filled_in_the_callers_language() -> None:
    assert messages.text("string_too_long", max_length=5) == "5자 이하여야 합니다."
    assert messages.text("string_too_long", lang="en", max_length=5) == "At most 5 characters."
    token = messages.language.set("en")
    try:
        assert messages.text("string_too_long", max_length=5) == "At most 5 characters."
    finally:
        messages.language.reset(token)


def test_a_text_is_better_unfilled_than_missing() -> None:
    assert messages.text("string_too_long") == "{max_length}자 이하여야 합니다."
    assert messages.text("nobody_wrote_this", code="x") == "nobody_wrote_this"


def test_what_fills_a_text_is_not_filled_itself() -> None:
    assert messages.text("json_invalid", lang="en", error="{error} {0} {") == "This is not valid JSON: {error} {0} {"


def test_a_catalogue_may_be_loaded_twice_but_not_contradict_another(tmp_path: Path) -> None:
    messages.load("kit")
    package = tmp_path / "contradicting_catalogue"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "messages.toml").write_text('[invalid]\nko = "아니요"\nen = "No."\n', encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ValueError, match="two texts for the message 'invalid'"):
            messages.load("contradicting_catalogue")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("contradicting_catalogue", None)
    assert messages.text("invalid", lang="en").startswith("The request cannot be processed")
