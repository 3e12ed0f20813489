import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Hashed names for all but index.html: what serves them may let browsers keep them for ever.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    manifest: true, // tests/first-load.mjs reads it
    target: "es2022",
    assetsInlineLimit: 0, // data: URLs would need a looser policy
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: Object.fromEntries(
      ["/v0", "/blog"].map((path) => [path, process.env["FLOWWEAVER_BASE_URL"] ?? "http://127.0.0.1:9000"]),
    ),
  },
  test: { include: ["tests/unit/**/*.test.ts"], environment: "node" },
});
