import type { TaskError } from "../api/client";
import { isKey, text, useText } from "../i18n";

/** What happened, in words: the engine's own codes have theirs here, and say beside them what they are about. */
export function errorText(error: TaskError, t: typeof text = text): string {
  const key = `error.${error.code}`;
  if (!isKey(key)) return error.message || error.code;
  if (error.message === "") return t(key);
  // workers use some of the codes too, and write whole sentences
  return /[.!?]$/.test(error.message) ? error.message : `${t(key)} (${error.message})`;
}

export function useErrorText(): (error: TaskError) => string {
  const t = useText();
  return (error) => errorText(error, t);
}
