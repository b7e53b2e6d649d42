// What a person meets when they sign in to the app.

import type { Locator, Page } from "@playwright/test";
import { expect, test } from "./fixtures.ts";

const codeField = (page: Page): Locator => page.getByLabel("Code", { exact: true });

/** What the element says in words when something was refused. */
const problem = (page: Page): Locator => page.locator("latchkey-sign-in [part=problem]");

async function askForCode(page: Page, number: string): Promise<void> {
  await page.getByLabel("Mobile number").fill(number);
  await page.getByRole("button", { name: "Text me a code" }).click();
}

test("a new person signs in, stays signed in after a reload, and signs out", async ({ page, latchkey, number }) => {
  await askForCode(page, number);
  await expect(codeField(page)).toBeVisible();
  await codeField(page).fill(await latchkey.code(number));
  await expect(page.getByText(`Hello, ${number}`)).toBeVisible();
  await page.reload();
  await expect(page.getByText(`Hello, ${number}`)).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Mobile number")).toBeVisible();
});

test("a person of the seed is known", async ({ page, latchkey }) => {
  await askForCode(page, "+9779841000001");
  await expect(codeField(page)).toBeVisible();
  await codeField(page).fill(await latchkey.code("+9779841000001"));
  await expect(page.getByText("Hello, Sita")).toBeVisible();
});

test("a code that has expired is refused, and a new one works", async ({ page, latchkey, number }) => {
  await page.clock.install();
  await askForCode(page, number);
  await expect(codeField(page)).toBeVisible();
  const code = await latchkey.code(number);
  await latchkey.advance(600);
  await page.clock.fastForward(600_000);
  await codeField(page).fill(code);
  await expect(problem(page)).toContainText("This code is too old");
  await page.getByRole("button", { name: "Text me again" }).click();
  await expect(codeField(page)).toBeVisible();
  await codeField(page).fill(await latchkey.code(number));
  await expect(page.getByText(`Hello, ${number}`)).toBeVisible();
});

test("a gateway that fails is replaced by the next one", async ({ page, latchkey, number }) => {
  await latchkey.fail("sparrow", "error", 1);
  await askForCode(page, number);
  await expect(codeField(page)).toBeVisible();
  expect(await latchkey.message(number)).toHaveProperty("gateway", "sns");
  await codeField(page).fill(await latchkey.code(number));
  await expect(page.getByText(`Hello, ${number}`)).toBeVisible();
});

test("when no gateway works, the person is told when to try again", async ({ page, latchkey, number }) => {
  await latchkey.fail("sparrow", "error", 10);
  await latchkey.fail("sns", "error", 10);
  await askForCode(page, number);
  await expect(problem(page)).toContainText("The text could not be sent. You can try again");
});

test("a test number has a code that never changes", async ({ page }) => {
  await askForCode(page, "+9779800000000");
  await codeField(page).fill("135790");
  await expect(page.getByText("Hello, +9779800000000")).toBeVisible();
});

test("a number that nobody has proven for long needs a second signal", async ({ page, latchkey }) => {
  await askForCode(page, "+9779841000002");
  await expect(codeField(page)).toBeVisible();
  await codeField(page).fill(await latchkey.code("+9779841000002"));
  await expect(page.getByRole("heading", { name: "Is this your account?" })).toBeVisible();
});
