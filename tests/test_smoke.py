"""The shortest way through everything: a workflow made and run over the gateway."""

from platform_house import Platform, states


def test_a_workflow_runs_as_soon_as_it_is_saved(platform: Platform) -> None:
    workflow_id = platform.compose(
        [
            {"key": "one", "type": "test.increment", "parameters": {"n": "${{ run.input.n }}"}},
            {"key": "two", "type": "test.increment", "parameters": {"n": "${{ tasks.one.output.n }}"}},
        ]
    )
    run = platform.finished(platform.run(workflow_id, {"n": 40}))
    assert run["state"] == "SUCCESS"
    assert states(run) == {"one": "SUCCESS", "two": "SUCCESS"}
    assert platform.output(run, "two") == {"n": 42}
