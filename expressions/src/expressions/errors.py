"""The one error that compiling and rendering end in."""


class ExpressionError(ValueError):
    """`code`: syntax, unknown_name, too_long, too_expensive, evaluation, data_too_large or result_too_large; `path`:
    where in the template, as `body.items[0].name`; `reason`: English, with the position in the expression when it is
    known."""

    def __init__(self, code: str, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.code, self.reason, self.path = code, reason, path

    def within(self, path: str) -> "ExpressionError":
        """The same error of an expression that is found there in the template."""
        return ExpressionError(self.code, self.reason, path)
