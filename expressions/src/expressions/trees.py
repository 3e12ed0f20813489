"""Syntax trees: what CEL understands of a text, how much evaluating it can cost, and the program made of it.

The rule kept here: whatever a tree may cost is known from the sizes of the data before CEL sees them. CEL bounds only
how often loops turn (10,000 times) and how deep a text is nested (32); copies, comparisons, regular expressions and
results whose shared parts unfold are reckoned here, always too high rather than too low.

A tree is an `Expr` (see syntax.proto), a protobuf message that is changed in place.
"""

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, TypeAlias

from cel_expr_python import cel
from google.protobuf import any_pb2

from .errors import ExpressionError
from .syntax_pb2 import Call, Expr, ParsedExpr

Step: TypeAlias = str | int

PATTERN_LIMIT = 20_000  # microseconds that compiling one regular expression may take
_ITERATIONS = 10_000  # CEL's own bound of all loops of one evaluation together

_TYPE_URL = "type.googleapis.com/cel.expr.ParsedExpr"
_RUNTIME = cel.NewEnv()


# --- from text to tree to program


def check(text: str, heads: frozenset[str]) -> str:
    """The type (as BOOL, or DYN when it is open) of a well-formed text which names only `heads` and known functions."""
    try:
        return str(_checker(heads).compile(text).return_type().name())
    except RuntimeError as error:
        faults = re.findall(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)", str(error)) or [("0", "0", str(error))]
    # the checker refuses a loop over `x["k"]` because its type is open, but evaluated it may well be a list
    faults = [fault for fault in faults if not fault[2].startswith("expression of type 'dyn' cannot be the range")]
    if not faults:
        return "DYN"
    line, column, reason = faults[0]
    where = f" (line {line}, column {column})" if int(line) > 0 else ""
    raise ExpressionError("unknown_name" if "undeclared" in reason else "syntax", plain_words(reason) + where)


@lru_cache(maxsize=64)
def _checker(heads: frozenset[str]) -> Any:
    """Knows the names and optional(), but no types: what runs and tasks hold is open."""
    open_type = cel.Type.DYN
    overload = cel.Overload("optional_dyn_dyn", return_type=open_type, parameters=[open_type, open_type])
    optional = cel.FunctionDecl("optional", [overload])
    return cel.NewEnv(variables=dict.fromkeys(heads, open_type), functions=[optional])


def plain_words(text: str) -> str:
    """CEL's error without its status codes."""
    return re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$| \(in container ''\)", "", text)


def parse(text: str) -> ParsedExpr:
    packed = any_pb2.Any.FromString(_RUNTIME.compile(text, disable_check=True).serialize())
    return ParsedExpr.FromString(packed.value)


def load_program(tree: Expr) -> Any:
    """CEL's program of a tree, which stays as it is."""
    parsed = ParsedExpr(expr=tree)
    nodes = [parsed.expr]
    for number, node in enumerate(nodes, 1):  # grows while it is walked
        _append_in_chunks(node)
        node.id = number  # CEL wants every id once
        nodes += children(node)
    return _RUNTIME.deserialize(any_pb2.Any(type_url=_TYPE_URL, value=parsed.SerializeToString()).SerializeToString())


# the parts of a loop that appends the list `e` in chunks of 64: `r` is [what is complete, the last few items]
_CHUNKED_INIT = parse("[[], []]").expr
_CHUNKED_STEP = parse("[size(r[1]) < 64 ? r[0] : r[0] + r[1], (size(r[1]) < 64 ? r[1] : []) + e]").expr
_CHUNKED_RESULT = parse("r[0] + r[1]").expr


def _append_in_chunks(node: Expr) -> None:
    """map() and filter() append by `r + [item]`, which copies all of `r` each time; so 5,000 items are 30× faster."""
    loop = node.comprehension_expr
    if loop.accu_init.WhichOneof("kind") != "list_expr" or loop.accu_init.list_expr.elements:
        return
    step = loop.loop_step
    if step.call_expr.function == "_?_:_":  # a condition says which items are appended
        step = step.call_expr.args[1]
    appended = Expr()
    appended.CopyFrom(step.call_expr.args[1])
    for part, chunked in ((step, _CHUNKED_STEP), (loop.accu_init, _CHUNKED_INIT), (loop.result, _CHUNKED_RESULT)):
        part.CopyFrom(chunked)
        for inner in _with_all_below(part):
            if inner.ident_expr.name == "e":
                inner.CopyFrom(appended)
            elif inner.ident_expr.name == "r":
                inner.ident_expr.name = loop.accu_var


# --- reading a tree


def children(node: Expr) -> list[Expr]:
    match node.WhichOneof("kind"):
        case "select_expr":
            return [node.select_expr.operand]
        case "call_expr":
            call = node.call_expr
            return [call.target, *call.args] if call.HasField("target") else list(call.args)
        case "list_expr":
            return list(node.list_expr.elements)
        case "struct_expr":
            return [part for entry in node.struct_expr.entries for part in (entry.map_key, entry.value)]
        case "comprehension_expr":
            loop = node.comprehension_expr
            return [loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result]
        case "const_expr" | "ident_expr" | None:
            return []


def _with_all_below(node: Expr) -> list[Expr]:
    nodes = [node]
    for each in nodes:  # grows while it is walked
        nodes += children(each)
    return nodes


