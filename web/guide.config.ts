/** The guide's walk: on a platform as a stranger has it, without the workflows that the other tests look at. */

import { defineConfig } from "@playwright/test";
import base from "./playwright.config";

const { globalSetup: _, ...rest } = base;

export default defineConfig({ ...rest, projects: base.projects?.filter(({ name }) => name === "guide") ?? [] });
