"""Values that hold `${{ … }}` expressions: compiled when they are saved, rendered on the hot path.

The rule kept here: whatever the text and whatever the data, compiling and rendering end in a JSON value or in an
`ExpressionError`, within a budget.

- A string that is one expression keeps the value's type; expressions within text are written into the text.
- `optional(PATH, default)` gives its constant default when the root has no value (or null) or the path is missing.
- `$${{` is a literal `${{`. Rendered values may share structure with the data and the template: do not change them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from .errors import ExpressionError
from .programs import FULL, TEXT_LIMIT, Budget, Lookup, Program, Rendering, Root, analyse

TEMPLATE_LIMIT = 256 * 1024  # bytes of JSON
DEPTH_LIMIT = 64  # levels of lists and objects

_Render: TypeAlias = Callable[[Rendering], Any]


@dataclass(frozen=True)
class Names:
    """What may be referenced: roots such as ("run", "input") or ("tasks", "*", "output"), `*` standing for any key;
    `refuse(root)` says why a root that fits is not permitted here, or gives None."""

    roots: frozenset[Root]
    refuse: Callable[[Root], str | None] = lambda root: None


@dataclass(frozen=True)
class Template:
    """A compiled JSON value. `references`: the paths as written, list indexes as digits; `roots`: all that `render` may
    look up; `needs`: the keys (what `*` stands for) read outside `optional()`; `plain`: rendered without CEL."""

    references: frozenset[tuple[str, ...]]
    roots: frozenset[Root]
    needs: frozenset[str]
    plain: bool
    _render: _Render = field(repr=False, compare=False)

    @property
    def constant(self) -> bool:
        return not self.references

    def render(self, lookup: Lookup, budget: Budget = FULL) -> Any:
        """The JSON value. Raises ExpressionError: evaluation, too_expensive, data_too_large or result_too_large."""
        return self._render(Rendering(lookup, budget))


def compile_template(value: Any, names: Names) -> Template:
    """Compiles a JSON value. Raises ExpressionError of any code (constant expressions are evaluated here)."""
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:
        raise ExpressionError("syntax", f"not a JSON value: {error}") from error
    if size > TEMPLATE_LIMIT:
        raise ExpressionError("too_long", f"the template is larger than {TEMPLATE_LIMIT} bytes")
    compilation = _Compilation(names)
    return compilation.template(compilation.value(value))


def compile_condition(text: str, names: Names) -> Template:
    """Compiles a condition, with or without `${{ }}` around it; it renders a bool, anything else is `evaluation`."""
    return _compile_one(text, names, _Wanted("a condition", "BOOL", bool, "true or false"))


def compile_list(text: str, names: Names) -> Template:
    """As compile_condition, of an expression that gives a list; a constant one is evaluated here."""
    template = _compile_one(text, names, _Wanted("what gives items", "LIST", list, "a list"))
    if template.constant:
        template.render(_nothing)
    return template


def _nothing(root: Root) -> Any:
    raise LookupError(root)


@dataclass(frozen=True)
class _Wanted:
    """What a single expression must give: its name in CEL (before any `<…>`), in Python and in words."""

    what: str
    type_name: str
    type: type
    words: str


def _compile_one(text: str, names: Names, wanted: _Wanted) -> Template:
    pieces = _pieces(text.strip(), "") if "${{" in text else [_Code(text)]
    if len(pieces) != 1 or not isinstance(pieces[0], _Code):
        raise ExpressionError("syntax", f"{wanted.what} is one expression without text around it")
    compilation = _Compilation(names)
    part = compilation.code(pieces[0], "")
    type_name = compilation.programs[0].type_name
    if type_name.partition("<")[0] not in (wanted.type_name, "DYN"):
        raise ExpressionError("syntax", f"{wanted.what} must give {wanted.words}, not {type_name.lower()}")

    def render(rendering: Rendering) -> Any:
        value = _rendered(part, rendering)
        if not isinstance(value, wanted.type):
            raise ExpressionError("evaluation", f"{wanted.what} must give {wanted.words}")
        return value

    return compilation.template(render)


class _Compilation:
    """Compiles the value of one template and remembers the programs in it.

    What has no expression below it is compiled to itself, all else to a function from a rendering to the value.
    JSON is never callable, so the two can be told apart, and rendering never walks what is constant.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.programs: list[Program] = []

    def template(self, part: Any) -> Template:
        sources = [source for program in self.programs for source in program.sources]
        return Template(
            references=frozenset((*source.root, *map(str, source.steps)) for source in sources),
            roots=frozenset(source.root for source in sources),
            needs=frozenset(source.key for source in sources if source.key and not source.optional),
            plain=all(program.plain for program in self.programs),
            _render=lambda rendering: _rendered(part, rendering),
        )

    def value(self, value: Any, path: str = "", depth: int = 0) -> Any:
        if depth > DEPTH_LIMIT:
            raise ExpressionError("too_long", f"nested deeper than {DEPTH_LIMIT} levels", path)
        if isinstance(value, list):
            items = [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
            if not any(map(callable, items)):
                return items
            return lambda rendering: [_rendered(item, rendering) for item in items]
        if isinstance(value, dict):
            if any("${{" in key for key in value):
                raise ExpressionError("syntax", "a key cannot hold an expression", path)
            before = f"{path}." if path else ""
            fields = {key: self.value(item, before + key, depth + 1) for key, item in value.items()}
            if not any(map(callable, fields.values())):
                return fields
            return lambda rendering: {key: _rendered(item, rendering) for key, item in fields.items()}
        if isinstance(value, str) and "${{" in value:
            return self.text(value, path)
        return value

    def text(self, text: str, path: str) -> Any:
        parts = [self.code(piece, path) if isinstance(piece, _Code) else piece for piece in _pieces(text, path)]
        if len(parts) == 1:  # one expression keeps the type of its value
            return parts[0]
        if not any(map(callable, parts)):
            return "".join(map(_written, parts))
        return lambda rendering: "".join(_written(_rendered(part, rendering)) for part in parts)

    def code(self, code: "_Code", path: str) -> Any:
        try:
            program = analyse(code.text.strip(), self.names.roots)
            for source in program.sources:
                if reason := self.names.refuse(source.root):
                    raise ExpressionError("unknown_name", f"{source}: {reason}")
        except ExpressionError as error:
            raise error.within(path) from error
        self.programs.append(program)
        if not program.sources:
            return program.constant

        def render(rendering: Rendering) -> Any:
            try:
                return rendering.take(program.evaluate(rendering), plain=program.plain)
            except ExpressionError as error:
                raise error.within(path) from error

        return render


def _rendered(part: Any, rendering: Rendering) -> Any:
    return part(rendering) if callable(part) else part


def _written(value: Any) -> str:
    """A value within text: null is nothing, a list or an object its JSON."""
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


# --- text around expressions


@dataclass(frozen=True)
class _Code:
    """What stands between `${{` and `}}`."""

    text: str


# one string literal (raw or not, quoted once or three times), one comment, or else one character
LEXEME = re.compile(
    r"""(?:[bB]?[rR]|[rR][bB])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*|.""",
    re.DOTALL,
)


def _pieces(text: str, path: str) -> list[str | _Code]:
    """What a text consists of, in order, nothing empty: literal text, its escapes undone, and expressions."""
    pieces: list[str | _Code] = []
    literal, position = "", 0
    while (start := text.find("${{", position)) >= 0:
        if start > position and text[start - 1] == "$":  # escaped
            literal += text[position : start - 1] + "${{"
            position = start + 3
            continue
        literal += text[position:start]
        end = end_of_code(text, start + 3, path)
        pieces += [literal] if literal else []
        pieces.append(_Code(text[start + 3 : end]))
        literal, position = "", end + 2
    literal += text[position:]
    return [*pieces, literal] if literal else pieces


def end_of_code(text: str, start: int, path: str) -> int:
    """Where the `}}` stands that ends the expression: not in a string or a comment, and not what closes objects."""
    position, open_braces = start, 0
    last = start + TEXT_LIMIT + 2  # look no further
    while open_braces or not text.startswith("}}", position):
        lexeme = LEXEME.match(text, position, last)
        if lexeme is None:
            code = "too_long" if len(text) > last else "syntax"
            raise ExpressionError(code, f"the expression at character {start - 2} does not end with }}}}", path)
        open_braces = max(0, open_braces + {"{": 1, "}": -1}.get(lexeme[0], 0))
        position = lexeme.end()
    return position
