/**
 * The READMEs, walked by somebody who has a browser: what they say to press is pressed, what they say to type is typed,
 * and docs/images shows what was seen. `make guide` starts the platform as they say to.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import { settled } from "./people";

const ROOT = resolve("..");
const DATA = process.env["FLOWWEAVER_DATA"] ?? "";
const BASE = process.env["FLOWWEAVER_BASE_URL"] ?? "";
const LANGUAGE = process.env["FLOWWEAVER_LANGUAGE"];
const SAMPLE = "상품 분석 및 블로그 자동 발행";
const KEYWORD = "가습기";
const TRIES = 4;

/** The words of the page that each README names. A platform answers in one of the languages unless it is asked otherwise. */
const GUIDES = [
  {
    language: "en",
    locale: "en-GB",
    readme: "README.md",
    words: { email: "E-mail", password: "Password", logIn: "Log in", run: "Run", start: "Start the run", article: "Open the article", output: "Output", own: "Find products" },
  },
  {
    language: "ko",
    locale: "ko-KR",
    readme: "README.ko.md",
    words: { email: "이메일", password: "비밀번호", logIn: "로그인", run: "실행", start: "실행하기", article: "글 열기", output: "출력", own: "상품 찾기" },
  },
].filter(({ language }) => language === LANGUAGE);

/** Runs what the README types over the API; the values of the variables that it leaves. */
function typed(readme: string, variables: string[]): string[] {
  const blocks = [...readFileSync(join(ROOT, readme), "utf8").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((found) => found[1] ?? "");
  const first = blocks.findIndex((block) => block.startsWith("BASE="));
  const last = blocks.findLastIndex((block) => block.includes("$BASE"));
  const script = blocks.slice(first, last + 1).join("\n").replace("http://127.0.0.1:9000", BASE);
  const folder = mkdtempSync(join(tmpdir(), "flowweaver-guide-"));
  try {
    symlinkSync(join(ROOT, ".venv"), join(folder, ".venv"));
    symlinkSync(DATA, join(folder, ".data"));
    const tell = variables.map((name) => `"$${name}"`).join(" ");
    const output = execFileSync("bash", ["-euo", "pipefail", "-c", `${script}\nprintf '\\n%s' ${tell}`], { cwd: folder, encoding: "utf8" });
    return output.split("\n").slice(-variables.length);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function chooseWorkflow(page: Page, name: string): Promise<void> {
  await page.goto("/workflows");
  await page.getByRole("link", { name }).click();
  await page.locator(".react-flow__node").first().waitFor();
  await settled(page);
}

for (const { language, locale, readme, words } of GUIDES) {
  test(`${readme} is walked`, async ({ browser }) => {
    test.setTimeout(400_000);
    const images = join(ROOT, "docs", "images", language);
    mkdirSync(images, { recursive: true });
    const context = await browser.newContext({ baseURL: BASE, locale, timezoneId: "Asia/Seoul", viewport: { width: 1280, height: 820 }, deviceScaleFactor: 1.5, colorScheme: "light" });
    const page = await context.newPage();
    await page.addInitScript((chosen) => localStorage.setItem("flowweaver.language", chosen), language);
    const picture = async (name: string, height = 820): Promise<void> => {
      await page.mouse.move(0, 0);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(images, `${name}.png`), clip: { x: 0, y: 0, width: 1280, height }, animations: "disabled" });
    };

    await page.goto("/");
    await page.getByLabel(words.email).fill("admin@flowweaver.local");
    await page.getByLabel(words.password).fill(readFileSync(join(DATA, "secrets", "admin-password"), "utf8").trim());
    await page.getByRole("button", { name: words.logIn }).click();
    await page.waitForURL("**/workflows");

    // what runs is seen running: a machine may be quicker than its picture
    for (let attempt = 1; ; attempt += 1) {
      await chooseWorkflow(page, SAMPLE);
      await picture("workflow");
      await page.getByRole("button", { name: words.run, exact: true }).click();
      await page.getByRole("dialog").getByLabel(/keyword/).fill(KEYWORD);
      await page.getByRole("button", { name: words.start }).click();
      await page.waitForURL("**/runs/*");
      const working = page.locator('.task-row[data-state="RUNNING"]').and(page.locator('[data-key="rank"], [data-key="ocr"], [data-key="match"]'));
      const article = page.getByRole("link", { name: words.article });
      await expect(working.or(article).first()).toBeVisible({ timeout: 120_000 });
      await picture("live");
      if (await working.first().isVisible()) break;
      expect(attempt, "a task is seen while it runs").toBeLessThan(TRIES);
    }
    const link = page.getByRole("link", { name: words.article });
    await link.waitFor({ timeout: 120_000 });
    await page.goto((await link.getAttribute("href")) as string);
    await expect(page.locator("h1").first()).toBeVisible();
    await page.waitForLoadState("networkidle");
    await picture("article", 700);

    const [workflow, failed] = typed(readme, ["FLOW", "BAD"]) as [string, string];

    await chooseWorkflow(page, words.own);
    expect(page.url()).toContain(workflow);
    await page.getByRole("button", { name: words.run, exact: true }).click();
    await page.getByRole("dialog").waitFor();
    await picture("own");
    await page.getByRole("button", { name: words.start }).click();
    await page.waitForURL("**/runs/*");
    const second = page.locator('.task-row[data-key="match"][data-state="SUCCESS"]');
    await second.click({ timeout: 60_000 });
    const panel = page.locator(".panel-task");
    await expect(panel.getByRole("heading", { name: words.output })).toBeVisible();
    await expect(panel).toContainText("matched_products");

    await page.goto("/runs");
    await page.locator(`a[href="/runs/${failed}"]`).first().click();
    await page.locator('.task-row[data-key="search"][data-state="FAILED"]').click();
    await expect(page.locator(".panel-task")).toContainText("no_such_shop");
    await settled(page);
    await picture("failed");
    await context.close();
  });
}
