"""One expression: what it reads, checked once for its text; its value, evaluated for each rendering.

The rule kept here: an expression reads only static paths that begin with a known root. Each such path (a `Source`)
becomes a variable of the tree, so that only what is referenced is converted for CEL, and a path that leads nowhere is
an error only where CEL really reads it. A path alone is walked in Python, so what it gives may be large. Data reach CEL
only when they are JSON that it takes unchanged, small enough to be converted (which takes about 65 ms for a MiB) and
when the work they may cause is within the budget; what it gives is JSON again, within the limit.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from cel_expr_python import cel
from google.protobuf import message

from . import trees, values
from .errors import ExpressionError
from .syntax_pb2 import Expr

Root: TypeAlias = tuple[str, ...]
Lookup: TypeAlias = Callable[[Root], Any]
"""The JSON value (or aware datetime) of a root such as ("tasks", "trend", "output"); LookupError when it has none."""

TEXT_LIMIT = 4096  # bytes of one expression
DATA_LIMIT = 1024 * 1024  # bytes of JSON that one expression hands to CEL
RENDERED_LIMIT = 16 * 1024 * 1024  # bytes of JSON that all expressions of a template give
_NESTED_LOOPS = 2
_UNFOLDED_AT_ONCE = 1024 * 1024  # bytes up to which the extension, which knows no limit, may unfold a result itself
_MISSING: Any = object()


@dataclass(frozen=True)
class Budget:
    """Bounds of one render: bytes of JSON that its expressions give in all, and those of them that CEL gives; bytes of
    JSON that an expression hands to CEL, and its work in units of about 5 ns."""

    rendered: int = RENDERED_LIMIT
    result: int = 256 * 1024
    data: int = DATA_LIMIT
    work: int = 256_000_000


FULL = Budget()
# fit for an event loop (< 5 ms): `too_expensive` → render elsewhere
INLINE = Budget(rendered=256 * 1024, data=32 * 1024, work=200_000)


class Rendering:
    """One render of a template: where values come from, how much may still be rendered, and how much of it by CEL."""

    __slots__ = ("budget", "left", "left_by_cel", "lookup")

    def __init__(self, lookup: Lookup, budget: Budget) -> None:
        self.lookup, self.budget, self.left, self.left_by_cel = lookup, budget, budget.rendered, budget.result

    def take(self, value: Any, *, plain: bool) -> Any:
        """The value as JSON, taken off what is left."""
        if type(value) is datetime:
            value = values.written_time(value)
        try:
            size = len(orjson.dumps(value))
        except TypeError as error:
            raise ExpressionError("evaluation", f"not a JSON value: {error}") from error
        self.left -= size
        if not plain:
            self.left_by_cel -= size
        if self.left_by_cel < 0:
            raise ExpressionError("result_too_large", f"larger than {self.budget.result} bytes of JSON")
        if self.left < 0:
            code = "too_expensive" if self.budget.rendered < RENDERED_LIMIT else "result_too_large"
            raise ExpressionError(code, f"larger than {self.budget.rendered} bytes of JSON")
        return value


@dataclass(frozen=True)
class Source:
    """A static path: what one variable of an expression holds. `key` is what stands for `*` in the root."""

    root: Root
    key: str | None
    steps: tuple[trees.Step, ...]
    optional: bool = False
    default: bytes = b""  # JSON, so that each reader gets a value of its own
    probe: str | None = None  # for has(path.probe): the value is whether the field is there

    def __str__(self) -> str:
        return ".".join(map(str, (*self.root, *self.steps)))

    def read(self, lookup: Lookup) -> Any:
        try:
            value = self._follow(lookup(self.root))
        except LookupError:
            value = _MISSING
        if value is _MISSING:
            return orjson.loads(self.default) if self.optional else _MISSING
        return value if self.probe is None else isinstance(value, dict) and self.probe in value

    def _follow(self, value: Any) -> Any:
        if self.optional and value is None:  # the output of a task that was skipped
            return _MISSING
        for step in self.steps:
            if step.__class__ is int and value.__class__ is not list:  # an object has no numbered items, a text neither
                return _MISSING
            try:
                value = value[step]
            except (LookupError, TypeError):  # a scalar has no fields: TypeError
                return _MISSING
        return value


@lru_cache(maxsize=4096)
def analyse(text: str, roots: frozenset[Root]) -> "Program":
    """The program of a text. Raises ExpressionError of any code but `data_too_large`, and `result_too_large` only for a
    constant text."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ExpressionError("syntax", "the expression is not valid UTF-8") from error
    if size > TEXT_LIMIT:
        raise ExpressionError("too_long", f"the expression is larger than {TEXT_LIMIT} bytes")
    try:
        type_name = trees.check(text, frozenset(root[0] for root in roots))
        parsed = trees.parse(text)
        analysis = Analysis(text, parsed.source_info.positions, roots)
        analysis.replace_paths(parsed.expr)
        return Program(parsed.expr, tuple(analysis.variables), type_name)
    except (message.DecodeError, RuntimeError) as error:  # protobuf, CEL and Python bound the nesting of a tree
        reason = trees.plain_words(str(error))
        raise ExpressionError("syntax", f"the expression is nested too deeply: {reason}") from error


