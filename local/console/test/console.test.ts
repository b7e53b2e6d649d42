// The console in a browser, as a developer uses it. Pictures go to target/console.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { World } from "../../../clients/conformance/world.ts";
import { en } from "../src/texts/en.ts";
import { ne } from "../src/texts/ne.ts";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const pictures = file("../../../target/console");
const axe = readFileSync(file("../node_modules/axe-core/axe.min.js"), "utf8");

let world: World;
let browser: Browser;
before(async () => {
  mkdirSync(pictures, { recursive: true });
  world = await World.start();
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
after(async () => {
  await browser.close();
  world.close();
});

/** A browser of its own, which must not call any other host, and whose scripts must not fail. */
async function visit(options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: "en",
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  context.setDefaultTimeout(15_000);
  context.on("request", (request) => {
    assert.ok(/^(data|blob):/.test(request.url()) || request.url().startsWith(world.base), `it loads ${request.url()}`);
  });
  context.on("weberror", (error) => {
    throw error.error();
  });
  return context;
}

async function open(context: BrowserContext, address = "", { base } = world): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${base}/${address}`);
  await page.locator(".top").waitFor();
  return page;
}

let numbers = 0;
/** A national number of its own for each test. */
function newNumber(): string {
  numbers += 1;
  return `98510${String(numbers).padStart(5, "0")}`;
}

async function send(page: Page, number: string): Promise<void> {
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
}

/** Signs in as a person with the phone beside them does. */
async function signIn(page: Page, number = newNumber()): Promise<string> {
  await send(page, number);
  await page.locator(".message", { hasText: `+977${number}` }).locator(".chip").first().click();
  await page.locator(".account").waitFor();
  return number;
}

async function accessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
  assert.deepEqual(violations, []);
  const isTooWide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(isTooWide, false, "the page scrolls sideways");
}

async function shoot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${pictures}/${name}.png` });
}

async function calls(): Promise<{ route: string; status: number }[]> {
  const response = await fetch(`${world.base}/local/calls`);
  return ((await response.json()) as { calls: { route: string; status: number }[] }).calls;
}

test("a message arrives on the phone, fills the code in, and the session outlives a reload", async () => {
  const context = await visit();
  const page = await open(context);
  await accessible(page);
  await shoot(page, "empty");
  const number = newNumber();
  await send(page, number);
  const message = page.locator(".message", { hasText: `+977${number}` });
  await message.getByText("SMS by Sparrow").waitFor();
  await shoot(page, "code");
  await accessible(page);
  await message.locator(".chip").click();
  await page.locator(".account", { hasText: `+977${number}` }).waitFor();
  await page.getByText(en.newHere).waitFor();
  assert.equal(await page.locator(".token .left", { hasText: "left" }).count(), 2);
  await page.locator(".devices", { hasText: en.thisDevice }).waitFor();
  await page.locator(".call", { hasText: "/v1/otp/submit" }).first().locator("summary").first().click();
  await page.locator(".requests", { hasText: "TransactWriteItems" }).first().waitFor();
  await shoot(page, "signed-in");
  await accessible(page);
  await page.reload();
  await page.locator(".account", { hasText: `+977${number}` }).waitFor();
  await context.close();
});

