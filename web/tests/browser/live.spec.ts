/** What happens elsewhere is seen here by itself: told by the streams, for every other way is barred meanwhile. */

import { expect, test, type Page } from "@playwright/test";
import { complaints, logIn, settled } from "./people";
import { Platform, slow, switchable, talkingWhenAsked } from "./platform";

/** Logged in before a window that is smaller than the list of a workflow's runs. */
async function longList(page: Page): Promise<{ platform: Platform; workflow: string }> {
  const platform = await Platform.logIn();
  const workflow = await switchable(platform);
  await platform.call("PATCH", `/v0/workflows/${workflow}/activate`);
  for (let count = 0; count < 16; count += 1) await platform.ended(await platform.start(workflow));
  await logIn(page);
  await page.setViewportSize({ width: 1280, height: 500 });
  return { platform, workflow };
}

test("the list shows a run that others start, and how it goes on, without asking again", async ({ page }) => {
  const bad = complaints(page);
  const platform = await Platform.logIn();
  const workflow = await slow(platform);
  const told = page.waitForResponse("**/v0/workflow-runs/events");
  await logIn(page);
  await page.goto("/runs");
  await settled(page);
  await told;
  await page.route("**/v0/workflow-runs?*", (route) => route.abort());
  const run = await platform.start(workflow);
  const first = page.locator("tbody tr").first();
  await expect(first.locator(`a[href="/runs/${run}"]`)).toBeVisible();
  await expect(first).toContainText("실행 중");
  await platform.call("POST", `/v0/workflow-runs/${run}/pause`);
  await expect(first).toContainText("일시 정지");
  await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
  await expect(first).toContainText("취소됨");
  await expect(page.locator(".stale")).toHaveCount(0);
  expect(bad).toEqual([]);
});

test("under who reads farther down nothing moves, and the new runs are one step away", async ({ page }) => {
  const { platform, workflow } = await longList(page);
  const told = page.waitForResponse("**/v0/workflow-runs/events*");
  await page.goto(`/runs?workflow=${workflow}`);
  await settled(page);
  await told;
  await page.evaluate(() => window.scrollTo(0, 250));
  const row = page.locator("tbody tr").nth(8);
  const place = async (): Promise<string> => `${(await row.textContent()) ?? ""} ${(await row.boundingBox())?.y ?? ""}`;
  const before = await place();
  const run = await platform.start(workflow);
  const button = page.getByRole("button", { name: "새 실행 1개 보기" });
  await expect(button).toBeVisible();
  expect(await place()).toBe(before);
  await button.click();
  await expect(page.locator("tbody tr").first().locator(`a[href="/runs/${run}"]`)).toBeVisible();
  await expect(button).toHaveCount(0);
});

test("nothing moves either when the list is read again", async ({ page }) => {
  const { platform, workflow } = await longList(page);
  // nothing is told: a reader behind a proxy that lets no stream through
  await page.route("**/v0/workflow-runs/events*", (route) => route.abort());
  await page.goto(`/runs?workflow=${workflow}`);
  await settled(page);
  await page.evaluate(() => window.scrollTo(0, 250));
  const row = page.locator("tbody tr").nth(8);
  const before = await row.textContent();
  const read = page.waitForResponse("**/v0/workflow-runs?*");
  const run = await platform.start(workflow);
  await read;
  const button = page.getByRole("button", { name: "새 실행 1개 보기" });
  await expect(button).toBeVisible();
  expect(await row.textContent()).toBe(before);
  await button.click();
  await expect(page.locator("tbody tr").first().locator(`a[href="/runs/${run}"]`)).toBeVisible();
});

test("what a task logs is there while it runs, without asking for it", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await talkingWhenAsked(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  const log = page.getByRole("region", { name: "로그 줄" });
  await expect(log).toContainText("아직 로그가 없습니다");
  await expect(page.locator(".pulse")).toHaveText("실시간");
  await page.route("**/logs?*", (route) => route.abort());
  const { jobs } = await platform.call<{ jobs: { tasks: { key: string; task_run_id: string }[] }[] }>("GET", `/v0/workflow-runs/${run}`);
  const approve = jobs[0]?.tasks.find((task) => task.key === "approve")?.task_run_id ?? "";
  await platform.call("POST", `/v0/workflow-runs/${run}/tasks/${approve}/answer`, { approved: true });
  await expect(log).toContainText("line=7 of=7");
  await expect(page.locator("#log-title")).toContainText("7줄");
  await expect(page.locator('.task-row[data-key="hold"]')).toHaveAttribute("data-state", "RUNNING");
  await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
  await expect(page.locator(".run-head .state")).toHaveText("취소됨");
});
