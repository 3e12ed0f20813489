/** axe finds nothing on any page in both themes; the keyboard reaches everything; nothing is cut off at 320 px. */

import { expect, test } from "@playwright/test";
import { axe, complaints, logIn, settled } from "./people";
import { blogWorkflow, failing, longNamed, Platform, scheduled, slow } from "./platform";

let pages: [string, string][] = [];
const address = (name: string): string => pages.find(([one]) => one === name)?.[1] ?? "";

test.beforeAll(async () => {
  test.setTimeout(300_000);
  const platform = await Platform.logIn();
  const blog = await blogWorkflow(platform);
  await scheduled(platform, blog);
  const long = await longNamed(platform);
  const failed = await platform.start(await failing(platform));
  const longRun = await platform.start(long, { date: "2026-11-21" });
  const done = await platform.start(blog);
  await platform.ended(failed);
  await platform.ended(longRun);
  await platform.ended(done, 200_000);
  pages = [
    ["workflows", "/workflows"],
    ["nothing found", "/workflows?q=zzzz"],
    ["workflow", `/workflows/${blog}`],
    ["workflow with a long name", `/workflows/${long}`],
    ["runs", "/runs"],
    ["run", `/runs/${done}`],
    ["run with a task", `/runs/${done}?task=publish`],
    ["failed run", `/runs/${failed}`],
    ["failed task", `/runs/${failed}?task=compare`],
    ["run with a long name", `/runs/${longRun}?task=collect`],
    ["unknown run", "/runs/unknown"],
  ];
});

test("axe finds nothing on any page, in either theme", async ({ page }) => {
  test.setTimeout(240_000);
  const bad = complaints(page);
  await page.goto("/login");
  await page.getByRole("button", { name: "로그인" }).click();
  await axe(page);
  await logIn(page);
  // the others show the same parts with other words
  const alike = ["workflow with a long name", "run", "run with a long name"];
  for (const [name, path] of pages.filter(([name]) => !alike.includes(name))) {
    await test.step(name, async () => {
      await page.goto(path);
      await settled(page);
      await axe(page);
    });
  }
  await page.goto(address("workflow with a long name"));
  await page.getByRole("button", { name: "목록" }).click();
  await page.getByRole("button", { name: "실행", exact: true }).click();
  await page.getByRole("dialog").waitFor();
  await axe(page);
  const platform = await Platform.logIn();
  const live = await platform.start(await slow(platform));
  await page.goto(`/runs/${live}`);
  await page.locator('.task-row[data-key="copy"][data-state="RUNNING"]').waitFor();
  await axe(page);
  await platform.call("POST", `/v0/workflow-runs/${live}/cancel`);
  expect(bad).toEqual([]);
});

test("English has its own words on every page, and the switch remembers", async ({ page }) => {
  await logIn(page);
  await page.getByRole("button", { name: "English" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Workflows");
  await expect(page.locator("html")).toHaveAttribute("lang", "en");
  await page.goto("/runs/unknown");
  await expect(page.getByRole("alert")).toContainText("Trace id");
  // what the server says as well
  await expect(page.getByRole("alert")).not.toContainText(/[가-힣]/);
});

test("the theme follows the system until it is chosen", async ({ page }) => {
  const paper = (): Promise<string> => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto("/login");
  await page.locator("#email").waitFor();
  const dark = await paper();
  await page.emulateMedia({ colorScheme: "light" });
  expect(await paper()).not.toBe(dark);
  await page.getByRole("button", { name: "어둡게" }).click();
  expect(await paper()).toBe(dark);
  await page.reload();
  await page.locator("#email").waitFor();
  expect(await paper()).toBe(dark);
});

test("the keyboard alone gets from log-in to a task's reason, and sees where it is", async ({ page }) => {
  await logIn(page);
  await page.goto("/workflows");
  await settled(page);
  await page.keyboard.press("Tab");
  await expect(page.locator(".skip")).toBeFocused();
  await expect(page.locator(".skip")).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(page.locator("main")).toBeFocused();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("searchbox")).toBeFocused();

  await page.goto(address("failed run"));
  await settled(page);
  for (let count = 0; count < 40; count += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement?.classList.contains("task-row"))) break;
  }
  await expect(page.locator('.task-row[data-key="load"]')).toBeFocused();
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
  expect(outline).not.toBe("none");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await expect(page.locator('.task-row[data-key="compare"]')).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator(".failure")).toContainText("test_fatal");
});