test("a refused call says why, links to what that means, and can be repeated in a shell", async () => {
  const context = await visit();
  const page = await open(context);
  const number = newNumber();
  await send(page, number);
  await page.locator("#code").fill("000000");
  await page.locator("latchkey-sign-in").getByRole("alert").or(page.locator(".problem:not(:empty)")).first().waitFor();
  const call = page.locator(".call", { hasText: "incorrect_otp" }).first();
  await call.locator("summary").click();
  const link = call.getByRole("link", { name: "What incorrect_otp means" });
  const address = (await link.getAttribute("href")) ?? "";
  assert.equal(address, "/docs/problems/incorrect_otp/");
  assert.equal((await fetch(world.base + address)).status, 200);
  await call.getByRole("button", { name: en.copy }).click();
  await call.getByText(en.copied).waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const output = execFileSync("bash", ["-c", command.replace(/-H 'dpop: [^']*' \\\n/, "")], { encoding: "utf8" });
  assert.match(output, /"code":"incorrect_otp"/);
  await context.close();
});

test("a copied curl says what was sent, whatever a stranger sent, and nothing that a terminal obeys", async () => {
  const context = await visit();
  const page = await open(context);
  const sent = `it's \u001b[201~\u0003\ntouch /tmp/pasted; $(id) \\u0041 \u0000 नमस्ते`;
  await page.evaluate(async (body) => fetch("/v1/otp/send?[1-3]&x=`id`", { method: "POST", body }), sent);
  const call = page.locator(".call", { hasText: "unsupported_media_type" }).first();
  await call.locator("summary").click();
  await call.getByRole("button", { name: en.copy }).click();
  await call.getByText(en.copied).waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
   
  assert.doesNotMatch(command, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
  const shown = execFileSync("bash", ["-c", command.replace(/^curl/, "printf '%s\\n'")], { encoding: "utf8" });
  assert.match(shown, /\nPOST\n/);
  // bash ends a word at NUL, which no shell can pass on.
  assert.ok(shown.includes("it's \u001b[201~\u0003\ntouch /tmp/pasted; $(id) \\u0041 "), shown);
  assert.match(execFileSync("bash", ["-c", command], { encoding: "utf8" }), /"code":"unsupported_media_type"/);
  await context.close();
});

test("moving the clock makes a code expire", async () => {
  const context = await visit();
  const page = await open(context);
  await send(page, newNumber());
  await page.locator(".message .chip").first().waitFor();
  await page.getByRole("button", { name: en.clock, exact: false }).click();
  await page.getByRole("button", { name: "+ 10 minutes" }).click();
  await page.getByRole("button", { name: "+ 30 seconds" }).click();
  await accessible(page);
  await shoot(page, "clock");
  await page.keyboard.press("Escape");
  await page.locator(".message .chip").first().click();
  await page.locator(".call", { hasText: "otp_expired" }).first().waitFor();
  await page.getByText("expired").first().waitFor();
  await context.close();
});

test("two tabs that find the token expired at once share one refresh", async () => {
  const context = await visit();
  const [one, other] = [await open(context), await open(context)];
  await signIn(one);
  await other.locator(".account").waitFor();
  await world.advance(901);
  const refreshes = async (): Promise<number> =>
    (await calls()).filter(({ route, status }) => route === "POST /v1/session/refresh" && status === 200).length;
  const before = await refreshes();
  await Promise.all([one.reload(), other.reload()]);
  for (const page of [one, other]) await page.locator(".token .left", { hasText: "14 min" }).waitFor();
  assert.equal((await refreshes()) - before, 1);
  await context.close();
});

test("a sign-out everywhere is seen in the other tab", async () => {
  const context = await visit();
  const [one, other] = [await open(context), await open(context)];
  await signIn(one);
  await other.locator(".account").waitFor();
  await one.getByRole("button", { name: en.signOutEverywhere }).click();
  for (const page of [one, other]) await page.locator("#number").waitFor();
  await context.close();
});

test("a gateway that fails is seen in the message, and counts down in the strip", async () => {
  const context = await visit();
  const page = await open(context, "#/faults");
  await page.getByLabel(en.mode).selectOption("error");
  await page.getByRole("button", { name: en.addFault }).click();
  await page.locator(".pending", { hasText: "sparrow" }).waitFor();
  await accessible(page);
  await shoot(page, "faults");
  await page.keyboard.press("Escape");
  const number = newNumber();
  await send(page, number);
  await page.locator(".message", { hasText: `+977${number}` }).getByText("SMS by Amazon SNS").waitFor();
  await page.locator('[data-control="faults"]:not(.on)').waitFor();
  await context.close();
});

test("a test number signs in with its fixed code, and a refused one says why", async () => {
  const context = await visit();
  const page = await open(context, "#/numbers");
  const panel = page.locator("#control-numbers");
  const number = newNumber();
  const [typed, code] = [panel.getByLabel(en.number).first(), panel.getByLabel(en.code)];
  await code.fill("424242");
  await typed.fill("12");
  await panel.getByRole("button", { name: en.addNumber }).click();
  await panel.locator(".outcome.failed", { hasText: "mobile number" }).waitFor();
  await typed.fill(number);
  await panel.getByRole("button", { name: en.addNumber }).click();
  await panel.locator(".pending", { hasText: "424242" }).waitFor();
  await accessible(page);
  await shoot(page, "numbers");
  await page.keyboard.press("Escape");
  await send(page, number);
  await page.locator("#code").fill("424242");
  await page.locator(".account", { hasText: number }).waitFor();
  assert.equal(await page.locator(".message", { hasText: number }).count(), 0);
  await context.close();
});

test("a dormant number asks for a second signal", async () => {
  const context = await visit();
  const page = await open(context, "#/numbers");
  const panel = page.locator("#control-numbers");
  const number = newNumber();
  await panel.getByLabel(en.number).last().fill(`+977${number}`);
  await panel.getByRole("button", { name: en.addDormant }).click();
  await panel.getByText(`Sign in with +977${number}`).waitFor();
  await page.keyboard.press("Escape");
  await send(page, number);
  await page.locator(".message", { hasText: `+977${number}` }).locator(".chip").click();
  await page.locator(".call", { hasText: "second_signal_required" }).first().waitFor();
  await context.close();
});

test("another device's sign-in is told by a push", async () => {
  const context = await visit();
  const page = await open(context);
  const number = `+977${await signIn(page)}`;
  await page.locator(".call", { hasText: "/v1/me/fcm-token" }).first().waitFor();
  await world.advance(61);
  const post = (path: string, body: object): Promise<Response> =>
    fetch(world.base + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  await post("/v1/otp/send", { phone_number: number });
  const submitted = await post("/v1/otp/submit", { phone_number: number, otp: await world.code(number) });
  assert.equal(submitted.status, 200);
  await page.locator(".push", { hasText: en.notices["new_device"] ?? "" }).waitFor();
  await shoot(page, "push");
  await context.close();
});

test("in Nepali, dark, and on a phone's width, everything is there and accessible", async () => {
  const context = await visit({ locale: "ne", colorScheme: "dark", viewport: { width: 390, height: 844 } });
  const page = await open(context);
  await page.getByRole("heading", { name: ne.app }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "ne");
  await accessible(page);
  await signIn(page);
  await accessible(page);
  await page.screenshot({ path: `${pictures}/nepali-phone.png`, fullPage: true });
  await page.getByRole("button", { name: "EN" }).click();
  await page.getByRole("heading", { name: en.app }).waitFor();
  await context.close();
});

test("without cargo local the page says so", async () => {
  const other = await World.start();
  const context = await browser.newContext({ locale: "en" });
  const page = await open(context, "", other);
  other.close();
  await page.getByText(en.disconnected).waitFor();
  await context.close();
});

test("after a restart of cargo local the page shows what the new one did", async () => {
  // Another port than the world's, which the restarted program takes again.
  const port = String(Number(new URL(world.base).port) + 1);
  const base = `http://127.0.0.1:${port}`;
  const start = async (): Promise<() => Promise<void>> => {
    const ports = ["--port", port, "--dynamodb-port", "0", "--aws-port", "0"];
    const child = spawn(process.env["LATCHKEY_LOCAL"] ?? "", ["--ephemeral", ...ports], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return async () => {
      child.kill();
      await once(child, "exit");
    };
  };
  let stop = await start();
  const context = await browser.newContext({ locale: "en" });
  const page = await context.newPage();
  await page.goto(base);
  const send = (number: string): Promise<Response> =>
    fetch(`${base}/v1/otp/send`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ phone_number: number }),
    });
  await send("+9779851099001");
  await page.locator(".message", { hasText: "+9779851099001" }).waitFor();
  await stop();
  await page.getByText(en.disconnected).waitFor();
  stop = await start();
  await fetch(`${base}/v1/nothing`);
  await page.locator(".call", { hasText: "/v1/nothing" }).waitFor();
  assert.equal(await page.locator(".call").count(), 1);
  assert.equal(await page.locator(".message").count(), 0);
  await send("+9779851099002");
  await page.locator(".message", { hasText: "+9779851099002" }).waitFor();
  await context.close();
  await stop();
});

test("while DynamoDB fails, the page is there, uses up no fault, and says what failed", async () => {
  const context = await visit();
  const page = await open(context);
  await signIn(page);
  await world.fault("dynamodb", "error", 300);
  await page.reload();
  await page.locator(".app .failed").waitFor();
  await page.locator('[data-control="faults"].on').waitFor();
  await accessible(page);
  await world.clearFaults();
  await page.getByRole("button", { name: en.tryAgain }).click();
  await page.locator(".account").waitFor();
  await context.close();
});

test("a scene that one leaves ends", async () => {
  const context = await visit();
  const page = await open(context, "#/tour/undone-change");
  await page.getByRole("button", { name: en.play }).click();
  await page.locator(".step").first().waitFor();
  await page.goto(`${world.base}/#/`);
  await page.locator(".bench").waitFor();
  await page.goto(`${world.base}/#/tour/undone-change`);
  await page.getByRole("button", { name: en.play }).click();
  await page.locator(".moral").waitFor({ timeout: 30_000 });
  const sends = await page.locator(".step .call", { hasText: "/v1/otp/send" }).allInnerTexts();
  assert.equal(sends.length, 2, sends.join("\n"));
  await context.close();
});

for (const [name, { title, steps }] of Object.entries(en.scenes)) {
  test(`the scene of the tour: ${title}`, async () => {
    const context = await visit();
    const page = await open(context, `#/tour/${name}`);
    await page.getByRole("heading", { name: title }).waitFor();
    await page.getByRole("button", { name: en.play }).click();
    await page.locator(".moral, .unexpected").first().waitFor({ timeout: 30_000 });
    assert.deepEqual(await page.locator(".unexpected").allInnerTexts(), []);
    assert.equal(await page.locator(".step").count(), steps.length);
    assert.equal(await page.locator(".step > p", { hasText: /[{}]/ }).count(), 0, "a place in the words is not filled");
    await accessible(page);
    await page.screenshot({ path: `${pictures}/tour-${name}.png`, fullPage: true });
    await context.close();
  });
}

test("the words of both languages have the same places and steps", () => {
  const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();
  for (const [name, scene] of Object.entries(en.scenes)) {
    const other = ne.scenes[name];
    assert.deepEqual(other?.steps.map(places), scene.steps.map(places), name);
    assert.deepEqual(places(other.moral), places(scene.moral), name);
  }
  assert.deepEqual(Object.keys(ne.notices), Object.keys(en.notices));
});