def static_path(node: Expr, heads: Set[str]) -> tuple[Step, ...] | None:
    """The steps of `head.field["key"][0]`: a path that is known without evaluating anything; None for all else."""
    call, select = node.call_expr, node.select_expr
    if (name := node.ident_expr.name.removeprefix(".")) in heads:
        return (name,)
    step: Step
    if node.WhichOneof("kind") == "select_expr" and not select.test_only:
        before, step = select.operand, select.field
    elif call.function == "_[_]" and call.args[1].const_expr.WhichOneof("kind") == "string_value":
        before, step = call.args[0], call.args[1].const_expr.string_value
    elif call.function == "_[_]" and call.args[1].const_expr.WhichOneof("kind") == "int64_value":
        before, step = call.args[0], call.args[1].const_expr.int64_value
        if step < 0:  # an error in CEL, the last item in Python
            return None
    else:
        return None
    steps = static_path(before, heads)
    return None if steps is None else (*steps, step)


# --- what a tree may cost


class Measure(NamedTuple):
    """How large the value of a variable is: bytes of its JSON, its length, the longest list or object inside it."""

    variable: str
    size: int
    length: int
    longest_inside: int


class Cost(NamedTuple):
    """Upper bounds: work in units of about 5 ns, and the bytes to which the result can unfold."""

    work: int
    unfolded: int


def cost(tree: Expr, measures: Sequence[Measure]) -> Cost:
    reckoning = _Reckoning()
    variables = {each.variable: _Extent(each.size, each.length, each.longest_inside) for each in measures}
    result = reckoning.extent(tree, variables, 1)
    return Cost(reckoning.work, result.size)


def pattern_cost(call: Call) -> int:
    """Microseconds to compile the pattern of matches(), an upper estimate (measured; classes such as \\pL are dear)."""
    pattern = call.args[-1].const_expr
    if pattern.WhichOneof("kind") != "string_value":
        return PATTERN_LIMIT + 1
    text = pattern.string_value
    repeats = prod(max(1, int(times)) for times in re.findall(r"[{,](\d{1,4})(?=})", text))  # {9}, {1,9}: 9 copies
    return (2 * len(text) + 2_500 * len(re.findall(r"\\[pP]", text))) * min(1000, repeats)


class _Extent(NamedTuple):
    """How large what a node gives can be: `size` is the bytes over all the times it is evaluated."""

    size: int
    length: int
    longest_inside: int


_READERS = {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"}  # they read all of their arguments and give a scalar
_READERS |= {"contains", "startsWith", "endsWith", "matches", "size"}


class _Reckoning:
    """Adds up the work of a tree from the leaves to the root."""

    def __init__(self) -> None:
        self.work = 0

    def extent(self, node: Expr, variables: Mapping[str, _Extent], times: int) -> _Extent:
        """How large the node's value can be when it is evaluated so many times."""
        match node.WhichOneof("kind"):
            case "ident_expr":
                return variables.get(node.ident_expr.name, _Extent(8 * times, 1, 1))
            case "const_expr":
                return _Extent(node.ByteSize() * times, 1, 1)
            case "comprehension_expr":
                return self._loop(node, variables, times)
        parts = [self.extent(child, variables, times) for child in children(node)]
        size = sum(part.size for part in parts)
        longest_inside = max((part.longest_inside for part in parts), default=1)
        call = node.call_expr
        if (
            node.WhichOneof("kind") == "select_expr" or call.function == "_[_]"
        ):  # one part of a whole: perhaps nearly all
            return _Extent(parts[0].size, longest_inside, longest_inside)
        if node.WhichOneof("kind") != "call_expr":  # a list or an object
            self.work += times * len(parts)
            longest = max((max(part.length, part.longest_inside) for part in parts), default=1)
            return _Extent(size + times * (1 + len(parts)), len(parts), longest)
        if call.function in _READERS:
            self.work += self._reading(call, parts, size, times)
            return _Extent(8 * times, 1, 1)
        if call.function != "_?_:_":  # a choice gives what is there; all others make something new
            self.work += 4 * size
        return _Extent(size + 32 * times, sum(part.length for part in parts), longest_inside)

    def _loop(self, node: Expr, variables: Mapping[str, _Extent], times: int) -> _Extent:
        loop = node.comprehension_expr
        over = self.extent(loop.iter_range, variables, times)
        turns = min(over.length, _ITERATIONS)
        turns_in_all = min(times * turns, _ITERATIONS)
        inside = {name: each._replace(size=each.size * turns) for name, each in variables.items()}
        inside[loop.iter_var] = _Extent(
            over.size, over.longest_inside, over.longest_inside
        )  # all items together: `over`
        inside[loop.accu_var] = _Extent(0, 0, 0)  # made of what the steps add, which is counted there
        step = self.extent(loop.loop_step, inside, turns_in_all)
        self.work += 200 * turns_in_all
        return _Extent(step.size + times, over.length * max(1, step.length), max(step.length, step.longest_inside))

    def _reading(self, call: Call, parts: Sequence[_Extent], size: int, times: int) -> int:
        if call.function == "size" and parts[0].length > 2:  # a list or an object knows its length, a text counts it
            return 0
        compiling = pattern_cost(call) if call.function == "matches" else 0
        return size * (1 + compiling // 100) + 200 * compiling * times
