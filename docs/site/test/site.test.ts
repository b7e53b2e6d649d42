// The built site in a browser: links, accessibility, search, colours, a phone, no request to any other host. Screenshots go to
// target/docs-site.

import assert from "node:assert/strict";
import { createReadStream, existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, type Page, chromium } from "playwright-core";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const site = file("../../../local/pages/docs/");
const pictures = file("../../../target/docs-site/");
const axe = readFileSync(file("../node_modules/axe-core/axe.min.js"), "utf8");
const types: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

// What a host may send besides what each page says itself.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'";

// As a static host, under a folder of its own and with nothing but files; and at /docs/, as `cargo local`.
const server = createServer(({ url = "" }, response) => {
  const { pathname } = new URL(url, "http://localhost");
  const asked = decodeURIComponent(pathname).replace(/^\/(somewhere|docs)\//, "") + (pathname.endsWith("/") ? "index.html" : "");
  const isFound = existsSync(join(site, asked));
  const path = join(site, isFound ? asked : "404.html");
  response.writeHead(isFound ? 200 : 404, { "content-type": types[extname(path)] ?? "text/plain", "content-security-policy": policy });
  createReadStream(path).pipe(response);
});

let base = "";
let browser: Browser;
before(async () => {
  mkdirSync(pictures, { recursive: true });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/somewhere/`;
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
after(async () => {
  await browser.close();
  server.close();
});

async function open(url: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("request", (request) => {
    assert.ok(request.url().startsWith(base), `a request to ${request.url()}`);
  });
  page.on("response", (response) => {
    assert.equal(response.status(), 200, response.url());
  });
  page.on("pageerror", (error) => {
    assert.fail(error);
  });
  // A violation of the policy is an error there.
  page.on("console", (message) => {
    assert.notEqual(message.type(), "error", message.text());
  });
  await page.goto(base + url);
  return page;
}

/** At the address that `cargo local` has for a page. */
async function openLocally(url: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on("pageerror", (error) => {
    assert.fail(error);
  });
  await page.goto(new URL(`/docs/${url}`, base).href);
  return page;
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .map(({ html }) => html)
          .join(" ")
          .slice(0, 400)}`,
    );
  });
}

const samples: Readonly<Record<string, string>> = {
  start: "",
  guide: "guides/device-keys/",
  table: "guides/configure/",
  overview: "reference/",
  operation: "reference/submit-otp/",
  catalogue: "problems/",
  problem: "problems/incorrect_otp/",
  gateway: "problems/api-gateway/",
  file: "files/examples/verify/",
};
const looks: Readonly<Record<string, BrowserContextOptions>> = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, hasTouch: true },
};

for (const [look, options] of Object.entries(looks)) {
  test(`each kind of page is accessible and fits: ${look}`, async () => {
    for (const [name, url] of Object.entries(samples)) {
      const page = await open(url, options);
      const [width, shown] = await page.evaluate<[number, number]>("[document.documentElement.scrollWidth, innerWidth]");
      assert.ok(width <= shown, `${url} is ${width} pixels wide, and the screen ${shown}`);
      await page.evaluate("document.fonts.ready.then(() => undefined)");
      await page.screenshot({ path: `${pictures}${name}-${look}.png` });
      assert.deepEqual(await violations(page), [], `${url}, ${look}`);
      await page.context().close();
    }
  });
}

interface Link {
  readonly from: string;
  readonly href: string;
}

test("every link leads to a page and a place that exist", () => {
  const pages = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith("index.html"));
  const ids = new Map<string, Set<string>>();
  const links: Link[] = [];
  for (const path of pages) {
    const text = readFileSync(join(site, path), "utf8");
    ids.set(path, new Set([...text.matchAll(/ id="([^"]*)"/g)].map(([, id = ""]) => id)));
    const all = [...text.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, href = ""]) => href.replaceAll("&amp;", "&"));
    links.push(...all.map((href) => ({ from: path, href })));
  }
  const dead = links.filter(({ from, href }) => {
    if (/^https?:/.test(href)) return false;
    const { pathname, hash } = new URL(href, `file:///${from}`);
    const path = decodeURIComponent(pathname).slice(1);
    const to = path === "" || path.endsWith("/") ? `${path}index.html` : path;
    if (!existsSync(join(site, to))) return true;
    return hash !== "" && !ids.get(to)?.has(decodeURIComponent(hash.slice(1)));
  });
  assert.ok(links.length > 1000);
  assert.deepEqual(dead, []);
});

