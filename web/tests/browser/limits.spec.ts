/** Limits that runs share: what the definition shows of them, and what a run tells that waits for its place or gets none. */

import { randomUUID } from "node:crypto";
import { expect, test } from "@playwright/test";
import { axe, complaints, logIn, settled } from "./people";
import { Platform } from "./platform";

interface Detail {
  jobs: { tasks: { task_run_id: string }[] }[];
}

/** One run at a time: it asks somebody, then works under a key. */
const limited = (platform: Platform, overflow: string): Promise<string> =>
  platform.workflow({
    name: `한 번에 하나 ${randomUUID()}`,
    concurrency: { limit: 1, overflow },
    jobs: [
      {
        name: "올리기",
        tasks: [
          { key: "ask", type: "human.approval", name: "물어보기", parameters: {} },
          { key: "put", type: "test.increment", name: "올리기", concurrency_key: "shop-${{ run.input.shop }}", concurrency_limit: 3, parameters: { n: 1 } },
        ],
      },
    ],
  });

async function answer(platform: Platform, run: string): Promise<void> {
  const { jobs } = await platform.call<Detail>("GET", `/v0/workflow-runs/${run}`);
  await platform.call("POST", `/v0/workflow-runs/${run}/tasks/${jobs[0]?.tasks[0]?.task_run_id}/answer`, { approved: true });
}

test("a run that waits for a place says so until it has it, and the key of a task is shown", async ({ page }) => {
  const bad = complaints(page);
  const platform = await Platform.logIn();
  const workflow = await limited(platform, "queue");
  await logIn(page);
  await page.goto(`/workflows/${workflow}`);
  await settled(page);
  await expect(page.locator(".head .limit")).toHaveText("한 번에 1건까지 실행 · 넘는 실행은 차례를 기다립니다");
  await expect(page.locator(".node-key")).toHaveText("3");
  await page.getByRole("button", { name: "목록" }).click();
  await expect(page.locator(".flow-tasks li").last()).toContainText("동시 실행 키 shop-${{ run.input.shop }} · 한 번에 3개까지");
  await axe(page);

  const first = await platform.start(workflow, { shop: "a" });
  await page.goto(`/runs/${first}`);
  await expect(page.locator('.task-row[data-key="ask"]')).toHaveAttribute("data-state", "WAITING");
  await expect(page.locator(".run-head .limit")).toHaveCount(0);
  const second = await platform.start(workflow, { shop: "a" });
  await page.goto(`/runs/${second}`);
  await expect(page.locator(".run-head .limit")).toHaveText("이 워크플로는 한 번에 1건까지 실행되어, 차례를 기다립니다.");
  await axe(page);
  await answer(platform, first);
  await expect(page.locator('.task-row[data-key="ask"]')).toHaveAttribute("data-state", "WAITING");
  await expect(page.locator(".run-head .limit")).toHaveCount(0);
  await answer(platform, second);
  await page.locator('.task-row[data-key="put"]').click();
  await expect(page.locator(".panel-task .limit")).toHaveText("동시 실행 키 shop-${{ run.input.shop }} · 한 번에 3개까지");
  await expect(page.locator(".run-head .state").first()).toHaveText("성공");
  expect(bad).toEqual([]);
});

test("a run that is not to wait tells why it did not start, in the reader's language", async ({ page }) => {
  const platform = await Platform.logIn();
  const workflow = await limited(platform, "skip");
  const first = await platform.start(workflow);
  await logIn(page);
  await page.goto(`/runs/${first}`);
  await expect(page.locator('.task-row[data-key="ask"]')).toHaveAttribute("data-state", "WAITING");
  const second = await platform.start(workflow);
  await page.goto(`/runs/${second}`);
  await expect(page.locator(".run-head .state")).toHaveText("취소됨");
  await expect(page.locator(".failure")).toContainText("취소된 까닭");
  await expect(page.locator(".failure-message")).toHaveText("이 워크플로의 다른 실행이 한도만큼 진행 중이어서 시작하지 않았습니다.");
  await expect(page.locator(".failure-meta")).toHaveText("concurrency_skipped");
  await page.goto(`/runs?workflow=${workflow}`);
  await expect(page.locator("tbody .sub")).toHaveText("이 워크플로의 다른 실행이 한도만큼 진행 중이어서 시작하지 않았습니다.");
  await platform.call("POST", `/v0/workflow-runs/${first}/cancel`);
});
