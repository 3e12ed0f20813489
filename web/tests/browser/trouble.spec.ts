/** What goes wrong between people and the API, and what the page makes of it. */

import { expect, test, type Page } from "@playwright/test";
import { axe, complaints, endSession, fillLogIn, logIn, settled } from "./people";
import { asking, failing, Platform, slow, switchable, talkative } from "./platform";
import { Wire } from "./wire";

const base = process.env["FLOWWEAVER_BASE_URL"] as string;

/** What the gateway and the services answer when they refuse, for refusals that one platform cannot be brought to. */
async function refuse(page: Page, path: string, status: number, code: string, detail: string, headers: Record<string, string> = {}): Promise<void> {
  await page.route(path, (route) =>
    route.fulfill({
      status,
      headers: { "content-type": "application/problem+json", ...headers },
      body: JSON.stringify({ type: `urn:flowweaver:problem:${code}`, title: code, status, code, detail, errors: [], trace_id: "0af7651916cd43dd8448eb211c80319c" }),
    }),
  );
}

test("a cut connection is mended by itself: what happened meanwhile arrives, and nothing is asked for twice", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await slow(platform));
  const wire = await Wire.to(base);
  const asked: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith(`/${run}/events`)) asked.push(request.headers()["last-event-id"] ?? "none");
  });
  try {
    await page.goto(`${wire.url}/runs/${run}`);
    await fillLogIn(page);
    await expect(page.locator('.task-row[data-key="copy"]')).toHaveAttribute("data-state", "RUNNING");
    await expect(page.locator(".pulse")).toHaveText("실시간");
    wire.cut();
    await expect(page.locator(".pulse")).toHaveText("다시 연결하는 중");
    await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
    await platform.ended(run);
    // what is known stays in sight
    await expect(page.locator('.task-row[data-key="copy"]')).toHaveAttribute("data-state", "RUNNING");
    wire.mend();
    await expect(page.locator(".run-head .state")).toHaveText("취소됨");
    await expect(page.locator(".pulse")).toHaveCount(0);
    expect(asked.length).toBeGreaterThan(1);
    expect(asked.every((id) => /^[1-9]\d*\.\d+$/.test(id))).toBe(true);
  } finally {
    await wire.end();
  }
});

test("a list that cannot be read again stays in sight and says so, and is fresh when the API is back", async ({ page }) => {
  const platform = await Platform.logIn();
  await platform.ended(await platform.start(await failing(platform)));
  const wire = await Wire.to(base);
  try {
    await page.goto(`${wire.url}/runs`);
    await fillLogIn(page);
    await settled(page);
    const rows = page.locator("tbody tr");
    await expect(rows.first()).toBeVisible();
    wire.cut();
    await expect(page.locator(".stale")).toContainText("서버에 연결할 수 없습니다");
    await expect(rows.first()).toBeVisible();
    await axe(page);
    wire.mend();
    // by itself, with the list's next look
    await expect(page.locator(".stale")).toHaveCount(0);
    // a page whose very file was never read has nothing to show but the reason, beside the menu
    wire.cut();
    await page.getByRole("link", { name: "워크플로", exact: true }).click();
    await expect(page.getByRole("alert")).toContainText("서버에 연결할 수 없습니다");
    await expect(page.getByRole("navigation", { name: "주 메뉴" })).toBeVisible();
    wire.mend();
    await page.getByRole("button", { name: "다시 시도" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("워크플로");
    await expect(page.getByRole("table")).toBeVisible();
  } finally {
    await wire.end();
  }
});

test("a session that ends while a run is watched leads to log-in and back to the watching", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await slow(platform));
  await logIn(page);
  await page.goto(`/runs/${run}?task=copy`);
  await expect(page.locator(".pulse")).toHaveText("실시간");
  await endSession(page);
  // nobody touches anything: the page finds out by itself
  await page.waitForURL("**/login?next=*");
  await expect(page.getByRole("status")).toContainText("로그인 시간이 끝났습니다");
  await fillLogIn(page);
  await page.waitForURL(`**/runs/${run}?task=copy`);
  await expect(page.locator(".pulse")).toHaveText("실시간");
  await expect(page.locator("#task-title")).toHaveText("복사");
  await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
  await expect(page.locator(".run-head .state")).toHaveText("취소됨");
});

test("what is not there is told calmly, with its trace id and the way back", async ({ page }) => {
  await logIn(page);
  for (const [path, back] of [
    ["/runs/unknown", "실행 목록 보기"],
    ["/workflows/unknown", "워크플로 보기"],
  ] as const) {
    await page.goto(path);
    await expect(page.getByRole("alert")).toContainText("찾을 수 없습니다");
    await expect(page.getByRole("alert")).toContainText("추적 번호");
    await page.getByRole("link", { name: back }).click();
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await settled(page);
  }
});

