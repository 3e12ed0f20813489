/** The addresses. Each page is a file of its own that is fetched when it is first opened. */

import { createBrowserRouter, redirect, useRouteError } from "react-router";
import { Problem, UNREACHABLE } from "./api/problem";
import { ProblemNote } from "./parts/Feedback";
import { Shell } from "./parts/Shell";

/** In place of a page, beside the menu: it broke, or its file did not come. */
function BrokenPage() {
  const error = useRouteError();
  // a file of a page: nobody answers, or it belongs to an older build, which loading anew replaces
  const missing = error instanceof TypeError && /import|module script/i.test(error.message);
  if (!missing) console.error(error);
  return <ProblemNote error={missing ? new Problem(0, UNREACHABLE, "") : error} onRetry={loadAnew} />;
}

function Broken() {
  return (
    <main className="page">
      <BrokenPage />
    </main>
  );
}

/** Only when somebody answers: the browser's own page for that has no way back. */
async function loadAnew(): Promise<void> {
  await fetch("/mark.svg", { cache: "no-store" }).then(
    () => location.reload(),
    () => undefined,
  );
}

export const makeRouter = () =>
  createBrowserRouter([
    { path: "/login", lazy: () => import("./pages/Login"), ErrorBoundary: Broken, HydrateFallback: () => null },
    {
      Component: Shell,
      ErrorBoundary: Broken,
      HydrateFallback: () => null,
      children: [
        {
          ErrorBoundary: BrokenPage,
          children: [
            { path: "/", loader: () => redirect("/workflows") },
            { path: "/workflows", lazy: () => import("./pages/Workflows") },
            { path: "/workflows/:id", lazy: () => import("./pages/workflow/Workflow") },
            { path: "/runs", lazy: () => import("./pages/Runs") },
            { path: "/runs/:id", lazy: () => import("./pages/run/RunPage") },
            { path: "*", lazy: () => import("./pages/NotFound") },
          ],
        },
      ],
    },
  ]);
