/** The platform that the tests talk to, over its API: workflows to look at and runs to watch. */

import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const base = (): string => process.env["FLOWWEAVER_BASE_URL"] as string;
export const EMAIL = process.env["FLOWWEAVER_ADMIN_EMAIL"] ?? "";
export const PASSWORD = process.env["FLOWWEAVER_ADMIN_PASSWORD"] ?? "";

type Json = Record<string, unknown>;
interface Placed {
  type: string;
  name: string;
  parameters: Json;
  key?: string;
  depends_on?: string[];
  for_each?: string | unknown[];
  max_parallel?: number;
  concurrency_key?: string;
  concurrency_limit?: number;
  retry?: Json;
}
interface Wanted {
  name: string;
  description?: string;
  failure_policy?: string;
  default_config?: Json;
  input_schema?: Json;
  concurrency?: { limit: number; overflow?: string };
  jobs: { name: string; tasks: Placed[] }[];
}

async function newToken(): Promise<string> {
  const response = await fetch(`${base()}/v0/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email: EMAIL, password: PASSWORD }),
  });
  if (!response.ok) throw new Error(`log-in: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { access_token: string }).access_token;
}

export class Platform {
  private constructor(private token: string) {}

  static async logIn(): Promise<Platform> {
    return new Platform(await newToken());
  }