test("a workflow that was switched off meanwhile is refused in the dialog, and cannot be started any more", async ({ page }) => {
  const platform = await Platform.logIn();
  const workflow = await switchable(platform);
  await platform.call("PATCH", `/v0/workflows/${workflow}/activate`);
  await logIn(page);
  await page.goto(`/workflows/${workflow}`);
  await page.getByRole("button", { name: "실행", exact: true }).click();
  await platform.call("PATCH", `/v0/workflows/${workflow}/deactivate`);
  await page.getByRole("button", { name: "실행하기" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("비활성화된 워크플로");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole("button", { name: "실행", exact: true })).toBeDisabled();
});

test("too many requests say how long to wait; a service that is away is asked again and then told", async ({ page }) => {
  await page.goto("/login");
  await refuse(page, "**/v0/auth/login", 429, "too_many_requests", "요청이 너무 많습니다.", { "retry-after": "7" });
  await fillLogIn(page);
  await expect(page.getByRole("alert")).toContainText("7초 뒤에 다시 시도해 주세요");
  await page.unroute("**/v0/auth/login");
  await fillLogIn(page);
  await page.waitForURL("**/workflows");
  await settled(page);

  await refuse(page, "**/v0/workflow-runs?*", 503, "unavailable", "잠시 쓸 수 없습니다.");
  await page.goto("/runs");
  await expect(page.getByRole("alert")).toContainText("잠시 쓸 수 없습니다");
  await page.unroute("**/v0/workflow-runs?*");
  await page.getByRole("button", { name: "다시 시도" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);

  await refuse(page, "**/v0/workflows/*/detail", 403, "forbidden", "이 작업을 할 권한(workflow:read)이 없습니다.");
  await page.goto("/workflows/any");
  await expect(page.getByRole("alert")).toContainText("관리자에게 물어보세요");
});

test("who was invited chooses a password first, then sees everything and can start nothing", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await slow(platform));
  const { email, password } = await platform.invite("viewer");
  const bad = complaints(page);
  await page.goto("/login?next=%2Fruns");
  await page.getByLabel("이메일").fill(email);
  await page.getByLabel("비밀번호").fill(password);
  await page.getByRole("button", { name: "로그인" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("새 비밀번호를 정해 주세요");
  await axe(page);

  await page.getByLabel("지금 비밀번호").fill(password);
  await page.getByRole("textbox", { name: "새 비밀번호" }).fill("short");
  await page.locator(".first-password").getByRole("button").click();
  await expect(page.locator("#new_password-wrong")).not.toBeEmpty();
  await expect(page.getByRole("textbox", { name: "새 비밀번호" })).toBeFocused();
  await page.getByRole("textbox", { name: "새 비밀번호" }).fill("a much longer password");
  await page.getByRole("textbox", { name: "새 비밀번호" }).press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("실행");
  await page.goto(`/runs/${run}`);
  await expect(page.locator('.task-row[data-key="copy"]')).toHaveAttribute("data-state", "RUNNING");
  await expect(page.locator(".run-actions")).toHaveCount(0);
  await page.goto(`/workflows/${await slow(platform)}`);
  await settled(page);
  await expect(page.getByRole("button", { name: "실행", exact: true })).toHaveCount(0);
  // what others are asked is seen, and that it is for them to answer
  const asked = await platform.start(await asking(platform));
  await page.goto(`/runs/${asked}?task=approve`);
  await expect(page.locator(".answer")).toContainText("답할 권한이 있는 사람이 답하면 이어집니다.");
  await expect(page.locator(".answer")).toContainText('"price": 18900');
  await expect(page.locator(".answer form")).toHaveCount(0);
  await platform.call("POST", `/v0/workflow-runs/${asked}/cancel`);
  await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
  expect(bad).toEqual([]);
});

test("a log of thousands of lines follows live, lets go when read, and stays light", async ({ page }) => {
  const lines = 6000;
  const platform = await Platform.logIn();
  // what follows has all the time that a busy machine takes: the run does not end before it is told to
  const run = await platform.start(await talkative(platform, lines, 4, true));
  await logIn(page);
  await page.goto(`/runs/${run}`);
  const log = page.getByRole("region", { name: "로그 줄" });
  const follow = page.getByRole("checkbox", { name: "새 줄 따라가기" });
  await expect(log).toContainText("said");
  const fromEnd = (): Promise<number> => log.evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop);
  await expect.poll(fromEnd).toBeLessThan(4);
  // who scrolls back is left in peace
  await log.focus();
  await expect(async () => {
    await page.keyboard.press("Home");
    await expect(log).toContainText(`line=1 of=${lines}`, { timeout: 2_000 });
  }).toPass();
  await expect(follow).not.toBeChecked();
  await follow.check();
  await expect.poll(fromEnd).toBeLessThan(4);
  await expect(page.locator("#log-title")).toContainText(`${lines}줄`);
  await expect.poll(fromEnd).toBeLessThan(4);
  await platform.call("POST", `/v0/workflow-runs/${run}/cancel`);
  await expect(page.locator(".run-head .state")).toHaveText("취소됨");
  await expect(follow).toHaveCount(0);
  expect(await page.locator(".line").count()).toBeLessThan(120);
  await log.focus();
  await page.keyboard.press("End");
  await expect(log).toContainText(`line=${lines} of=${lines}`);
});