test("a dialog keeps the focus, closes on Escape, and gives the focus back", async ({ page }) => {
  await logIn(page);
  await page.goto(address("workflow with a long name"));
  await settled(page);
  const run = page.getByRole("button", { name: "실행", exact: true });
  await run.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await expect(dialog).toBeVisible();
  // all the way round, and back: nothing behind it can be reached
  for (const key of ["Tab", "Shift+Tab"]) {
    for (let count = 0; count < 14; count += 1) {
      await page.keyboard.press(key);
      const within = await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest("dialog") !== null);
      expect(within).toBe(true);
    }
  }
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await expect(run).toBeFocused();
});

test("every page has its title; addresses lead deep, back leads back to where one was", async ({ page }) => {
  const platform = await Platform.logIn();
  await logIn(page);
  await expect(page).toHaveTitle("워크플로 · FlowWeaver");
  await page.getByRole("link", { name: "결제 내역 맞추기" }).click();
  await expect(page).toHaveTitle("결제 내역 맞추기 · FlowWeaver");
  await expect(page.locator("main")).toBeFocused();
  await page.goto("/runs");
  await expect(page).toHaveTitle("실행 · FlowWeaver");
  await page.getByLabel("상태").selectOption("FAILED");
  await page.waitForURL("**/runs?state=FAILED");
  await settled(page);
  await page.setViewportSize({ width: 1280, height: 300 });
  // until the answer is there the rows of before stay in sight
  await expect(page.locator('tbody .state:not([data-state="FAILED"])')).toHaveCount(0);
  await expect(page.locator('tbody .state[data-state="FAILED"]').first()).toHaveText("실패");
  await page.locator("tbody a").last().scrollIntoViewIfNeeded();
  const depth = await page.evaluate(() => scrollY);
  await page.locator("tbody a").last().click();
  await expect(page).toHaveTitle(/^#\d+ .* · FlowWeaver$/);
  await expect.poll(() => page.evaluate(() => scrollY)).toBe(0);
  await page.goBack();
  await page.waitForURL("**/runs?state=FAILED");
  await expect(page.getByLabel("상태")).toHaveValue("FAILED");
  await expect.poll(() => page.evaluate(() => scrollY)).toBe(depth);
  await page.goto("/runs/unknown");
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page).toHaveTitle(/FlowWeaver/);
  expect(await platform.find("결제 내역 맞추기")).not.toBeNull();
});

test("who wants no motion sees none", async ({ page }) => {
  const platform = await Platform.logIn();
  const live = await platform.start(await slow(platform));
  await page.emulateMedia({ reducedMotion: "reduce" });
  await logIn(page);
  await page.goto(`/runs/${live}`);
  await page.locator('.task-row[data-key="copy"][data-state="RUNNING"]').waitFor();
  const moving = (): Promise<string[]> =>
    page.evaluate(() =>
      document
        .getAnimations()
        .filter((one) => one.playState === "running" && Number(one.effect?.getComputedTiming().duration) > 1)
        .map((one) => (one as CSSAnimation).animationName ?? (one as CSSTransition).transitionProperty),
    );
  await expect.poll(moving).toEqual([]);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await expect.poll(moving).toContain("turn");
  await platform.call("POST", `/v0/workflow-runs/${live}/cancel`);
});

test("nothing is cut off sideways at 320 and 1920 pixels, with the longest names", async ({ page }) => {
  await logIn(page);
  for (const [name, path] of pages) {
    await page.goto(path);
    await settled(page);
    for (const width of [1920, 320]) {
      await page.setViewportSize({ width, height: 720 });
      const wide = (): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth);
      await expect.poll(wide, `${name} at ${width}`).toBeLessThanOrEqual(width);
    }
  }
  // the task's sheet closes on Escape and gives the focus back
  await page.goto(address("failed run"));
  await settled(page);
  await page.locator('.task-row[data-key="compare"]').click();
  await expect(page.locator("#task-title")).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(page.locator('.task-row[data-key="compare"]')).toBeFocused();
});
