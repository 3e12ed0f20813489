import { readFileSync } from "node:fs";
import { expect, test, type Route } from "@playwright/test";
import { axe, complaints, logIn, settled } from "./people";
import { asking, blogWorkflow, bulky, failing, heavy, longNamed, Platform, slow, thousand } from "./platform";

test("the blog workflow is run, every task turns green, and the article opens", async ({ page }) => {
  test.setTimeout(300_000);
  const bad = complaints(page);
  const platform = await Platform.logIn();
  await blogWorkflow(platform);
  await logIn(page);
  await page.getByRole("link", { name: "상품 분석 및 블로그 자동 발행" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("상품 분석 및 블로그 자동 발행");
  await expect(page.locator(".node-task")).toHaveCount(10);
  await page.getByRole("button", { name: "실행", exact: true }).click();
  await page.getByLabel(/keyword/).fill("텀블러");
  await page.getByRole("button", { name: "실행하기" }).click();

  await page.waitForURL("**/runs/*");
  await expect(page.locator(".pulse")).toHaveText("실시간");
  const rows = page.locator(".task-row");
  await expect(rows).toHaveCount(10);
  await expect(page.locator('.task-row[data-state="RUNNING"]').first()).toBeVisible();
  await expect(page.locator('.task-row[data-state="SUCCESS"]')).toHaveCount(10, { timeout: 200_000 });
  await expect(page.locator(".run-head .state")).toHaveText("성공");
  await expect(page.locator(".pulse")).toHaveCount(0);

  await expect(page.locator(".log")).toContainText("keyword_picked");
  await page.locator('.task-row[data-key="trend"]').click();
  await expect(page.locator(".panel")).toContainText('"keyword": "텀블러"');
  await expect(page).toHaveURL(/task=trend/);

  const opened = page.waitForEvent("popup");
  await page.getByRole("link", { name: "글 열기" }).click();
  const article = await opened;
  await article.waitForLoadState();
  expect(article.url()).toContain("/blog/posts/");
  await expect(article.locator("h1").first()).toContainText("텀블러");
  expect(bad).toEqual([]);
});

test("a task that fails shows its reason, its attempts, and what ran after it", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await failing(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  await expect(page.locator(".run-head .state")).toHaveText("실패", { timeout: 30_000 });
  const failures = page.locator(".failed-list");
  await expect(failures).toContainText("주문과 견주기");
  await expect(failures).toContainText("test_fatal");
  await failures.getByRole("button").click();
  const reason = page.locator(".failure");
  await expect(reason).toContainText("test_fatal");
  await expect(reason).toContainText("다시 시도해도 소용없는 오류");
  await page.locator('.task-row[data-key="flaky"]').click();
  await expect(page.locator(".attempts")).toContainText("1번째 시도");
  await expect(page.locator('.task-row[data-key="tell"]')).toHaveAttribute("data-state", "SUCCESS");
});

test("a run is cancelled after one question", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await slow(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  await expect(page.locator('.task-row[data-key="copy"]')).toHaveAttribute("data-state", "RUNNING");
  await page.getByRole("button", { name: "실행 취소", exact: true }).click();
  await page.getByRole("button", { name: "계속 실행" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.getByRole("button", { name: "실행 취소", exact: true }).click();
  await page.getByRole("button", { name: "실행 취소하기" }).click();
  await expect(page.locator(".run-head .state")).toHaveText("취소됨", { timeout: 20_000 });
});

test("a run of a thousand tasks stays light: it is soon there, scrolls smoothly, and only what is in sight is drawn", async ({ page }, info) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await thousand(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  await expect(page.locator(".progress-text")).toContainText("1000개 중 1000개", { timeout: 60_000 });
  await page.reload();
  await page.locator(".task-row").first().waitFor();
  const ready = await page.evaluate(() => performance.now());
  // a hundred steps through the whole list, each waiting for its frame
  const frames = await page.locator(".waterfall .rows").evaluate(async (box) => {
    const took: number[] = [];
    for (let step = 1; step <= 100; step += 1) {
      const before = performance.now();
      box.scrollTop = (box.scrollHeight - box.clientHeight) * (step / 100);
      await new Promise((resolve) => requestAnimationFrame(resolve));
      await new Promise((resolve) => setTimeout(resolve));
      took.push(performance.now() - before);
    }
    return took.sort((one, other) => one - other);
  });
  const median = frames[50] ?? NaN;
  info.annotations.push({ type: "thousand tasks", description: `first row after ${ready.toFixed(0)} ms; a step of scrolling takes ${median.toFixed(0)} ms` });
  console.log(`A thousand tasks: first row after ${ready.toFixed(0)} ms, median step of scrolling ${median.toFixed(0)} ms`);
  // far above what it takes alone on a machine, far below what drawing a thousand rows at a time would
  expect(median).toBeLessThan(250);
  expect(await page.locator(".task-row").count()).toBeLessThan(60);
  await page.locator(".task-row").first().focus();
  await page.keyboard.press("End");
  const last = page.locator('.task-row[data-key="t4_199"]');
  await expect(last).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#task-title")).toHaveText("1000번 태스크");
});

test("a long output is cut until it is asked for, and can be copied whole", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const platform = await Platform.logIn();
  const run = await platform.start(await bulky(platform));
  await platform.ended(run);
  await logIn(page);
  await page.goto(`/runs/${run}?task=use`);
  const value = page.getByRole("region", { name: "출력 값" });
  await expect(value).toContainText("xxxx");
  const length = (): Promise<number> => value.evaluate((box) => box.textContent?.length ?? 0);
  expect(await length()).toBeLessThan(13_000);
  await page.getByRole("button", { name: "복사: 출력" }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect((JSON.parse(copied) as { seen: { filler: string } }).seen.filler).toHaveLength(50_000);
  await page.getByRole("button", { name: /모두 보기/ }).click();
  await expect.poll(length).toBeGreaterThan(50_000);
});

test("what is too large to be shown is downloaded, and the run that made it is found all the same", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await heavy(platform));
  await logIn(page);
  await page.goto(`/runs/${run}?task=take`);
  await expect(page.locator('.task-row[data-key="take"]')).toHaveAttribute("data-state", "SUCCESS", { timeout: 60_000 });
  const panel = page.locator(".panel");
  await expect(panel.getByText("너무 커서 여기에 보여 줄 수 없습니다.")).toHaveCount(2);
  for (const [name, file, path] of [
    ["출력", /^output-.*\.json$/, ["seen", "value", "filler"]],
    ["입력", /^input-.*\.json$/, ["value", "filler"]],
  ] as const) {
    const coming = page.waitForEvent("download");
    await panel.getByRole("button", { name: `내려받기: ${name}` }).click();
    const download = await coming;
    expect(download.suggestedFilename()).toMatch(file);
    let value: unknown = JSON.parse(readFileSync(await download.path(), "utf8"));
    for (const step of path) value = (value as Record<string, unknown>)[step];
    expect(value).toHaveLength(5_000_000);
  }
  await axe(page);
  await page.locator('.task-row[data-key="child"]').click();
  await page.getByRole("link", { name: "하위 실행 #1 보기" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("큰 것 만들기 #1");
});

test("what the form got wrong stands beside its field, with the server's reason", async ({ page }) => {
  const platform = await Platform.logIn();
  const workflow = await longNamed(platform);
  await logIn(page);
  await page.goto(`/workflows/${workflow}`);
  await page.getByRole("button", { name: "실행", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/date/).fill("2026-11-21");
  await dialog.getByLabel(/stores/).fill("[1");
  await dialog.getByRole("button", { name: "실행하기" }).click();
  await expect(dialog.locator(".wrong").filter({ hasText: "JSON 형식이 아닙니다" })).toBeVisible();
  // on the smallest screen too the field is in sight, and the buttons do not lie on it
  await page.setViewportSize({ width: 320, height: 640 });
  await dialog.getByLabel(/date/).focus();
  await dialog.getByRole("button", { name: "실행하기" }).click();
  await expect(dialog.getByLabel(/stores/)).toBeFocused();
  const free = (): Promise<boolean> =>
    dialog.getByLabel(/stores/).evaluate((field) => {
      const { left, top, bottom, width, height } = field.getBoundingClientRect();
      return [top + 4, top + height / 2, bottom - 4].every((y) => document.elementFromPoint(left + width / 2, y) === field);
    });
  await expect.poll(free).toBe(true);
  await page.setViewportSize({ width: 1280, height: 900 });
  await dialog.getByLabel(/stores/).fill('"서울"');
  await dialog.getByRole("button", { name: "실행하기" }).click();
  const stores = dialog.getByLabel(/stores/);
  await expect(stores).toHaveAttribute("aria-invalid", "true");
  await expect(dialog.locator(".wrong").filter({ hasText: "스키마" })).toBeVisible();
  await stores.fill('["서울 1호점"]');
  await dialog.getByRole("button", { name: "실행하기" }).click();
  await page.waitForURL("**/runs/*");
  await settled(page);
  await expect(page.locator(".panel")).toContainText("서울 1호점");
});

test("a run that asks people is answered on its page: an approval, a form, and one that somebody else answered first", async ({ page }) => {
  const bad = complaints(page);
  const platform = await Platform.logIn();
  const run = await platform.start(await asking(platform));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  const row = (key: string) => page.locator(`.task-row[data-key="${key}"]`);
  const asked = page.getByRole("button", { name: "답을 기다리는 태스크 1개" });
  const heading = page.locator("#task-title");
  const panel = page.locator(".panel");

  await expect(row("approve")).toHaveAttribute("data-state", "WAITING");
  await asked.click();
  await expect(heading).toBeFocused();
  await expect(panel).toContainText("이 글을 발행할까요?");
  await expect(page.getByRole("region", { name: "살펴볼 내용" })).toContainText('"price": 18900');
  await axe(page);
  // Escape in what is written keeps the panel, and it is the keyboard that answers
  await page.getByLabel("덧붙이는 말").fill("가격을 확인했습니다");
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("덧붙이는 말")).toHaveValue("가격을 확인했습니다");
  // a look at another task takes nothing of it
  await row("count").click();
  await expect(heading).not.toHaveText("글 승인");
  await asked.click();
  await expect(page.getByLabel("덧붙이는 말")).toHaveValue("가격을 확인했습니다");
  await page.getByRole("button", { name: "승인", exact: true }).press("Enter");
  await expect(row("approve")).toHaveAttribute("data-state", "SUCCESS");
  await expect(panel).toContainText("답을 보냈습니다.");
  await expect(heading).toBeFocused();
  await expect(page.getByRole("region", { name: "출력 값" })).toContainText("가격을 확인했습니다");

  await expect(row("form")).toHaveAttribute("data-state", "WAITING");
  await asked.click();
  await page.setViewportSize({ width: 320, height: 640 });
  await expect(heading).toHaveText("쿠폰 정하기");
  await axe(page);
  await panel.getByLabel("쿠폰 이름").fill("가을");
  await panel.getByLabel("할인율").fill("15");
  await panel.getByRole("button", { name: "답 보내기" }).click();
  await expect(panel.getByLabel("쿠폰 이름")).toBeFocused();
  await expect(panel.locator(".wrong").filter({ hasText: "스키마" })).toBeVisible();
  await expect(panel.locator(".problem")).toHaveCount(0);
  await expect(panel.getByLabel("할인율")).toHaveValue("15");
  await panel.getByLabel("쿠폰 이름").fill("FALL-15");
  await panel.getByLabel("쿠폰 이름").press("Enter");
  await expect(panel).toContainText("답을 보냈습니다.");
  await page.setViewportSize({ width: 1280, height: 900 });

  await expect(row("again")).toHaveAttribute("data-state", "WAITING");
  await asked.click();
  await expect(heading).toHaveText("마지막 확인");
  // between the press and its arrival somebody else says yes
  const sayYes = async (route: Route): Promise<void> => {
    await platform.call("POST", new URL(route.request().url()).pathname, { approved: true });
    await route.continue();
  };
  await page.route("**/answer", sayYes, { times: 1 });
  await panel.getByRole("button", { name: "거절" }).click();
  await expect(panel).toContainText("더 이상 답을 기다리지 않습니다");
  await expect(panel.locator(".problem")).toHaveCount(0);
  await expect(heading).toBeFocused();
  await expect(page.locator(".run-head .state")).toHaveText("성공");
  await row("count").click();
  await expect(page.getByRole("region", { name: "출력 값" })).toContainText('"n": 16');
  expect(bad).toEqual([]);
});
