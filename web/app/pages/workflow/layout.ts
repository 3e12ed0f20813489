/**
 * Where each job and task stands in the graph. Jobs go from left to right in the order they depend on each other;
 * within a job tasks go down, those that do not wait for one another side by side, many of them in several lines. Pure: the same definition always
 * gives the same picture.
 */

import type { JobSpec } from "../../api/client";

export const TASK_WIDTH = 208;
export const TASK_HEIGHT = 58;
const GAP_X = 20;
const GAP_Y = 26;
const PAD = 18;
const JOB_HEAD = 40;
const JOB_GAP_X = 72;
const JOB_GAP_Y = 44;
/** More tasks of one level than this take several lines of about as many each: a drawing grows down before it grows wide. */
const WIDEST = 5;
const PER_LINE = 4;

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** By job key; tasks relative to their job, by `job/task`. */
export interface Layout {
  jobs: Map<string, Box>;
  tasks: Map<string, Box>;
  edges: { id: string; from: string; to: string; between: "jobs" | "tasks" }[];
}

/** How many steps lie before each item. What waits for itself in a circle counts as first. */
export function ranks(items: readonly { key: string; depends_on: readonly string[] }[]): Map<string, number> {
  const byKey = new Map(items.map((item) => [item.key, item]));
  const known = new Map<string, number>();
  const open = new Set<string>();
  function rank(key: string): number {
    const done = known.get(key);
    if (done !== undefined) return done;
    const item = byKey.get(key);
    if (item === undefined || open.has(key)) return -1;
    open.add(key);
    const found = 1 + Math.max(-1, ...item.depends_on.map(rank));
    open.delete(key);
    known.set(key, found);
    return found;
  }
  for (const item of items) rank(item.key);
  return known;
}

function byRank<T extends { key: string; depends_on: readonly string[] }>(items: readonly T[]): T[][] {
  const rank = ranks(items);
  const rows: T[][] = [];
  for (const item of items) (rows[rank.get(item.key) ?? 0] ??= []).push(item);
  return rows.filter((row) => row !== undefined);
}

export function layOut(jobs: readonly JobSpec[]): Layout {
  const layout: Layout = { jobs: new Map(), tasks: new Map(), edges: [] };
  let x = 0;
  for (const column of byRank(jobs)) {
    let y = 0;
    let widest = 0;
    for (const job of column) {
      const size = placeTasks(job, layout);
      layout.jobs.set(job.key, { x, y, ...size });
      y += size.height + JOB_GAP_Y;
      widest = Math.max(widest, size.width);
    }
    x += widest + JOB_GAP_X;
  }
  for (const job of jobs) {
    for (const from of job.depends_on) layout.edges.push({ id: `${from}>${job.key}`, from, to: job.key, between: "jobs" });
  }
  return layout;
}

function lines<T>(level: T[]): T[][] {
  if (level.length <= WIDEST) return [level];
  const count = Math.ceil(level.length / PER_LINE);
  const each = Math.ceil(level.length / count);
  return Array.from({ length: count }, (_, line) => level.slice(line * each, (line + 1) * each));
}

function placeTasks(job: JobSpec, layout: Layout): { width: number; height: number } {
  const rows = byRank(job.tasks).flatMap(lines);
  const most = Math.max(1, ...rows.map((row) => row.length));
  const inner = most * TASK_WIDTH + (most - 1) * GAP_X;
  rows.forEach((row, level) => {
    const own = row.length * TASK_WIDTH + (row.length - 1) * GAP_X;
    row.forEach((task, index) => {
      layout.tasks.set(`${job.key}/${task.key}`, {
        x: PAD + (inner - own) / 2 + index * (TASK_WIDTH + GAP_X),
        y: JOB_HEAD + level * (TASK_HEIGHT + GAP_Y),
        width: TASK_WIDTH,
        height: TASK_HEIGHT,
      });
    });
  });
  for (const task of job.tasks) {
    for (const from of task.depends_on) {
      if (!job.tasks.some((other) => other.key === from)) continue;
      layout.edges.push({ id: `${job.key}/${from}>${task.key}`, from: `${job.key}/${from}`, to: `${job.key}/${task.key}`, between: "tasks" });
    }
  }
  const levels = Math.max(1, rows.length);
  return { width: inner + 2 * PAD, height: JOB_HEAD + levels * TASK_HEIGHT + (levels - 1) * GAP_Y + PAD };
}
