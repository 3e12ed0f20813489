/**
 * A task that ran over a list: how far its items are, and a list of them that stays light with thousands. Only rows in
 * sight are in the document; the next page is read when its place comes into sight.
 */

import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { isTerminal, type Item, type ItemCounts, type ItemState, type Task } from "../../api/client";
import { items as itemsQuery, pageOfItem } from "../../api/queries";
import { duration } from "../../format";
import { useText } from "../../i18n";
import { ProblemNote, Skeleton, Stale } from "../../parts/Feedback";
import { Picker } from "../../parts/Picker";
import { StateMark, useStateName } from "../../parts/StateMark";
import { useRows } from "./useRows";

const STATES: readonly ItemState[] = ["QUEUED", "RUNNING", "WAITING", "RETRY_WAIT", "SUCCESS", "FAILED", "CANCELLED"];

const ROW_HEIGHT = 36;
/** So many rows before the end of what was read the next page is asked for. */
const AHEAD = 20;
const LOOK_AGAIN_MS = 1_000;
const BACK: ReadonlySet<string> = new Set(["ArrowUp", "PageUp", "Home"]);
const ONWARD: ReadonlySet<string> = new Set(["ArrowDown", "PageDown", "End"]);

interface Props {
  runId: string;
  task: Task;
  counts: ItemCounts;
  /** The position of the chosen one. */
  chosen: number | null;
  onChoose: (position: number) => void;
  /** The chosen one as it is now; null while nobody knows it, undefined when it is not there. */
  onFound: (item: Item | null | undefined) => void;
}

