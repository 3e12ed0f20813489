import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { EMAIL, PASSWORD } from "./platform";

export async function fillLogIn(page: Page): Promise<void> {
  await page.getByLabel("이메일").fill(EMAIL);
  await page.getByLabel("비밀번호").fill(PASSWORD);
  await page.getByRole("button", { name: "로그인" }).click();
}

export async function logIn(page: Page): Promise<void> {
  await page.goto("/login");
  await fillLogIn(page);
  await page.waitForURL("**/workflows");
}

/** Ends the session that the page's cookie belongs to, as an administrator or another device would. */
export async function endSession(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const fresh = await fetch("/v0/auth/refresh", { method: "POST" });
    const { access_token } = (await fresh.json()) as { access_token: string };
    const done = await fetch("/v0/auth/logout", { method: "POST", headers: { Authorization: `Bearer ${access_token}` } });
    if (done.status !== 204) throw new Error(`log-out: ${done.status}`);
  });
}

/** Whatever the browser refused or complained about while the page was used. */
export function complaints(page: Page): string[] {
  const found: string[] = [];
  page.on("pageerror", (error) => found.push(String(error)));
  page.on("console", (message) => {
    // an answer of 4xx is logged by the browser itself
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) found.push(message.text());
  });
  return found;
}

export async function settled(page: Page): Promise<void> {
  // in this order: before a page is there it has no bones either
  await expect(page.locator("h1")).toHaveCount(1);
  await expect(page.locator(".bone")).toHaveCount(0);
}

/** Everything that axe knows, then in the other theme what depends on colours. */
export async function axe(page: Page): Promise<void> {
  // what fades in or breathes is measured when it stands still
  await page.emulateMedia({ reducedMotion: "reduce" });
  const chosen = await page.evaluate(() => document.documentElement.dataset["theme"]);
  const dress = (theme: string | undefined) => page.evaluate((theme) => (document.documentElement.dataset["theme"] = theme ?? "system"), theme);
  await dress("light");
  // legacy mode: there are no frames of others, which would need a page of their own each time
  const all = await new AxeBuilder({ page }).setLegacyMode().analyze();
  await dress("dark");
  const colours = await new AxeBuilder({ page }).setLegacyMode().withRules(["color-contrast", "link-in-text-block"]).analyze();
  await dress(chosen);
  const violations = [...all.violations, ...colours.violations];
  expect(violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`).join(" | ")}`)).toEqual([]);
}
