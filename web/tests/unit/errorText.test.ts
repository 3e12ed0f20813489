import { expect, test } from "vitest";
import { errorText } from "../../app/parts/errorText";

const error = (code: string, message = "") => ({ code, message, retryable: false });

test("a code of the engine's own is told in words, with what it is about", () => {
  expect(errorText(error("run_timeout"))).toBe("실행 전체에 정해진 시간이 지났습니다.");
  expect(errorText(error("items_failed", "2/4: [1] broken"))).toBe("실패한 항목이 있습니다. (2/4: [1] broken)");
});

test("a worker's own sentence is told as it is, and a code without words as itself", () => {
  expect(errorText(error("timeout", "태스크가 5초 안에 끝나지 않았습니다."))).toBe("태스크가 5초 안에 끝나지 않았습니다.");
  expect(errorText(error("site_changed"))).toBe("site_changed");
  expect(errorText(error("site_changed", "the page has no title"))).toBe("the page has no title");
});
