/** Every page and state, in both themes, both languages and three widths, written to `screenshots/` for people to look at. */

import { mkdirSync } from "node:fs";
import { test, type Browser, type BrowserContext, type Page } from "@playwright/test";
import { asking, blogWorkflow, EMAIL, failing, forty, listed, longNamed, PASSWORD, Platform, scheduled, slow, talkative, thousand } from "./platform";

const OUT = process.env["SCREENSHOTS"] ?? "screenshots";
const SIZES = { 320: 720, 1280: 900, 1920: 1080 } as const;

interface Look {
  theme: "light" | "dark";
  language: "ko" | "en";
  width: keyof typeof SIZES;
}

const LOOKS: Look[] = [
  ...(["light", "dark"] as const).flatMap((theme) => (["ko", "en"] as const).map((language) => ({ theme, language, width: 1280 as const }))),
  { theme: "light", language: "ko", width: 320 },
  { theme: "dark", language: "en", width: 320 },
  { theme: "light", language: "ko", width: 1920 },
];

test.setTimeout(300_000);

let pages: [string, string][] = [];
let long = "";
let backup = "";

test.beforeAll(async () => {
  mkdirSync(OUT, { recursive: true });
  const platform = await Platform.logIn();
  const blog = await blogWorkflow(platform);
  await scheduled(platform, blog);
  long = await longNamed(platform);
  backup = await slow(platform);
  const many = await thousand(platform);
  const wide = await forty(platform);
  const done = await platform.start(blog);
  const failed = await platform.start(await failing(platform));
  const longRun = await platform.start(long, { date: "2026-11-21", limit: 20 });
  const big = await platform.start(many);
  const spoken = await platform.start(await talkative(platform));
  const asked = await platform.start(await asking(platform));
  const spread = await listed(platform);
  const stores = await platform.start(spread, { stores: Array.from({ length: 120 }, (_, at) => (at % 29 === 3 ? 9 : 0)) });
  for (const run of [done, failed, longRun, big, spoken, stores]) await platform.ended(run, 120_000);
  pages = [
    ["workflows", "/workflows"],
    ["workflows-empty", "/workflows?q=없는이름"],
    ["workflow", `/workflows/${blog}`],
    ["workflow-long-name", `/workflows/${long}`],
    ["workflow-forty", `/workflows/${wide}`],
    ["workflow-thousand", `/workflows/${many}`],
    ["workflow-items", `/workflows/${spread}`],
    ["workflow-unknown", "/workflows/unknown"],
    ["runs", "/runs"],
    ["runs-empty", "/runs?state=PAUSED"],
    ["run-done", `/runs/${done}`],
    ["run-task", `/runs/${done}?task=publish`],
    ["run-failed", `/runs/${failed}`],
    ["run-failed-task", `/runs/${failed}?task=compare`],
    ["run-retried-task", `/runs/${failed}?task=flaky`],
    ["run-long-name", `/runs/${longRun}?task=collect`],
    ["run-items", `/runs/${stores}?task=each`],
    ["run-item", `/runs/${stores}?task=each&item=32`],
    ["run-asks", `/runs/${asked}`],
    ["run-asks-task", `/runs/${asked}?task=approve`],
    ["run-thousand", `/runs/${big}`],
    ["run-logs", `/runs/${spoken}`],
    ["run-unknown", "/runs/unknown"],
  ];
});

async function open(browser: Browser, { theme, language, width }: Look): Promise<[BrowserContext, Page]> {
  const context = await browser.newContext({ viewport: { width, height: SIZES[width] }, locale: language === "ko" ? "ko-KR" : "en-GB" });
  const page = await context.newPage();
  await page.addInitScript(
    ([theme, language]) => {
      localStorage.setItem("flowweaver.theme", theme as string);
      localStorage.setItem("flowweaver.language", language as string);
    },
    [theme, language],
  );
  return [context, page];
}

async function settled(page: Page): Promise<void> {
  await page.waitForLoadState("networkidle").catch(() => undefined);
  await page.locator(".bone").first().waitFor({ state: "detached" });
  await page.evaluate(() => document.fonts.ready);
}

for (const look of LOOKS) {
  const name = `${look.theme}.${look.language}.${look.width}`;
  test(`every page is pictured: ${name}`, async ({ browser }) => {
    const [context, page] = await open(browser, look);
    const shot = (what: string, fullPage = true) => page.screenshot({ path: `${OUT}/${what}.${name}.png`, fullPage });
    await page.goto("/login");
    await page.locator("#email").waitFor();
    await shot("login");
    await page.locator("#email").fill(EMAIL);
    await page.locator("#password").fill("wrong password");
    await page.locator("button[type=submit]").click();
    await page.locator(".problem").waitFor();
    await shot("login-refused");
    await page.locator("#password").fill(PASSWORD);
    await page.locator("button[type=submit]").click();
    await page.waitForURL("**/workflows");
    for (const [what, path] of pages) {
      await page.goto(path);
      await settled(page);
      // what slides over the page is as high as the screen
      await shot(what, !(look.width === 320 && path.includes("task=")));
    }

    await page.goto(`/workflows/${long}`);
    await settled(page);
    await page.locator(".head .button-main").click();
    await page.locator("dialog").waitFor();
    await shot("start-dialog", false);
    await page.locator("dialog input[type=date]").fill("2026-11-21");
    await page.locator("dialog textarea").fill("[1");
    await page.locator("dialog .button-main").click();
    await page.locator("dialog .wrong:not(:empty)").waitFor();
    await shot("start-dialog-wrong", false);

    const platform = await Platform.logIn();
    const running = await platform.start(backup);
    await page.goto(`/runs/${running}`);
    await page.locator('.task-row[data-state="RUNNING"][data-key="copy"]').waitFor();
    await page.locator(".run-head .strong", { hasText: /^[2-9]/ }).waitFor();
    await shot("run-live");
    await page.locator(".button-danger").click();
    await page.locator("dialog").waitFor();
    await shot("cancel-dialog", false);
    await page.locator("dialog .button-stop").click();
    await platform.ended(running);
    await page.locator('.run-head .state[data-state="CANCELLED"]').waitFor();
    await shot("run-cancelled");

    // an address of ours that is no page, reached inside the app
    await page.goto("/workflows");
    await settled(page);
    await page.evaluate(() => {
      history.pushState(null, "", "/nowhere");
      dispatchEvent(new PopStateEvent("popstate"));
    });
    await page.locator(".empty").waitFor();
    await shot("not-found");

    // nobody answers: at first, and after something was shown
    await page.goto("/runs");
    await settled(page);
    await page.route("**/v0/workflow-runs?*", (route) => route.abort("connectionrefused"));
    await page.locator(".stale").waitFor();
    await shot("runs-stale");
    await page.route("**/v0/workflows?*", (route) => route.abort("connectionrefused"));
    await page.goto("/workflows");
    await page.locator(".problem").waitFor();
    await shot("workflows-unreachable");
    await page.unrouteAll();
    await page.goto("/workflows");
    await settled(page);
    await page.locator(".who-button").click();
    await page.locator("dialog").waitFor();
    await shot("password-dialog", false);
    await page.keyboard.press("Escape");
    await page.locator(".who > .button").click();
    await page.locator("#email").waitFor();
    const invited = await platform.invite("viewer");
    await page.locator("#email").fill(invited.email);
    await page.locator("#password").fill(invited.password);
    await page.locator("button[type=submit]").click();
    await page.locator(".first-password").waitFor();
    await shot("first-password");
    await context.close();
  });
}