test("every address is relative, and each page forbids other hosts", () => {
  const pages = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith("index.html"));
  for (const path of pages) {
    const text = readFileSync(join(site, path), "utf8");
    assert.match(text, /<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self'; /, path);
    assert.doesNotMatch(text, / (href|src)="\//, path);
    assert.doesNotMatch(text, / style="|<style|<script>/, path);
    const ids = [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    assert.deepEqual(ids, [...new Set(ids)], path);
  }
});

test("a search finds codes, members and words, by the keyboard alone", async () => {
  const page = await open("guides/tokens/");
  let loaded = false;
  page.on("request", (request) => (loaded ||= request.url().endsWith("search.json")));
  assert.equal(loaded, false);
  await page.keyboard.press("/");
  await page.locator("dialog[open] input").waitFor();
  const first = page.locator("dialog li a").first();
  for (const [query, expected] of [
    ["incorrect_otp", "problems/incorrect_otp/"],
    ["Idempotency-Key", "guides/errors/"],
    ["refresh_token", "reference/refresh-session/"],
    ["कोड मिलेन", "problems/incorrect_otp/"],
    ["PumpingBudgets", "guides/"],
    ["recycled", "guides/recovery/"],
    ["putFcmToken", "reference/put-fcm-token/"],
  ] as const) {
    await page.locator("dialog input").fill(query);
    await first.waitFor();
    const found = await page.locator("dialog li a").evaluateAll((all) => all.map((one) => (one as { href?: string }).href));
    assert.ok(
      found.some((href) => href?.includes(expected)),
      `${query}: ${found.join(" ")}`,
    );
  }
  assert.equal(loaded, true);
  await page.screenshot({ path: `${pictures}search-light.png` });
  assert.deepEqual(await violations(page), []);
  await page.locator("dialog input").fill("second signal");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => !url.pathname.endsWith("/guides/tokens/"));
  await page.context().close();
});

test("the language of the examples is kept from page to page", async () => {
  const page = await open("reference/send-otp/");
  const visible = (): Promise<string> => page.locator(".example:visible code").innerText();
  assert.match(await visible(), /^curl /);
  await page.getByRole("button", { name: "Python" }).click();
  assert.match(await visible(), /^import requests/);
  await page.goto(`${base}reference/get-me/`);
  assert.match(await visible(), /requests\.get/);
  assert.equal(await page.getByRole("button", { name: "Python" }).getAttribute("aria-pressed"), "true");
  await page.context().close();
});

test("the colours are those of the system, or those that were chosen", async () => {
  const page = await open("problems/", { colorScheme: "light" });
  const ground = (): Promise<unknown> => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const light = await ground();
  await page.locator("#theme").click();
  assert.equal(await ground(), light);
  await page.locator("#theme").click();
  assert.notEqual(await ground(), light);
  await page.reload();
  assert.notEqual(await ground(), light);
  await page.context().close();
});

test("a keyboard skips to the text, and a phone opens the list of pages", async () => {
  const page = await open("problems/incorrect_otp/", looks["phone"]);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.textContent"), "Skip to the text");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate("document.activeElement.id"), "main");
  await page.getByRole("link", { name: "Menu" }).click();
  await page.locator("#nav").waitFor();
  await page.screenshot({ path: `${pictures}menu-phone.png` });
  assert.deepEqual(await violations(page), []);
  await page.keyboard.press("Escape");
  await page.locator("#nav").waitFor({ state: "hidden" });
  await page.context().close();
});

test("the catalogue is filtered by code, status and words", async () => {
  const page = await open("problems/");
  const shown = (): Promise<string[]> => page.locator(".catalogue li:visible code").allInnerTexts();
  await page.getByLabel("Find a code").fill("429");
  assert.deepEqual(await shown(), ["too_many_attempts", "too_many_requests"]);
  await page.getByLabel("Find a code").fill("username");
  assert.ok((await shown()).includes("username_taken"));
  await page.context().close();
});

test("at the address of cargo local, examples name its port, and a link leads to its console", async () => {
  const page = await openLocally("reference/send-otp/");
  const { origin } = new URL(base);
  const code = (await page.locator("pre code").allTextContents()).join("\n");
  assert.ok(code.includes(`${origin}/v1/otp/send`));
  assert.doesNotMatch(code, /127\.0\.0\.1:3000/);
  const console = page.locator("header").getByRole("link", { name: "Console" });
  assert.equal(await console.evaluate((one) => (one as { href?: string }).href), `${origin}/`);
  assert.deepEqual(await violations(page), []);
  await page.goto(`${origin}/docs/guides/quick-start/`);
  assert.match(await page.locator("pre code").nth(1).innerText(), new RegExp(`^API=${origin}$`, "m"));
  await page.context().close();
});

test("anywhere else, examples and links stay as they are written", async () => {
  const page = await open("reference/send-otp/");
  assert.match(await page.locator(".example:visible code").innerText(), /http:\/\/127\.0\.0\.1:3000\/v1\/otp\/send/);
  assert.equal(await page.locator("header").getByRole("link", { name: "Console" }).count(), 0);
  await page.context().close();
});

test("a wrong address shows a page that leads back, at any depth", async () => {
  const page = await openLocally("guides/no/such/page");
  assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), "There is no such page");
  assert.deepEqual(await violations(page), []);
  await page.screenshot({ path: `${pictures}not-found-light.png` });
  await page.locator("main").getByRole("link", { name: "API reference" }).click();
  await page.waitForURL((url) => url.pathname === "/docs/reference/");
  await page.context().close();
});

