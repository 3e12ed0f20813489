/** What somebody has typed outlives its form: the panel may show something else meanwhile. It goes with the log-out. */

import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useState } from "react";

/** A state that the next form of the same name begins with; null: a state like any other. */
export function useKept<T>(name: string | null, first: () => T): [T, (value: T) => void] {
  const client = useQueryClient();
  const [value, setValue] = useState(() => (name === null ? undefined : client.getQueryData<T>(["kept", name])) ?? first());
  function keep(next: T): void {
    setValue(next);
    if (name === null) return;
    client.setQueryDefaults(["kept"], { gcTime: Infinity });
    client.setQueryData(["kept", name], next);
  }
  return [value, keep];
}

/** Forgets all whose name begins with this. */
export function forget(client: QueryClient, beginning: string): void {
  client.removeQueries({ predicate: ({ queryKey: [kind, name] }) => kind === "kept" && String(name).startsWith(beginning) });
}
