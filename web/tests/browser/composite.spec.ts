/** Tasks of a workflow saved as one: chosen by keyboard, refused beside the field, put in place, and run. */

import { randomUUID } from "node:crypto";
import { expect, test } from "@playwright/test";
import { axe, complaints, logIn, settled } from "./people";
import { Platform } from "./platform";

const number = (n: string) => ({ type: "test.increment", parameters: { n } });

test("tasks are saved as one task, which takes their place and leads to its own run", async ({ page }) => {
  const bad = complaints(page);
  const platform = await Platform.logIn();
  const workflow = await platform.workflow({
    name: `묶을 것 ${randomUUID()}`,
    jobs: [
      {
        name: "계산",
        tasks: [
          { key: "start", name: "시작", ...number("${{ run.input.n }}") },
          { key: "twice", name: "두 배", ...number("${{ tasks.start.output.n * 2 }}") },
          { key: "more", name: "더하기", ...number("${{ tasks.twice.output.n + run.input.step }}") },
          { key: "end", name: "끝", ...number("${{ tasks.more.output.n }}") },
        ],
      },
    ],
  });
  await logIn(page);
  await page.goto(`/workflows/${workflow}`);
  await settled(page);
  const opener = page.getByRole("button", { name: "하나의 태스크로 저장" });
  await opener.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "하나의 태스크로 저장" });
  await expect(dialog.getByRole("button", { name: "저장", exact: true })).toBeDisabled();
  await dialog.getByLabel("이름").fill("가운데");
  for (const name of ["시작", "더하기"]) {
    await dialog.getByLabel(name).focus();
    await page.keyboard.press("Space");
  }
  await dialog.getByRole("button", { name: "저장", exact: true }).click();
  await expect(dialog.getByRole("alert")).toContainText("start → twice → more");
  await axe(page);
  await dialog.getByLabel("시작").uncheck();
  await dialog.getByLabel("두 배").check();
  await page.keyboard.press("Enter");
  const done = page.getByRole("dialog", { name: "“가운데” 저장됨" });
  await expect(done.locator(".pairs")).toContainText("tasks.start.output.n");
  await expect(done.locator(".pairs")).toContainText("run.input.step");
  await axe(page);
  await done.getByRole("button", { name: "닫기" }).click();
  await page.getByRole("button", { name: "목록" }).click();
  await expect(page.locator(".flow-tasks b")).toHaveText(["시작", "가운데", "끝"]);

  const run = await platform.start(workflow, { n: 1, step: 3 });
  await page.goto(`/runs/${run}`);
  await expect(page.locator(".run-head .state").first()).toHaveText("성공");
  await page.locator(".task-row").nth(1).click();
  await page.locator(".panel-task").getByRole("link", { name: "하위 실행" }).click();
  await expect(page.locator(".task-row")).toHaveCount(2);
  expect(bad).toEqual([]);
});
