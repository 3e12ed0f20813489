"""A task's log lines outlive the engine: it is killed again and again while they are written."""

from collections.abc import Callable

import httpx
from platform_house import Platform, eventually, ok

LINES, SECONDS, KILLS = 400, 8, 4


def test_every_line_is_kept_once_and_in_order_though_the_engine_is_killed(
    own_platform: Callable[..., Platform],
) -> None:
    platform = own_platform()
    steps = [{"key": "says", "type": "test.log", "parameters": {"lines": LINES, "seconds": SECONDS}}]
    run_id = platform.run(platform.compose(steps))
    with platform.client() as api:

        def said() -> list[int]:
            found: list[int] = []
            after: dict[str, str] = {}
            while True:
                page = ok(api.get(f"/workflow-runs/{run_id}/logs", params={"limit": 200, **after}))
                found += [line["fields"]["line"] for line in page["items"] if line["event"] == "said"]
                if page["next_cursor"] is None:
                    return found
                after = {"cursor": page["next_cursor"]}

        dead = 0
        for kill in range(KILLS):
            least = kill * LINES // (2 * KILLS) + 1
            eventually(lambda least=least: _whatever(said) >= least, 60, "the log goes on")
            eventually(lambda dead=dead: platform.pids("execution") not in ([], [dead]), 60, "it is known as ready")
            dead = platform.kill("execution")
        run = platform.finished(run_id, 120)
        assert run["state"] == "SUCCESS", run
        assert said() == list(range(1, LINES + 1))


def _whatever(said: Callable[[], list[int]]) -> int:
    """How many lines there are, as far as somebody answers."""
    try:
        return len(said())
    except (AssertionError, httpx.TransportError):
        return 0