test("the example of a route is on the first screen, whatever the width", async () => {
  for (const url of ["reference/submit-otp/", "problems/number_released/"]) {
    for (const width of [1680, 1280, 1200, 1100, 390]) {
      const page = await open(url, { viewport: { width, height: 800 } });
      const of = async (what: string): Promise<{ x: number; y: number; width: number }> => {
        const box = await page.locator(what).first().boundingBox();
        assert.ok(box, what);
        return box;
      };
      const [example, text, title] = [await of(".beside pre:visible"), await of(".text"), await of("h1")];
      assert.ok(example.y < 600, `${url} at ${width}: the example begins at ${example.y}`);
      if (width < 1200) assert.ok(title.y < example.y && example.y < text.y, `${url} at ${width}`);
      else assert.ok(text.x + text.width <= example.x, `${url} at ${width}`);
      await page.screenshot({ path: `${pictures}${url.split("/")[0] ?? ""}-${width}.png` });
      await page.context().close();
    }
  }
});

test("every page of a problem shows a body and its own fields with their values", async () => {
  const pages = readdirSync(join(site, "problems"), { withFileTypes: true }).filter((one) => one.isDirectory());
  const codes = pages.map(({ name }) => name).filter((name) => name !== "api-gateway");
  for (const code of codes) {
    const text = readFileSync(join(site, "problems", code, "index.html"), "utf8");
    const plain = text.replaceAll(/<[^>]+>/g, "").replaceAll("&quot;", '"');
    const [, shown = ""] = /application\/problem\+json\s*Copy(\{[\s\S]*?\n\})/.exec(plain) ?? [];
    const body = JSON.parse(shown) as Record<string, unknown>;
    assert.equal(body["code"], code);
    const own = Object.keys(body).filter((name) => !["type", "title", "status", "detail", "code"].includes(name));
    for (const name of own) assert.match(text, new RegExp(`<p class="member">\\s*<code>${name}</code>\\s*<span class="type">`), code);
  }
  const page = await open("problems/number_released/");
  assert.match(await page.locator(".members").innerText(), /undoes "number_change" or "account_deletion"/);
  await page.context().close();
});

test("everything can be read without scripts", async () => {
  const page = await open("reference/send-otp/", { javaScriptEnabled: false });
  const captions = await page.locator(".example:visible .caption:visible").allInnerTexts();
  assert.deepEqual(captions.slice(0, 5), ["curl", "TypeScript", "Python", "Kotlin", "Swift"]);
  assert.equal(await page.locator("header button:visible").count(), 0);
  await page.context().close();
});