class Analysis:
    """Turns the static paths of a tree into variables and refuses what cannot be known or bounded."""

    def __init__(self, text: str, positions: Mapping[int, int], roots: frozenset[Root]) -> None:
        self.text, self.positions, self.roots = text, positions, roots
        self.heads = {root[0] for root in roots}
        self.variables: dict[Source, str] = {}

    def replace_paths(self, node: Expr, loops: int = 0) -> None:
        if (source := self.source(node)) is not None:
            node.ident_expr.name = self.variables.setdefault(source, f"@{len(self.variables)}")
            return
        loop, call = node.comprehension_expr, node.call_expr
        if node.struct_expr.message_name:
            raise ExpressionError("unknown_name", f"'{node.struct_expr.message_name}' is not known{self._at(node)}")
        if call.function == "matches" and trees.pattern_cost(call) > trees.PATTERN_LIMIT:
            raise ExpressionError("too_expensive", f"a pattern must be short and written out{self._at(node)}")
        if loop.iter_var in self.heads:
            raise ExpressionError("syntax", f"'{loop.iter_var}' cannot name a loop variable{self._at(node)}")
        if loop.iter_var and loops == _NESTED_LOOPS:
            raise ExpressionError("too_expensive", f"loops may nest {_NESTED_LOOPS} deep{self._at(node)}")
        for child in trees.children(node):
            repeated = bool(loop.iter_var) and child != loop.iter_range
            self.replace_paths(child, loops + repeated)

    def source(self, node: Expr) -> Source | None:
        call, select = node.call_expr, node.select_expr
        if select.test_only:
            steps = trees.static_path(select.operand, self.heads)
            return None if steps is None else self._rooted(node, steps, probe=select.field)
        if call.function == "optional":
            if (steps := trees.static_path(call.args[0], self.heads)) is None:
                raise ExpressionError("syntax", f"optional() begins with a plain path{self._at(node)}")
            return self._rooted(node, steps, optional=True, default=self._constant(call.args[1]))
        steps = trees.static_path(node, self.heads)
        return None if steps is None else self._rooted(node, steps)

    def _rooted(self, node: Expr, steps: tuple[trees.Step, ...], **kind: Any) -> Source:
        """The source of a path, by the root it begins with."""
        for root in sorted(self.roots):
            own = tuple(str(step) for step in steps[: len(root)])
            if len(own) == len(root) and all(known in ("*", step) for known, step in zip(root, own, strict=True)):
                return Source(own, own[root.index("*")] if "*" in root else None, steps[len(root) :], **kind)
        known = ", ".join(sorted(".".join(root).replace("*", "<key>") for root in self.roots))
        written = ".".join(map(str, steps))
        raise ExpressionError("unknown_name", f"'{written}' is not known here{self._at(node)}; known: {known}")

    def _constant(self, node: Expr) -> bytes:
        """The JSON of a default, which is evaluated here and now."""
        inner = Analysis(self.text, self.positions, self.roots)
        inner.replace_paths(node)
        if inner.variables:
            raise ExpressionError("syntax", f"the default of optional() must be constant{self._at(node)}")
        try:
            return orjson.dumps(Program(node, (), "DYN").constant)
        except ExpressionError as error:
            raise ExpressionError(error.code, f"the default: {error.reason}{self._at(node)}") from error

    def _at(self, node: Expr) -> str:
        before = self.text[: self.positions.get(node.id, 0)].split("\n")
        return f" (line {len(before)}, column {len(before[-1]) + 1})"