  async call<T = Json>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const response = await this.send(method, path, body, headers);
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (response.status === 204 ? {} : await response.json()) as T;
  }

  private async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const ask = (): Promise<Response> =>
      fetch(`${base()}${path}`, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json", ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
    const first = await ask();
    if (first.status !== 401) return first;
    this.token = await newToken(); // the platform under test may give short ones
    return ask();
  }

  /** The workflow of this name; composed when it is not there yet. */
  async workflow(wanted: Wanted): Promise<string> {
    const found = await this.find(wanted.name);
    if (found !== null) return found;
    const { jobs, ...head } = wanted;
    const placed: Json[] = [];
    for (const job of jobs) {
      const { job_id } = await this.call<{ job_id: string }>("POST", "/v0/jobs", { name: job.name });
      const tasks: Json[] = [];
      const known = new Map<string, string>();
      for (const { type, name, parameters, ...rest } of job.tasks) {
        const same = JSON.stringify([type, parameters]);
        let id = known.get(same);
        if (id === undefined) {
          id = (await this.call<{ task_id: string }>("POST", "/v0/tasks", { name, type, parameters })).task_id;
          known.set(same, id);
        }
        tasks.push({ task_id: id, name, ...rest });
      }
      await this.change(`/v0/jobs/${job_id}`, `/v0/jobs/${job_id}/tasks`, tasks);
      placed.push({ job_id });
    }
    const made = await this.call<{ workflow_id: string }>("POST", "/v0/workflows", head);
    await this.change(`/v0/workflows/${made.workflow_id}`, `/v0/workflows/${made.workflow_id}/jobs`, placed);
    return made.workflow_id;
  }

  async find(name: string): Promise<string | null> {
    const page = await this.call<{ items: { workflow_id: string; name: string }[] }>("GET", `/v0/workflows?limit=200&text=${encodeURIComponent(name)}`);
    return page.items.find((item) => item.name === name)?.workflow_id ?? null;
  }

  private async change(read: string, write: string, body: unknown): Promise<void> {
    const response = await this.send("GET", read);
    await this.call("PUT", write, body, { "If-Match": response.headers.get("ETag") ?? "*" });
  }

  /** A new person with one role, and the password that was mailed to them. */
  async invite(role: string): Promise<{ email: string; password: string }> {
    const email = `${role}-${randomUUID().slice(0, 8)}@example.com`;
    await this.call("POST", "/v0/auth/register", { name: "보는 이", email, roles: [role] });
    return { email, password: mailedPassword(email) };
  }

  async start(workflowId: string, input: Json = {}): Promise<string> {
    const accepted = await this.call<{ run_id: string }>("POST", `/v0/workflows/${workflowId}/run`, { input }, { "Idempotency-Key": randomUUID() });
    return accepted.run_id;
  }

  async ended(runId: string, withinMs = 60_000): Promise<string> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const { state } = await this.call<{ state: string }>("GET", `/v0/workflow-runs/${runId}`);
      if (["SUCCESS", "FAILED", "CANCELLED"].includes(state)) return state;
      if (Date.now() > deadline) throw new Error(`run ${runId} is still ${state}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** From the mail that the platform wrote to its folder (FLOWWEAVER_DATA). */
function mailedPassword(email: string): string {
  const folder = join(process.env["FLOWWEAVER_DATA"] as string, "mail");
  for (const name of readdirSync(folder)) {
    const mail = readFileSync(join(folder, name), "utf8");
    if (!mail.includes(email)) continue;
    // quoted-printable
    const bytes = mail.replace(/=\r?\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
    const found = /: (\S{10,})\r?\n/.exec(Buffer.from(bytes, "latin1").toString("utf8").split(email).at(-1) ?? "");
    if (found?.[1] !== undefined) return found[1];
  }
  throw new Error(`no mail to ${email}`);
}

/** The sample workflow, applied as people do it. */
export async function blogWorkflow(platform: Platform): Promise<string> {
  const found = await platform.find("상품 분석 및 블로그 자동 발행");
  if (found !== null) return found;
  const flowweaver = process.env["FLOWWEAVER_BIN"] ?? "../.venv/bin/flowweaver";
  execFileSync(flowweaver, ["apply", "../cli/src/flowweaver_cli/blog_workflow.yaml"], { stdio: "inherit" });
  return (await platform.find("상품 분석 및 블로그 자동 발행")) as string;
}

const LONG_NAME = "전국 삼백이십 개 매장의 하루 매출과 재고를 모아 부족한 상품을 찾고 담당자에게 알리는 아침 보고 업무 흐름 자동화";

export const longNamed = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: LONG_NAME.slice(0, 60),
    description: "매장마다 다른 형식의 자료를 하나로 모으고, 빠진 값을 채우고, 지난주와 견주어 이상한 값을 골라냅니다. 결과는 담당자마다 나누어 보냅니다.",
    failure_policy: "continue",
    default_config: { collect: { seconds: 0.5 } },
    input_schema: {
      type: "object",
      required: ["date"],
      properties: {
        date: { type: "string", format: "date", description: "보고할 날" },
        region: { type: "string", enum: ["서울", "부산", "대구"], description: "비우면 모든 지역" },
        limit: { type: "integer", minimum: 1, maximum: 500, default: 50, description: "보고할 상품 수" },
        notify: { type: "boolean", default: true, description: "담당자에게 알립니다" },
        stores: { type: "array", items: { type: "string" }, description: "매장 번호" },
      },
      additionalProperties: false,
    },
    jobs: [
      {
        name: "전국 매장의 하루 매출과 재고 자료를 모아 하나의 형식으로 가지런히 정리하는 첫 번째 작업 모음입니다",
        tasks: [
          { key: "collect", type: "test.sleep", name: "매장마다 다른 형식으로 올라오는 하루 매출 자료를 모두 내려받아 하나의 표로 합치는 태스크입니다", parameters: { seconds: 0.4 } },
          { key: "stock", type: "test.sleep", name: "재고 자료 내려받기", parameters: { seconds: 0.7 }, depends_on: [] },
          { key: "merge", type: "test.increment", name: "합치기", parameters: { n: 41 }, depends_on: ["collect", "stock"] },
        ],
      },
      { name: "보고", tasks: [{ key: "report", type: "test.sleep", name: "보고서 만들기", parameters: { seconds: 0.3 } }] },
    ],
  });

export const failing = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "결제 내역 맞추기",
    description: "하루 동안의 결제와 주문을 견주어 어긋난 것을 찾습니다.",
    failure_policy: "continue",
    jobs: [
      {
        name: "맞추기",
        tasks: [
          { key: "load", type: "test.sleep", name: "결제 내역 불러오기", parameters: { seconds: 0.3 } },
          { key: "flaky", type: "test.fail", name: "은행 자료 받기", parameters: { times: 1, error_class: "retryable" }, retry: { max_attempts: 3, backoff: "fixed", delay_s: 1 } },
          { key: "compare", type: "test.fail", name: "주문과 견주기", parameters: { times: 9, error_class: "fatal" } },
        ],
      },
      { name: "알리기", tasks: [{ key: "tell", type: "test.sleep", name: "담당자에게 알리기", parameters: { seconds: 0.2 } }] },
    ],
  });

export const slow = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "오래 걸리는 백업",
    description: "한 태스크가 오래 걸립니다.",
    jobs: [
      {
        name: "백업",
        tasks: [
          { key: "prepare", type: "test.sleep", name: "준비", parameters: { seconds: 0.6 } },
          { key: "copy", type: "test.sleep", name: "복사", parameters: { seconds: 600 } },
          { key: "check", type: "test.sleep", name: "확인", parameters: { seconds: 1 } },
        ],
      },
    ],
  });

export const thousand = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "태스크 천 개",
    description: "많은 태스크를 나란히 돌립니다.",
    jobs: Array.from({ length: 5 }, (_, job) => ({
      name: `${job + 1}번째 작업`,
      tasks: Array.from({ length: 200 }, (_, index) => ({
        key: `t${job}_${index}`,
        type: "test.increment",
        name: `${job * 200 + index + 1}번 태스크`,
        parameters: { n: 1 },
        depends_on: [],
      })),
    })),
  });

export async function scheduled(platform: Platform, workflowId: string): Promise<void> {
  const page = await platform.call<{ items: unknown[] }>("GET", `/v0/workflows/${workflowId}/schedules`);
  if (page.items.length > 0) return;
  await platform.call("POST", `/v0/workflows/${workflowId}/schedules`, { cron: "0 8 * * 1-5", text: "영업일 아침" });
  await platform.call("POST", `/v0/workflows/${workflowId}/schedules`, { cron: "30 18 1 * *", text: "달마다 한 번", active: false });
}

/** Asks people: an approval, a form, and another approval. It waits as long as nobody answers. */
export const asking = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "발행 전에 물어보기",
    description: "사람이 살펴보고 나서야 이어집니다.",
    jobs: [
      {
        name: "물어보기",
        tasks: [
          {
            key: "approve",
            type: "human.approval",
            name: "글 승인",
            parameters: {
              title: "이 글을 발행할까요?",
              description: "가격과 재고를 한 번 더 살펴보세요.\n발행한 뒤에는 되돌릴 수 없습니다.",
              shown: { title: "가을에 어울리는 텀블러 다섯 가지", price: 18900, stock: 42, tags: ["텀블러", "가을"] },
            },
          },
          {
            key: "form",
            type: "human.form",
            name: "쿠폰 정하기",
            parameters: {
              title: "이번 주 쿠폰을 정해 주세요",
              shown: "지난주에는 FALL-10을 썼습니다.",
              schema: {
                type: "object",
                required: ["code", "percent"],
                properties: {
                  code: { type: "string", title: "쿠폰 이름", pattern: "^[A-Z]+-[0-9]+$", description: "FALL-10처럼" },
                  percent: { type: "integer", title: "할인율", minimum: 1, maximum: 50, default: 10 },
                  season: { enum: ["봄", "여름", "가을", "겨울"], title: "계절" },
                  mail: { type: "boolean", title: "메일로 알리기", default: true },
                },
                additionalProperties: false,
              },
            },
          },
          { key: "again", type: "human.approval", name: "마지막 확인", parameters: { on_reject: "continue" } },
          { key: "count", type: "test.increment", name: "할인율 적용", parameters: { n: "${{ tasks.form.output.values.percent }}" } },
        ],
      },
    ],
  });

/** Forty tasks in six jobs, some side by side. */
export const forty = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "월말 결산과 세금 신고 자료 준비",
    description: "부서마다 자료를 모아 맞추고, 보고서와 신고 자료를 만듭니다.",
    jobs: ["자료 모으기", "맞추기", "검토", "결산", "보고", "신고"].map((job, at) => ({
      name: job,
      tasks: Array.from({ length: at < 4 ? 7 : 6 }, (_, index) => ({
        key: `k${at}_${index}`,
        type: "test.increment",
        name: `${job} ${index + 1}단계`,
        parameters: { n: 1 },
        // one begins, some stand side by side, one gathers them
        depends_on: index === 0 ? [] : index < 4 ? [`k${at}_0`] : index === 4 ? [`k${at}_1`, `k${at}_2`, `k${at}_3`] : [`k${at}_${index - 1}`],
      })),
    })),
  });

/** A task that writes many lines while it runs; `held`: the run goes on afterwards, until it is cancelled. */
export const talkative = (platform: Platform, lines = 300, seconds = 1, held = false): Promise<string> =>
  platform.workflow({
    name: `로그 ${lines}줄`,
    description: "실행하는 동안 로그를 많이 남깁니다.",
    jobs: [
      { name: "말하기", tasks: [{ key: "talk", type: "test.log", name: "로그 남기기", parameters: { lines, seconds } }] },
      ...(held ? [{ name: "기다리기", tasks: [{ key: "hold", type: "test.sleep", name: "기다리기", parameters: { seconds: 600 } }] }] : []),
    ],
  });

/** Runs over the list of its input; an item fails when it is more than 0. What follows needs the list of their outputs. */
export const listed = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "매장마다 재고 맞추기",
    description: "매장 목록의 항목마다 한 번씩 실행합니다.",
    jobs: [
      {
        name: "맞추기",
        tasks: [
          {
            key: "each",
            type: "test.fail",
            name: "매장 재고 맞추기",
            for_each: "run.input.stores",
            max_parallel: 200,
            parameters: { times: "${{ item }}", error_class: "fatal" },
          },
          { key: "count", type: "test.increment", name: "매장 세기", parameters: { n: "${{ size(tasks.each.output) }}" } },
        ],
      },
    ],
  });

/** Asks once for each of two things, written out in the definition. */
export const askingTwice = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "글마다 승인하기",
    jobs: [
      {
        name: "승인",
        tasks: [
          { key: "each", type: "human.approval", name: "글 승인", for_each: ["봄", "여름"], parameters: { title: "${{ item }} 글을 발행할까요?" } },
        ],
      },
    ],
  });

/** A task that says something once a person has let it. */
export const talkingWhenAsked = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "시키면 말하기",
    jobs: [
      {
        name: "말하기",
        tasks: [
          { key: "approve", type: "human.approval", name: "시키기", parameters: {} },
          { key: "talk", type: "test.log", name: "말하기", parameters: { lines: 7, seconds: 0.1 } },
          { key: "hold", type: "test.sleep", name: "기다리기", parameters: { seconds: 600 } },
        ],
      },
    ],
  });

/** One that a test may switch off. */
export const switchable = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "켜고 끄는 흐름",
    jobs: [{ name: "하나", tasks: [{ key: "one", type: "test.increment", name: "하나", parameters: { n: 1 } }] }],
  });

/** A task with an output of 50 kB. */
export const bulky = (platform: Platform): Promise<string> =>
  platform.workflow({
    name: "긴 출력",
    jobs: [{ name: "하나", tasks: [{ key: "use", type: "test.use", name: "길게 쓰기", parameters: { bytes: 50_000 } }] }],
  });

/** A run of another workflow has an output of 5 MB, which the next task takes. */
export async function heavy(platform: Platform): Promise<string> {
  const child = await platform.workflow({
    name: "큰 것 만들기",
    jobs: [{ name: "하나", tasks: [{ key: "make", type: "test.use", name: "만들기", parameters: { bytes: 5_000_000 } }] }],
  });
  return platform.workflow({
    name: "아주 긴 출력",
    jobs: [
      {
        name: "하나",
        tasks: [
          { key: "child", type: "workflow.run", name: "시키기", parameters: { workflow_id: child } },
          { key: "take", type: "test.use", name: "받기", parameters: { value: "${{ tasks.child.output.output.make.seen }}" } },
        ],
      },
    ],
  });
}
