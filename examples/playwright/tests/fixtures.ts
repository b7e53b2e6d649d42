// What each test gets: a Latchkey that only the tests of its worker use, a page of the app that calls it, and a number.

import { fileURLToPath } from "node:url";
import { test as base } from "@playwright/test";
import { Latchkey } from "./latchkey.ts";

const seed = fileURLToPath(new URL("../seed.json", import.meta.url));
let numbers = 0;

export const test = base.extend<{ number: string }, { latchkey: Latchkey }>({
  latchkey: [
    async ({}, use) => {
      const latchkey = await Latchkey.start(seed);
      await use(latchkey);
      latchkey.stop();
    },
    { scope: "worker" },
  ],
  page: async ({ page, latchkey }, use) => {
    await page.route("/config.json", (route) => route.fulfill({ json: { latchkey: latchkey.url } }));
    await page.goto("/");
    await use(page);
    await latchkey.heal();
  },
  // A second code for the same number has to wait, so each test has a number of its own.
  number: async ({}, use) => {
    numbers += 1;
    await use(`+97798420${String(numbers).padStart(5, "0")}`);
  },
});

export { expect } from "@playwright/test";
