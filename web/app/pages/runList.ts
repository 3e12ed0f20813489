/** What a list of runs becomes when some of them changed. */

import type { InfiniteData } from "@tanstack/react-query";
import type { RunSummary } from "../api/client";
import type { RunFilter } from "../api/queries";

interface Page {
  items: RunSummary[];
  next_cursor: string | null;
}
export type RunPages = InfiniteData<Page, string>;

const newer = (one: RunSummary, other: RunSummary): boolean =>
  one.created_at === other.created_at ? one.run_id > other.run_id : one.created_at > other.created_at;

const fits = (run: RunSummary, { state, workflow_id }: RunFilter): boolean =>
  (state === undefined || run.state === state) && (workflow_id === undefined || run.workflow_id === workflow_id);

/**
 * The pages with `changed` in them, and the runs that would have changed the list's shape: without `reshape` rows only
 * change in their place, so that nothing moves under who reads. The same pages when nothing changed.
 */
export function withRuns(pages: RunPages, changed: Iterable<RunSummary>, filter: RunFilter, reshape: boolean): { pages: RunPages; held: RunSummary[] } {
  const held: RunSummary[] = [];
  let next = pages.pages;
  for (const run of changed) {
    const at = next.findIndex((page) => page.items.some((item) => item.run_id === run.run_id));
    if (at >= 0) {
      const page = next[at] as Page;
      const known = page.items.find((item) => item.run_id === run.run_id);
      if (known === undefined || known.version > run.version) continue;
      if (reshape && !fits(run, filter)) next = next.with(at, { ...page, items: page.items.filter((item) => item !== known) });
      else if (known.version < run.version) next = next.with(at, { ...page, items: page.items.map((item) => (item === known ? run : item)) });
    } else if (fits(run, filter)) {
      // on a page that is not read yet it will come with that page
      const page = next.findIndex((one) => one.next_cursor === null || one.items.some((item) => newer(run, item)));
      if (page < 0) continue;
      if (!reshape) {
        held.push(run);
        continue;
      }
      const { items, next_cursor } = next[page] as Page;
      const place = items.findIndex((item) => newer(run, item));
      next = next.with(page, { items: items.toSpliced(place < 0 ? items.length : place, 0, run), next_cursor });
    }
  }
  return { pages: next === pages.pages ? pages : { ...pages, pages: next }, held };
}

/**
 * The list read anew while the reader is in the middle of it: the rows that were there, as they are now, and `news`, the
 * runs that the answer has besides. A page that was not read before is kept as it came.
 */
export function inPlace(before: RunPages, after: RunPages): { pages: RunPages; news: RunSummary[] } {
  const now = new Map(after.pages.flatMap((page) => page.items).map((run) => [run.run_id, run]));
  const kept = before.pages.map((page) => ({
    ...page,
    items: page.items.map((run) => {
      const found = now.get(run.run_id);
      return found !== undefined && found.version > run.version ? found : run;
    }),
  }));
  for (const run of kept.flatMap((page) => page.items)) now.delete(run.run_id);
  const further = after.pages.slice(before.pages.length);
  for (const run of further.flatMap((page) => page.items)) now.delete(run.run_id);
  return { pages: { pages: [...kept, ...further], pageParams: [...before.pageParams, ...after.pageParams.slice(before.pageParams.length)] }, news: [...now.values()] };
}
