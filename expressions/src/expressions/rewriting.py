"""Other paths in the place of those that expressions read: what it takes to move a value to where names differ.

The rule kept here: where a path begins and what it is are read from CEL's tree, never guessed from the text, and the
rest of the text stays as it was written. The new text is parsed again and must be exactly the old tree with those
nodes exchanged; what cannot be written so is refused, never changed silently.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from . import trees
from .errors import ExpressionError
from .programs import Analysis, Root, Source
from .syntax_pb2 import Expr, ParsedExpr
from .templates import LEXEME, end_of_code

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GAP = re.compile(r"(?:\s|//[^\n]*)*")
# CEL takes none of these as a field's name
RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)


@dataclass(frozen=True)
class Reference:
    """What an expression reads at one place: `root` and the steps below it; `key`: what stands for `*` in the root.

    `default`: JSON, of optional(path, default), else None; `probe`: the field of has(path.field), else None. `alone`:
    it is the whole expression. `lazy`: the expression may never read it (a choice, `&&`, `||`, a loop's body), or asks
    whether it is there.
    """

    root: Root
    key: str | None
    steps: tuple[trees.Step, ...]
    default: str | None
    probe: str | None
    alone: bool
    lazy: bool

    def below(self, *head: trees.Step) -> str:
        """The same, as CEL, of what stands at `head` instead of the root."""
        path = written((*head, *self.steps))
        if self.probe is not None:
            return f"has({written((*head, *self.steps, self.probe))})"
        return path if self.default is None else f"optional({path}, {self.default})"


Change = Callable[[Reference], str | None]
"""What stands there instead, as CEL; None: what stood there."""


def written(steps: tuple[trees.Step, ...]) -> str:
    """A path as CEL: `("tasks", "a", "output", "two words", 0)` → `tasks.a.output["two words"][0]`."""
    text = str(steps[0])
    for step in steps[1:]:
        plain = isinstance(step, str) and _NAME.fullmatch(step) and step not in RESERVED
        text += f".{step}" if plain else f"[{orjson.dumps(step).decode()}]"
    return text


def rewrite(value: Any, roots: frozenset[Root], change: Change) -> Any:
    """`value` with what its expressions read exchanged. Raises ExpressionError: syntax, unknown_name."""
    if isinstance(value, dict):
        return {name: rewrite(inner, roots, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [rewrite(inner, roots, change) for inner in value]
    return _rewrite_text(value, roots, change) if isinstance(value, str) and "${{" in value else value


def _rewrite_text(text: str, roots: frozenset[Root], change: Change) -> str:
    done, position = "", 0
    while (start := text.find("${{", position)) >= 0:
        done += text[position : start + 3]
        position = start + 3
        if start and text[start - 1] == "$":  # escaped
            continue
        end = end_of_code(text, position, "")
        code = text[position:end]
        done += _rewrite_code(code, roots, change)
        position = end
    return done + text[position:]


def _rewrite_code(code: str, roots: frozenset[Root], change: Change) -> str:
    try:
        parsed = trees.parse(code)
    except RuntimeError as error:
        raise ExpressionError("syntax", trees.plain_words(str(error))) from error
    found = _Places(code, parsed, roots)
    found.look(parsed.expr)
    spans: dict[tuple[int, int], str] = {}
    for node, reference in found.places:
        if (new := change(reference)) is None:
            continue
        spans[_span(code, node, parsed.source_info.positions)] = new
        node.CopyFrom(trees.parse(new).expr)
    done = code
    for (start, end), new in sorted(spans.items(), reverse=True):
        whole = not code[:start].strip() and not code[end:].strip()
        done = done[:start] + (new if whole or not _is_choice(new) else f"({new})") + done[end:]
    if spans and not _same(done, parsed):
        raise ExpressionError("syntax", "an expression is written in a way that cannot be rewritten")
    return done


class _Places:
    """What a tree reads and where: nodes that are a path, or a call around one."""

    def __init__(self, text: str, parsed: ParsedExpr, roots: frozenset[Root]) -> None:
        self._analysis = Analysis(text, parsed.source_info.positions, roots)
        self._tree = parsed.expr
        self.places: list[tuple[Expr, Reference]] = []

    def look(self, node: Expr, lazy: bool = False) -> None:
        if (source := self._analysis.source(node)) is not None:
            self.places.append((node, _reference(source, alone=node is self._tree, lazy=lazy)))
            return
        call, loop = node.call_expr, node.comprehension_expr
        for number, child in enumerate(trees.children(node)):
            chosen = call.function == "_?_:_" and number > 0
            repeated = bool(loop.iter_var) and number > 0
            self.look(child, lazy or chosen or repeated or call.function in ("_&&_", "_||_"))


def _reference(source: Source, *, alone: bool, lazy: bool) -> Reference:
    default = source.default.decode() if source.optional else None
    lazy = lazy or source.probe is not None
    return Reference(source.root, source.key, source.steps, default, source.probe, alone, lazy)


def _is_choice(code: str) -> bool:
    return trees.parse(code).expr.call_expr.function == "_?_:_"


# --- where a node stands in the text


def _span(code: str, node: Expr, positions: Any) -> tuple[int, int]:
    """From where to where a path, or has() or optional() around one, is written."""
    at = positions[node.id]
    call, select = node.call_expr, node.select_expr
    if select.test_only or call.function == "optional":  # its position is that of its opening bracket
        before = code[:at].rstrip()
        name = "has" if select.test_only else "optional"
        return len(before) - len(name), _closing(code, at)
    head = node
    while (inner := _inner(head)) is not None:
        head = inner
    start = positions[head.id]
    if node.WhichOneof("kind") == "ident_expr":
        return start, start + len(node.ident_expr.name)
    end = _end_of_step(code, at)
    return _with_brackets(code, start, end), end


def _inner(node: Expr) -> Expr | None:
    """What a step of a path is taken of."""
    if node.WhichOneof("kind") == "select_expr":
        return node.select_expr.operand
    return node.call_expr.args[0] if node.WhichOneof("kind") == "call_expr" else None


def _end_of_step(code: str, at: int) -> int:
    """Where `.name` or `["name"]` ends that begins at `at`."""
    if code[at] == "[":
        return _closing(code, at)
    gap = _GAP.match(code, at + 1)
    name = _NAME.match(code, gap.end() if gap else at + 1)
    if name is None:
        raise ExpressionError("syntax", "an expression is written in a way that cannot be rewritten")
    return name.end()


def _closing(code: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`."""
    depth = 0
    for lexeme in LEXEME.finditer(code, at):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(lexeme[0], 0)
        if depth == 0:
            return lexeme.end()
    raise ExpressionError("syntax", "an expression is written in a way that cannot be rewritten")


def _with_brackets(code: str, start: int, end: int) -> int:
    """From where on, so that each bracket that closes within a path opens within it: `(tasks.a).output`."""
    depth = 0
    for lexeme in LEXEME.finditer(code, start, end):
        depth += {"(": 1, ")": -1}.get(lexeme[0], 0)
    while depth < 0:
        start = code.rfind("(", 0, start)
        depth += 1
    return start


def _same(text: str, wanted: ParsedExpr) -> bool:
    """Whether that is how a text is understood."""
    try:
        return _plain(trees.parse(text).expr) == _plain(wanted.expr)
    except RuntimeError:
        return False


def _plain(tree: Expr) -> bytes:
    """A tree as bytes, without the numbers of its nodes and the dot of absolute names."""
    copy = Expr()
    copy.CopyFrom(tree)
    nodes = [copy]
    for node in nodes:  # grows while it is walked
        node.id = 0
        for entry in node.struct_expr.entries:
            entry.id = 0
        if node.WhichOneof("kind") == "ident_expr":
            node.ident_expr.name = node.ident_expr.name.removeprefix(".")
        nodes += trees.children(node)
    return copy.SerializeToString(deterministic=True)