export function Items({ runId, task, counts, chosen, onChoose, onFound }: Props) {
  const t = useText();
  const name = useStateName();
  // who opens a failed task looks for what failed; who comes for one item finds it among all
  const [state, setState] = useState<ItemState | null>(() => (chosen === null && task.state === "FAILED" && counts.failed > 0 ? "FAILED" : null));
  // an address may name an item that lies pages away: the list begins at its page
  const [from, setFrom] = useState(() => (chosen === null ? 0 : pageOfItem(chosen)));
  const moving = !isTerminal(task.state);
  const list = useInfiniteQuery({
    ...itemsQuery(runId, task.task_run_id, state, state === null ? from : 0),
    // pages are read again together: the more there are, the less often
    refetchInterval: (query) => (moving ? LOOK_AGAIN_MS * Math.max(1, query.state.data?.pages.length ?? 0) : false),
  });
  const { refetch, fetchNextPage, hasNextPage, fetchPreviousPage, hasPreviousPage, isFetching, isPending } = list;
  const ended = useRef(!moving);
  useEffect(() => {
    if (!moving && !ended.current) void refetch();
    ended.current = !moving;
  }, [moving, refetch]);

  const shown = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const found = useMemo(() => shown.find((item) => item.item === chosen), [shown, chosen]);
  const away = chosen !== null && found === undefined && state === null;
  useEffect(() => {
    if (found !== undefined) onFound(found);
    else if (away) {
      const there = pageOfItem(chosen);
      if (there !== from) setFrom(there);
      onFound(isPending || there !== from ? null : undefined);
    }
  }, [found, away, chosen, from, isPending, onFound]);
  const empty = shown.length === 0;
  useEffect(() => {
    // none of the page has begun: those before it have
    if (empty && hasPreviousPage && !isFetching) void fetchPreviousPage();
  }, [empty, hasPreviousPage, isFetching, fetchPreviousPage]);

  return (
    <section className="items" aria-labelledby="items-title">
      <div className="items-head">
        <h3 id="items-title">{t("items.title")}</h3>
        {counts.total > 0 && (
          <Picker
            name={t("runs.state")}
            value={state ?? ""}
            options={STATES.map((one) => [one, name(one)])}
            onChoose={(value) => setState(STATES.find((one) => one === value) ?? null)}
          />
        )}
      </div>
      <Counts counts={counts} />
      <Stale query={list} />
      {list.data === undefined && list.error !== null ? (
        <ProblemNote error={list.error} onRetry={refetch} />
      ) : isPending ? (
        <Skeleton rows={3} />
      ) : shown.length === 0 ? (
        <p className="quiet">{t(counts.total === 0 ? "items.empty" : state === null ? "items.notYet" : "items.noMatch")}</p>
      ) : (
        <Rows
          key={state ?? ""}
          items={shown}
          chosen={chosen}
          onChoose={onChoose}
          onBegin={() => hasPreviousPage && !isFetching && void fetchPreviousPage()}
          onEnd={() => hasNextPage && !isFetching && void fetchNextPage()}
        />
      )}
      {hasNextPage && (
        <button type="button" className="button button-plain" disabled={list.isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {list.isFetchingNextPage ? t("app.loadingMore") : t("app.more")}
        </button>
      )}
    </section>
  );
}

/** One stretch per state, and the same in words. */
function Counts({ counts: { total, succeeded, failed, open } }: { counts: ItemCounts }) {
  const t = useText();
  const rest = Math.max(0, total - succeeded - failed - open);
  const parts = [["SUCCESS", succeeded], ["FAILED", failed], ["RUNNING", open], ["PENDING", rest]] as const;
  return (
    <div>
      <div className="progress" aria-hidden="true">
        {parts.map(([state, count]) => count > 0 && <span key={state} data-state={state} style={{ flexGrow: count }} />)}
      </div>
      <p className="items-counts">{t("items.counts", { total, succeeded, failed, open })}</p>
    </div>
  );
}

interface Listed {
  items: Item[];
  chosen: number | null;
  onChoose: (position: number) => void;
  /** The reader comes near the first or the last row. */
  onBegin: () => void;
  onEnd: () => void;
}

function Rows({ items, chosen, onChoose, onBegin, onEnd }: Listed) {
  const t = useText();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => items[index]?.item ?? index,
    overscan: 8,
  });
  const indexes = useMemo(() => items.map((_, index) => index), [items]);
  const { current, setActive, move, focus } = useRows(box, indexes, virtual);

  // what comes before the rows leaves the reader where they are, although their row is drawn anew
  const begin = items[0]?.item ?? 0;
  const began = useRef(begin);
  const held = box.current?.contains(document.activeElement) ?? false;
  useLayoutEffect(() => {
    const more = began.current - begin;
    began.current = begin;
    if (more <= 0 || box.current === null) return;
    box.current.scrollTop += more * ROW_HEIGHT;
    if (held) focus(current + more);
    else if (current >= 0) setActive(current + more);
  }, [begin, current, held, focus, setActive]);

  const last = virtual.getVirtualItems().at(-1)?.index ?? 0;
  const near = last >= items.length - AHEAD && items.length > AHEAD;
  useEffect(() => {
    if (near) onEnd();
  }, [near, onEnd]);

  const at = chosen === null ? -1 : items.findIndex((item) => item.item === chosen);
  const brought = useRef(false);
  const drawn = virtual.getVirtualItems();
  const arrived = useRef(false);
  useEffect(() => {
    // not on the way to where the address leads
    arrived.current ||= at < 0 || drawn.some((place) => place.index === at);
    if (arrived.current && drawn[0]?.index === 0) onBegin();
  }, [drawn, at, onBegin]);

  // where the address leads, once
  useEffect(() => {
    if (brought.current || at < 0) return;
    brought.current = true;
    setActive(at);
    virtual.scrollToIndex(at, { align: "center" });
  }, [at, virtual, setActive]);

  return (
    <div
      className="item-rows"
      ref={box}
      onKeyDown={(event) => {
        move(event);
        // who goes on at the end asks for more, again when it failed before
        if (current === items.length - 1 && ONWARD.has(event.key)) onEnd();
        if (current === 0 && BACK.has(event.key)) onBegin();
      }}
    >
      <div role="list" aria-label={t("items.label")} style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((place) => {
          const item = items[place.index];
          return (
            item && (
              <div
                key={place.key}
                role="listitem"
                aria-setsize={items.length}
                aria-posinset={place.index + 1}
                data-index={place.index}
                className="row-place"
                style={{ height: place.size, transform: `translateY(${place.start}px)` }}
              >
                <ItemRow
                  item={item}
                  selected={item.item === chosen}
                  reachable={place.index === current}
                  onSelect={() => {
                    brought.current = true;
                    setActive(place.index);
                    onChoose(item.item);
                  }}
                />
              </div>
            )
          );
        })}
      </div>
    </div>
  );
}

const ItemRow = memo(
  function ItemRow({ item, selected, reachable, onSelect }: { item: Item; selected: boolean; reachable: boolean; onSelect: () => void }) {
    const name = useStateName();
    return (
      <button
        type="button"
        className="item-row"
        data-state={item.state}
        data-item={item.item}
        aria-current={selected || undefined}
        tabIndex={reachable ? 0 : -1}
        onClick={onSelect}
      >
        <StateMark state={item.state} size={14} />
        <code>[{item.item}]</code>
        <span className="clip">{item.error === null ? name(item.state) : item.error.message || item.error.code}</span>
        {item.error !== null && <span className="hidden-text">{name(item.state)}</span>}
        <span className="row-time">{item.ran_ms === null ? (isTerminal(item.state) ? "–" : "") : duration(item.ran_ms)}</span>
      </button>
    );
  },
  // a page that is read again gives the same items as other objects
  (before, after) =>
    before.selected === after.selected &&
    before.reachable === after.reachable &&
    before.item.item === after.item.item &&
    before.item.state === after.item.state &&
    before.item.attempt === after.item.attempt &&
    before.item.ran_ms === after.item.ran_ms,
);
