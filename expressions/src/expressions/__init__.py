"""JSON values that hold `${{ … }}` expressions, in CEL, over what a run and its tasks know.

    names = Names(frozenset({("tasks", "*", "output")}))
    template = compile_template({"title": "${{ tasks.trend.output.keyword }}!"}, names)
    template.needs  # {"trend"}
    template.render({("tasks", "trend", "output"): {"keyword": "봄"}}.__getitem__)  # {"title": "봄!"}

`templates` finds the expressions in a value and reads `programs`, one for each expression, which rests on `trees` (what
CEL understands of a text) and `values` (what CEL takes and gives). `rewriting` exchanges what expressions read.
"""

from .errors import ExpressionError
from .programs import DATA_LIMIT, FULL, INLINE, RENDERED_LIMIT, TEXT_LIMIT, Budget, Lookup, Root
from .rewriting import RESERVED, Reference, rewrite, written
from .templates import Names, Template, compile_condition, compile_list, compile_template

__all__ = [
    "DATA_LIMIT",
    "FULL",
    "INLINE",
    "RENDERED_LIMIT",
    "RESERVED",
    "TEXT_LIMIT",
    "Budget",
    "ExpressionError",
    "Lookup",
    "Names",
    "Reference",
    "Root",
    "Template",
    "compile_condition",
    "compile_list",
    "compile_template",
    "rewrite",
    "written",
]
