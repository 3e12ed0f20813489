"""The main job, composed over REST as a person would, and what the engine then gets."""

import json
from pathlib import Path
from typing import Any

import pytest

STRING = {"type": "string", "minLength": 1}
LIST = {"type": "array"}

TASKS: list[tuple[str, dict[str, Any]]] = [
    ("keyword.trend", {"rule": "first_unused"}),
    ("product.search", {"keyword": "${{ tasks.keyword_trend.output.keyword }}"}),
    (
        "product.match",
        {
            "keyword": "${{ tasks.keyword_trend.output.keyword }}",
            "search_results": "${{ tasks.product_search.output.search_results }}",
        },
    ),
    (
        "product.rank",
        {
            "keyword": "${{ tasks.keyword_trend.output.keyword }}",
            "matched_products": "${{ tasks.product_match.output.matched_products }}",
            "search_results": "${{ tasks.product_search.output.search_results }}",
        },
    ),
    ("product.crawl", {"urls": "${{ tasks.product_rank.output.top_products.map(p, p.url) }}"}),
    (
        "artifact.upload",
        {
            "products": "${{ tasks.product_crawl.output.crawled_products }}",
            "keyword": "${{ tasks.keyword_trend.output.keyword }}",
        },
    ),
    (
        "product.select",
        {
            "products": "${{ tasks.product_crawl.output.crawled_products }}",
            "uploads": "${{ tasks.artifact_upload.output.upload_results }}",
        },
    ),
    ("image.ocr", {"images": "${{ tasks.product_select.output.product.images }}"}),
    (
        "article.generate",
        {
            "keyword": "${{ tasks.keyword_trend.output.keyword }}",
            "product": "${{ tasks.product_select.output.product }}",
            "ocr": "${{ optional(tasks.image_ocr.output, null) }}",
        },
    ),
    ("article.publish", {"article": "${{ tasks.article_generate.output }}"}),
]
CONFIG = {"keyword_trend": {"source": "list"}, "article_publish": {"platform": "folder", "connection": "my-blog"}}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: statements are tried on both databases by test_storage.py and test_app.py."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def compose(client: Any) -> str:
    ids = [client.make("/tasks", name=f"작업 {type_}", type=type_, parameters=said)["task_id"] for type_, said in TASKS]
    analysis = client.make("/jobs", name="상품 분석")["job_id"]
    publishing = client.make("/jobs", name="블로그 발행")["job_id"]
    client.set(f"/jobs/{analysis}/tasks", [{"task_id": task_id} for task_id in ids[:8]])
    client.set(f"/jobs/{publishing}/tasks", [{"task_id": task_id} for task_id in ids[8:]])
    workflow = client.make("/workflows", name="상품 분석 및 블로그 자동 발행", default_config=CONFIG)
    client.set(f"/workflows/{workflow['workflow_id']}/jobs", [{"job_id": analysis}, {"job_id": publishing}])
    return str(workflow["workflow_id"])


def test_the_blog_workflow_is_runnable_the_moment_it_is_composed(client: Any, definitions: Any) -> None:
    workflow_id = compose(client)
    definition = definitions.get(workflow_id)
    assert (definition.version, definition.active, definition.name) == (1, True, "상품 분석 및 블로그 자동 발행")
    assert [(job.key, job.name, list(job.depends_on)) for job in definition.jobs] == [
        ("job", "상품 분석", []),
        ("job_2", "블로그 발행", ["job"]),
    ]
    keys = [[task.key for task in job.tasks] for job in definition.jobs]
    assert keys[0] == [type_.replace(".", "_") for type_, _ in TASKS[:8]]
    assert keys[1] == ["article_generate", "article_publish"]
    tasks = definitions.tasks(workflow_id)
    assert [list(task.depends_on) for task in tasks.values()] == [
        *([[]] + [[key] for key in keys[0][:-1]]),
        [],
        ["article_generate"],
    ]
    parameters = definitions.parameters(workflow_id)
    assert parameters["keyword_trend"] == {"rule": "first_unused", "source": "list"}
    assert parameters["article_publish"] == {
        "article": "${{ tasks.article_generate.output }}",
        "platform": "folder",
        "connection": "my-blog",
    }
    assert {task.queue for task in tasks.values()} == {"default"}
    assert {task.retry.max_attempts for task in tasks.values()} == {1}


def test_another_default_config_makes_the_same_tasks_another_version(client: Any, definitions: Any) -> None:
    workflow_id = compose(client)
    config = {**CONFIG, "keyword_trend": {"source": "google_trends"}}
    client.set(f"/workflows/{workflow_id}", {"name": "상품 분석 및 블로그 자동 발행", "default_config": config})
    assert definitions.parameters(workflow_id)["keyword_trend"]["source"] == "google_trends"
    assert definitions.get(workflow_id).version == 2
    # runs that began with the first version keep it
    assert definitions.parameters(workflow_id, 1)["keyword_trend"]["source"] == "list"


def test_detail_shows_what_would_run(client: Any) -> None:
    workflow_id = compose(client)
    detail = client.get(f"/workflows/{workflow_id}/detail").json()
    assert detail["runnable"] is True
    assert detail["problems"] == []
    assert [len(job["tasks"]) for job in detail["jobs"]] == [8, 2]
    assert detail["jobs"][0]["tasks"][0]["parameters"] == {"rule": "first_unused", "source": "list"}
    assert detail["default_config"] == CONFIG
    assert json.dumps(detail["schedules"]) == "[]"
