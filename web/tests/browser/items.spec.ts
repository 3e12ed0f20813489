/** A task that runs over a list: what the definition shows of it, how far its items are, and each of them. */

import { expect, test } from "@playwright/test";
import { axe, complaints, logIn, settled } from "./people";
import { askingTwice, listed, Platform } from "./platform";

const COUNT = 5_000;
const FAILING = [7, 2_500, 4_321];

test("a workflow shows which of its tasks runs over a list, over which, and how many at once", async ({ page }) => {
  const platform = await Platform.logIn();
  await logIn(page);
  await page.goto(`/workflows/${await listed(platform)}`);
  await settled(page);
  await expect(page.locator(".node-each")).toHaveCount(1);
  await expect(page.locator(".node-each .node-items")).toHaveText("200");
  await expect(page.locator(".node-each")).toHaveAttribute("title", /항목마다 .*run\.input\.stores/);
  await page.getByRole("button", { name: "목록" }).click();
  const tasks = page.locator(".flow-tasks li");
  await expect(tasks.first()).toContainText("항목마다 run.input.stores · 한 번에 200개까지");
  await expect(tasks.last()).not.toContainText("항목마다");
  await page.goto(`/workflows/${await askingTwice(platform)}`);
  await page.getByRole("button", { name: "목록" }).click();
  await expect(tasks.first()).toContainText('항목마다 ["봄","여름"] 항목 2개');
});

test("of five thousand items those that failed are found at once, read, and run again alone", async ({ page }) => {
  const bad = complaints(page);
  const platform = await Platform.logIn();
  const stores = Array.from({ length: COUNT }, (_, at) => (FAILING.includes(at) ? 9 : 0));
  const run = await platform.start(await listed(platform), { stores });
  await logIn(page);
  await page.goto(`/runs/${run}`);
  await expect(page.locator(".run-head .state")).toHaveText("실패", { timeout: 60_000 });
  const row = page.locator('.task-row[data-key="each"]');
  await expect(row.locator(".tag-items")).toContainText(`항목 ${COUNT}개 중 ${COUNT}개 끝남, 실패 3개`);
  await row.click();
  await expect(page.locator(".items-counts")).toHaveText("전체 5000개 · 성공 4997개 · 실패 3개 · 진행 0개");
  const items = page.locator(".item-row");
  await expect(items).toHaveText([/^\[7\]/, /^\[2500\]/, /^\[4321\]/]);

  // by the keyboard alone: to the last of them, its reason, and back to its place
  await items.first().focus();
  await page.keyboard.press("End");
  await expect(items.last()).toBeFocused();
  await page.keyboard.press("Enter");
  const heading = page.locator("#item-title");
  await expect(heading).toBeFocused();
  await expect(heading).toHaveText("항목 [4321]");
  await expect(page).toHaveURL(/task=each&item=4321/);
  await expect(page.locator(".item .failure")).toContainText("test_fatal");
  await expect(page.getByRole("region", { name: "입력 값" })).toContainText('"times": 9');
  await expect(page.getByRole("button", { name: "항목 [4321]" })).toHaveAttribute("aria-pressed", "true");
  await axe(page);
  await page.keyboard.press("Escape");
  await expect(items.last()).toBeFocused();
  await expect(heading).toHaveCount(0);

  // all of them: only what is in sight is drawn, and the end of what was read brings more
  await page.getByLabel("상태").selectOption("");
  await expect(items.first()).toHaveAttribute("data-item", "0");
  expect(await items.count()).toBeLessThan(60);
  await items.first().focus();
  await page.keyboard.press("End");
  await expect(page.locator('.item-row[data-item="199"]')).toBeFocused();
  const further = async (): Promise<number> => {
    await page.keyboard.press("End");
    return Number(await page.locator(".item-row:focus").getAttribute("data-item"));
  };
  await expect.poll(further).toBeGreaterThan(199);

  // an address leads to an item wherever it lies, on the smallest screen too, and reads only its page
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/items?") && asked.push(new URL(request.url()).searchParams.get("from_item") ?? ""));
  await page.setViewportSize({ width: 320, height: 640 });
  await page.goto(`/runs/${run}?task=each&item=2500`);
  await expect(page.locator(".item .failure")).toContainText("test_fatal");
  await expect(page.locator('.item-row[aria-current]')).toHaveText(/^\[2500\]/);
  expect(new Set(asked)).toEqual(new Set(["2400"]));
  // what lies before it is read when the reader goes there, who stays where they are
  await page.locator('.item-row[aria-current]').focus();
  await page.keyboard.press("Home");
  await expect(page.locator('.item-row[data-item="2400"]')).toBeFocused();
  const earlier = async (): Promise<number> => {
    await page.keyboard.press("ArrowUp");
    return Number(await page.locator(".item-row:focus").getAttribute("data-item"));
  };
  await expect.poll(earlier).toBeLessThan(2400);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  await page.getByRole("button", { name: "이 항목만 다시 실행" }).click();
  await page.waitForURL((url) => url.pathname.startsWith("/runs/") && !url.pathname.endsWith(run));
  await expect(page).toHaveURL(/task=each&item=2500/);
  await expect(page.locator("#item-title")).toHaveText("항목 [2500]");
  await expect(page.locator(".item .failure")).toContainText("test_fatal");
  await expect(page.locator(".items-counts")).toContainText("성공 4997개 · 실패 3개");
  expect(bad).toEqual([]);
});

test("items that wait for a person are followed live and answered one by one", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await askingTwice(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  await page.getByRole("button", { name: "답을 기다리는 태스크 1개" }).click();
  await expect(page.locator("#task-title")).toBeFocused();
  const items = page.locator(".item-row");
  const states = (): Promise<(string | null)[]> => items.evaluateAll((rows) => rows.map((row) => row.getAttribute("data-state")));
  await expect.poll(states).toEqual(["WAITING", "WAITING"]);
  await expect(page.locator(".tag-items")).toContainText("0/2");
  await items.last().click();
  await expect(page.locator(".answer")).toContainText("여름 글을 발행할까요?");
  await page.getByRole("button", { name: "승인", exact: true }).click();
  await expect.poll(states).toEqual(["WAITING", "SUCCESS"]);
  await expect(page.locator(".tag-items")).toContainText("1/2");
  await expect(page.locator("#item-title")).toBeFocused();
  await expect(page.getByRole("button", { name: "이 항목만 다시 실행" })).toHaveCount(0);
  // what somebody else does is seen as well
  const { items: known } = await platform.call<{ items: { task_run_id: string }[] }>(
    "GET",
    `/v0/workflow-runs/${run}/tasks/${(await platform.call<{ jobs: { tasks: { task_run_id: string }[] }[] }>("GET", `/v0/workflow-runs/${run}`)).jobs[0]?.tasks[0]?.task_run_id}/items`,
  );
  await platform.call("POST", `/v0/workflow-runs/${run}/tasks/${known[0]?.task_run_id}/answer`, { approved: true });
  await expect.poll(states).toEqual(["SUCCESS", "SUCCESS"]);
  await expect(page.locator(".run-head .state")).toHaveText("성공");
  await expect(page.locator(".items-counts")).toHaveText("전체 2개 · 성공 2개 · 실패 0개 · 진행 0개");
});
