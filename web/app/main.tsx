import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router/dom";
import { Problem } from "./api/problem";
import { renew } from "./api/session";
import "./design/tokens.css";
import "./design/base.css";
import { locale } from "./i18n";
import { makeRouter } from "./routes";
import { applyTheme } from "./theme";

document.documentElement.lang = locale.get();
applyTheme();

const client = new QueryClient({
  queryCache: new QueryCache(),
  mutationCache: new MutationCache(),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // a refusal stays one; only a server that does not answer is asked again
      retry: (count, error) => count < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
      retryDelay: (count) => 400 * 2 ** count,
    },
  },
});
// what the server says is in the language it was asked in
locale.subscribe(() => void client.invalidateQueries());

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
// before anything is drawn, it is known whether somebody is logged in
void renew()
  .catch(() => false)
  .then(() => {
    createRoot(root).render(
      <StrictMode>
        <QueryClientProvider client={client}>
          <RouterProvider router={makeRouter()} />
        </QueryClientProvider>
      </StrictMode>,
    );
  });
