/**
 * Real Chromium against the real gateway. FLOWWEAVER_BASE_URL names a platform that runs already (with test tasks);
 * without it one is started, on a free port, with data of its own that is gone afterwards. TRACE=1 keeps a trace of each
 * test that failed, CHROMIUM names another browser.
 */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "@playwright/test";

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

if (process.env["FLOWWEAVER_BASE_URL"] === undefined) {
  // the processes that run the tests read this file as well, with these already set
  const port = await freePort();
  const data = mkdtempSync(join(tmpdir(), "flowweaver-browser-"));
  process.env["FLOWWEAVER_STARTED_HERE"] = "1";
  process.env["FLOWWEAVER_BASE_URL"] = `http://127.0.0.1:${port}`;
  process.env["FLOWWEAVER_PORT"] = String(port);
  process.env["FLOWWEAVER_DATA"] = data;
  process.on("exit", () => rmSync(data, { recursive: true, force: true, maxRetries: 3 }));
}
process.env["FLOWWEAVER_ADMIN_EMAIL"] ??= "admin@example.com";
process.env["FLOWWEAVER_ADMIN_PASSWORD"] ??= "correct horse battery";
const started = process.env["FLOWWEAVER_STARTED_HERE"] === "1";
const baseURL = process.env["FLOWWEAVER_BASE_URL"] as string;

const chromium = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

export default defineConfig({
  testDir: "tests/browser",
  outputDir: "test-results",
  globalSetup: "./tests/browser/compose.ts",
  workers: 1,
  // what is waited for is always something that can be seen; these only say when to give up, on a busy machine too
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  forbidOnly: true,
  use: {
    baseURL,
    locale: "ko-KR",
    timezoneId: "Asia/Seoul",
    viewport: { width: 1280, height: 900 },
    screenshot: "only-on-failure",
    trace: process.env["TRACE"] ? "retain-on-failure" : "off",
    launchOptions: {
      ...(chromium !== undefined && { executablePath: chromium }),
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    },
  },
  projects: [
    { name: "behaviour", testIgnore: ["screenshots.spec.ts", "guide.spec.ts"] },
    { name: "screenshots", testMatch: "screenshots.spec.ts" },
    { name: "guide", testMatch: "guide.spec.ts" },
  ],
  ...(started && {
    webServer: {
      command: `exec ${process.env["FLOWWEAVER"] ?? "../.venv/bin/flowweaver up --quiet"} >"$FLOWWEAVER_DATA/up.log"`,
      url: `${baseURL}/health`,
      timeout: 120_000,
      gracefulShutdown: { signal: "SIGTERM" as const, timeout: 30_000 },
      env: {
        FORCE_COLOR: "", // a line per process instead of a table that is drawn again and again
        FLOWWEAVER_TEST_TASKS: "1",
        FLOWWEAVER_ACCESS_TOKEN_S: "10", // the whole walk renews its token many times
        FLOWWEAVER_LOGIN_RATE: "100",
        FLOWWEAVER_LOGIN_BURST: "300",
      },
    },
  }),
});