class Program:
    """An analysed text. Source number i is the tree's variable `@i`; without sources the value is `constant`."""

    def __init__(self, tree: Expr, sources: tuple[Source, ...], type_name: str) -> None:
        self.tree, self.sources, self.type_name = tree, sources, type_name
        self.plain = not sources or tree.ident_expr.name == "@0"  # evaluated without CEL
        if self.plain and sources:
            return
        self._cel = trees.load_program(tree)
        if not sources:
            self.constant = self._evaluate_by_cel(Rendering(_no_value, FULL))

    def evaluate(self, rendering: Rendering) -> Any:
        """The JSON value (or aware datetime) for these data."""
        if not self.plain:
            return self._evaluate_by_cel(rendering)
        value = self.sources[0].read(rendering.lookup)
        if value is _MISSING:
            raise ExpressionError("evaluation", f"{self.sources[0]} is missing")
        return value

    def _evaluate_by_cel(self, rendering: Rendering) -> Any:
        read = {f"@{i}": source.read(rendering.lookup) for i, source in enumerate(self.sources)}
        data = {name: value for name, value in read.items() if value is not _MISSING}
        unfolded = self._affordable(data, rendering.budget)
        try:
            result = self._cel.eval(data={name: values.for_cel(value) for name, value in data.items()})
            failed = result.type() == cel.Type.ERROR
            value = result.plain_value() if failed or unfolded < _UNFOLDED_AT_ONCE else result
        except Exception as error:  # the extension raises RuntimeError, OverflowError and more
            failed, value = True, str(error)
        if not failed:
            return values.Unfolding(rendering.left_by_cel).json(value)
        if name := re.search(r'No value with name "@(\d+)"', value):
            raise ExpressionError("evaluation", f"{self.sources[int(name[1])]} is missing")
        raise ExpressionError("too_expensive" if "budget" in value else "evaluation", trees.plain_words(value))

    def _affordable(self, data: Mapping[str, Any], budget: Budget) -> int:
        """To how many bytes the result can unfold; `too_expensive` when data or work go beyond the budget."""
        sizes = {name: values.size_for_cel(value) for name, value in data.items()}
        if sum(sizes.values()) > DATA_LIMIT:
            reason = f"it reads more than {DATA_LIMIT} bytes of JSON, as only a plain path may"
            raise ExpressionError("data_too_large", reason)
        if sum(sizes.values()) <= budget.data:
            # first as if inner lists were as long as all data: a look at them takes time, and is seldom needed
            cost = _cost(self, tuple(_measure(name, data[name], size, size) for name, size in sizes.items()))
            if cost.work > budget.work:
                looked = (
                    _measure(name, data[name], size, values.longest_inside(data[name])) for name, size in sizes.items()
                )
                cost = _cost(self, tuple(looked))
            if cost.work <= budget.work:
                return cost.unfolded
        raise ExpressionError("too_expensive", "the expression can cost more than its budget on these data")


def _no_value(root: Root) -> Any:
    raise LookupError(root)


@lru_cache(maxsize=4096)
def _cost(program: Program, measures: tuple[trees.Measure, ...]) -> trees.Cost:
    return trees.cost(program.tree, measures)


def _measure(name: str, value: Any, size: int, longest_inside: int) -> trees.Measure:
    """Rounded up to powers of two, so that data of like sizes share a cached cost."""
    length = len(value) if isinstance(value, (list, dict)) else 1
    return trees.Measure(name, *(1 << number.bit_length() for number in (size, length, longest_inside)))
