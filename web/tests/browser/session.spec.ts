import { expect, test } from "@playwright/test";
import { complaints, endSession, fillLogIn, logIn, settled } from "./people";
import { failing, Platform } from "./platform";

test("who is not logged in is asked to, and then sees the page that was asked for", async ({ page }) => {
  await page.goto("/runs?state=FAILED");
  await page.waitForURL("**/login?next=*");
  await fillLogIn(page);
  await page.waitForURL("**/runs?state=FAILED");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("실행");
});

test("a session that ended leads to log-in and back to the same page", async ({ page }) => {
  const platform = await Platform.logIn();
  const run = await platform.start(await failing(platform));
  await platform.ended(run);
  await logIn(page);
  await page.goto(`/runs/${run}?task=load`);
  await settled(page);
  await endSession(page);
  await page.locator('.task-row[data-key="compare"]').click();
  await page.waitForURL("**/login?next=*");
  await expect(page.getByRole("status")).toContainText("로그인 시간이 끝났습니다");
  await fillLogIn(page);
  await page.waitForURL(`**/runs/${run}?task=compare`);
  await expect(page.locator("#task-title")).toHaveText("주문과 견주기");
});

test("the session outlives a reload, keeps no token where scripts of others could find it, and ends with log-out", async ({ page }) => {
  const bad = complaints(page);
  await logIn(page);
  await page.reload();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("워크플로");
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie);
  expect(kept).not.toMatch(/eyJ|refresh/i);
  await page.getByRole("button", { name: "로그아웃" }).click();
  await page.waitForURL("**/login*");
  await page.goto("/workflows");
  await page.waitForURL("**/login?next=*");
  expect(bad).toEqual([]);
});

test("a wrong password is refused in words, and the address of another site is never gone to", async ({ page }) => {
  await page.goto("/login?next=//example.com/");
  await page.getByLabel("이메일").fill("nobody@example.com");
  await page.getByLabel("비밀번호").fill("not the password");
  await page.getByRole("button", { name: "로그인" }).click();
  await expect(page.getByRole("alert")).toContainText("추적 번호");
  await fillLogIn(page);
  await page.waitForURL("**/workflows");
});

test("the gateway gives the app's page for the app's addresses only", async ({ request }) => {
  for (const path of ["/", "/login", "/workflows", "/workflows/abc", "/runs", "/runs/abc", "/mark.svg"]) {
    expect((await request.get(path)).status(), path).toBe(200);
  }
  for (const path of ["/v0/nothing", "/nothing", "/runs/a/b", "/metrics", "/readyz", "/index.html", "/.vite/manifest.json", "/runs/..%2f..%2fpyproject.toml"]) {
    expect((await request.get(path)).status(), path).toBe(401);
  }
  expect((await request.post("/workflows")).status()).toBe(401);
  const page = await request.get("/runs/abc");
  expect(page.headers()["cache-control"]).toBe("no-cache");
  expect(page.headers()["content-security-policy"]).toContain("default-src 'self'");
  expect(page.headers()["content-security-policy"]).not.toContain("unsafe");
  const script = /src="(\/assets\/[^"]+)"/.exec(await page.text())?.[1] ?? "";
  const asset = await request.get(script);
  expect(asset.headers()["cache-control"]).toBe("public, max-age=31536000, immutable");
  expect(asset.headers()["content-encoding"]).toBeTruthy();
  expect((await request.get("/assets/gone.js")).status()).toBe(404);
});
