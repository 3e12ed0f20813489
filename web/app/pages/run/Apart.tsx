/** An input or output that is too large to be shown: it can be taken along. */

import { useMutation } from "@tanstack/react-query";
import { ioContent, type Direction } from "../../api/queries";
import { useText } from "../../i18n";
import { ProblemNote } from "../../parts/Feedback";

export function Apart({ taskRunId, direction, name }: { taskRunId: string; direction: Direction; name: string }) {
  const t = useText();
  const fetched = useMutation({
    mutationFn: () => ioContent(taskRunId, direction),
    onSuccess: (content) => save(content, `${direction}-${taskRunId}.json`),
  });
  return (
    <>
      <p className="quiet">{t("task.apart")}</p>
      <button
        type="button"
        className="button"
        aria-label={`${t("task.download")}: ${name}`}
        aria-busy={fetched.isPending}
        onClick={() => fetched.isPending || fetched.mutate()}
      >
        {t("task.download")}
      </button>
      {fetched.error !== null && <ProblemNote error={fetched.error} />}
    </>
  );
}

/** A link to the address would not do: the API wants the token with the request. */
function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // by then the browser has it
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
