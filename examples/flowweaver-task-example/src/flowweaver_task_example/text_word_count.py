"""`text.word_count`: counts the words of a text, or of an artifact of the run, and names the most frequent.

`{"text": "…"}` or `{"artifact": "reports/august.txt"}`. A plain function: it computes, so it runs in a process of its
own, which is killed when its time is over, whatever it does.
"""

import re
from collections import Counter
from typing import Annotated, Self

from pydantic import Field, model_validator

from worker_service import sdk
from worker_service.sdk import ErrorCode, ProcessContext, TaskError, task_type

LINES_AT_ONCE = 1_000


class Parameters(sdk.Parameters):
    text: str | None = Field(default=None, description="The text itself.")
    artifact: str | None = Field(default=None, description="Or the path (or id) of an artifact that holds it.")
    top: Annotated[int, Field(ge=0, le=100)] = 10

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.text is None) == (self.artifact is None):
            raise ValueError("give either `text` or `artifact`")
        return self


class Word(sdk.Output):
    word: str
    count: int


class Output(sdk.Output):
    words: int
    distinct: int
    top: list[Word]


@task_type(
    "text.word_count",
    parameters=Parameters,
    output=Output,
    errors=[ErrorCode("text_empty")],
    timeout_s=600,
    heartbeat_s=30,
)
def count(ctx: ProcessContext, p: Parameters) -> Output:
    text = p.text if p.text is not None else ctx.artifacts.get(p.artifact or "").decode("utf-8", "replace")
    lines = text.splitlines()
    found: Counter[str] = Counter()
    for begin in range(0, len(lines), LINES_AT_ONCE):
        for line in lines[begin : begin + LINES_AT_ONCE]:
            found.update(words_of(line))
        # a sign of life too: without one for 30 s the attempt is ended
        ctx.progress(min(begin + LINES_AT_ONCE, len(lines)) / len(lines), f"{found.total()} words")
    if not found:
        raise TaskError("text_empty", field="text" if p.text is not None else "artifact")
    ctx.log.info("words_counted", words=found.total(), distinct=len(found))
    # the most frequent first, those of one count by the alphabet
    top = sorted(found.items(), key=lambda item: (-item[1], item[0]))[: p.top]
    return Output(words=found.total(), distinct=len(found), top=[Word(word=word, count=number) for word, number in top])


def words_of(line: str) -> list[str]:
    """Runs of letters and digits of any script, in small letters."""
    return re.findall(r"\w+", line.lower())
