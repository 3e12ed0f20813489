"""Workflows in YAML: what a file must hold, and that the sample holds it."""

from pathlib import Path

import pytest

from flowweaver_cli import definition
from flowweaver_cli.definition import DefinitionInvalid

KEYS = ["trend", "search", "match", "rank", "crawl", "upload", "select", "ocr", "article", "publish"]


def test_the_sample_is_the_blog_workflow_of_two_jobs_and_ten_tasks() -> None:
    sample = definition.blog_workflow()
    assert len(sample["jobs"]) == 2
    assert [task["key"] for job in sample["jobs"] for task in job["tasks"]] == KEYS
    assert len({task["type"] for job in sample["jobs"] for task in job["tasks"]}) == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "name: no jobs",
        "name: a\njobs: {}",
        "name: a\njobs: [text]",
        "name: a\njobs: [{name: no tasks}]",
        "name: a\njobs: [{tasks: []}]",
        "name: a\njobs: [{name: b, tasks: [{key: c, name: no type}]}]",
        "name: [unclosed",
        "name: !!python/object/apply:os.getcwd []",
    ],
)
def test_what_is_no_workflow_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionInvalid):
        definition.read(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionInvalid):
        definition.read(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DefinitionInvalid):
        definition.read(tmp_path / "binary.yaml")
