"""What is said at the end: the figures, what they must be, and the plans."""

from typing import Any

MUST_MS = 50.0
MUST_RATIO = 1.2
_FIGURES = (("W1", "ms_per_task"), ("W2", "total_ms"), ("W3", "tasks_per_s"), ("W4", "p50_ms"), ("W4", "p95_ms"))
_JUDGED = ("W1.ms_per_task", "W2.total_ms", "W3.tasks_per_s", "W4.p95_ms")


def ratios(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """How many times as long it takes with the history, of each figure; a rate the other way round."""
    found = {}
    for name, figure in _FIGURES:
        if name in before and name in after:
            one, other = before[name][figure], after[name][figure]
            found[f"{name}.{figure}"] = round(one / other if figure.endswith("_per_s") else other / one, 3)
    return found


def table(found: dict[str, Any]) -> str:
    """The printed report."""
    rows = sum(found["rows"].values())
    lines = [
        "",
        f"{found['runs']:,} runs, {found['rows']['task_run']:,} task runs, {rows:,} rows loaded in"
        f" {found['loading_s']} s ({found['loading_cpu_s']} s of the server's CPU),"
        f" {found['bytes'] / 1e9:.1f} GB; {found['seconds']} s in all",
        "",
        "W6, milliseconds of a request through the gateway".ljust(64) + "  p50     p95     max",
    ]
    for one in found["W6"]["requests"]:
        name = f"  {one['part']}: {one['name']}"
        lines.append(f"{name:<62}{one['p50_ms']:>7.1f} {one['p95_ms']:>7.1f} {one['max_ms']:>7.1f}")
    for part in ("list", "detail", "log"):
        value = found["W6"][f"{part}_p95_ms"]
        lines.append(f"  W6.{part}_p95_ms = {value} ({_judged(value, MUST_MS)}: ≤ {MUST_MS:.0f})")
    if found["ratio"]:
        lines += ["", "with the history, against none".ljust(64) + "before   after   ratio"]
    for name, ratio in found["ratio"].items():
        work, figure = name.split(".")
        values = (found["before"][work][figure], found["after"][work][figure])
        judged = f"  ({_judged(ratio, MUST_RATIO)}: ≤ {MUST_RATIO})" if name in _JUDGED else ""
        lines.append(f"  {name:<58}{values[0]:>9.4g} {values[1]:>7.4g} {ratio:>7.2f}{judged}")
    lines += ["", "others"]
    for name, said in found["statistics"].items():
        more = ", the newest that count" if said["truncated"] else ""
        lines.append(f"  statistics, {name}: {said['median_ms']} ms ({said['spread']}), {said['runs']:,} runs{more}")
    stream, purge = found["stream"], found["purge"]
    lines.append(
        f"  the list's stream tells of a start after {stream['told_ms']} ms, of the end {stream['told_of_its_end_ms']}"
    )
    lines.append(f"  {purge['runs']} runs that were kept long enough were removed in {purge['seconds']} s")
    lines += ["", "plans"]
    for one in found["W6"]["requests"]:
        lines.append(f"  {one['part']}: {one['name']}")
        lines += [f"    {step}" for plan in one["plans"] for step in _steps(plan)]
    return "\n".join(lines)


def _judged(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


def _steps(plan: dict[str, Any]) -> list[str]:
    return [
        f"{step['id']} {step['table']}: {step['type']} by {step['key']}, about {step['rows']} rows; {step['Extra']}"
        for step in plan["plan"]
    ]
