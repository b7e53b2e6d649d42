// The element and the session in a browser: keyboard, words, colours, tabs, reloads. Screenshots go to target/clients-web.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { type Wire, World } from "../../conformance/world.ts";
import { newNumber, until } from "./support.ts";

const SEND = "POST /v1/otp/send";
const SUBMIT = "POST /v1/otp/submit";
const REFRESH = "POST /v1/session/refresh";
const DAY_SECONDS = 86_400;

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const pictures = file("../../../target/clients-web");
const axe = readFileSync(file("../node_modules/axe-core/axe.min.js"), "utf8");
const html = readFileSync(file("page.html"), "utf8");

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

interface Opened {
  readonly wire: Wire;
  readonly context: BrowserContext;
  readonly page: Page;
  /** E.164. */
  readonly number: string;
}

/** A browser of its own, with a page that has the element. */
async function open(
  options: BrowserContextOptions & { lang?: string; attributes?: string; clock?: "of the test" } = {},
): Promise<Opened> {
  const { lang = "en", attributes = "", clock, ...rest } = options;
  const wire = await world.wire();
  const script = (name: string): { type: string; body: Buffer } => ({
    type: "text/javascript",
    body: readFileSync(file(`../dist/${name}`)),
  });
  // The policy forbids markup from texts, inline styles of the element, and every other host.
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'unsafe-inline'",
    "connect-src 'self'",
    "require-trusted-types-for 'script'",
  ].join("; ");
  const body = html
    .replace('lang="en"', `lang="${lang}"`)
    .replace("<meta", `<meta http-equiv="Content-Security-Policy" content="${policy}"><meta`)
    .replace('country="NP"', `country="NP" ${attributes}`);
  wire.pages.set("/", { type: "text/html", body });
  wire.pages.set("/favicon.ico", { type: "image/x-icon", body: "" });
  for (const name of ["index.js", "element.js"]) wire.pages.set(`/${name}`, script(name));
  const context = await browser.newContext({ viewport: { width: 720, height: 720 }, ...rest });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("request", (request) => {
    assert.equal(new URL(request.url()).hostname, "127.0.0.1", request.url());
  });
  page.on("pageerror", (error) => {
    assert.fail(error);
  });
  if (clock) await page.clock.install();
  await page.goto(wire.base);
  await page.locator("#number").or(page.locator("[signed-in]")).waitFor();
  return { wire, context, page, number: newNumber() };
}

async function shoot(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(150);
  await page.screenshot({ path: `${pictures}/${name}.png` });
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  });
}

async function accessible(page: Page): Promise<void> {
  assert.deepEqual(await violations(page), []);
}

const focused = (page: Page): Promise<string> =>
  page.evaluate(() => {
    const active = document.querySelector("latchkey-sign-in")?.shadowRoot?.activeElement;
    return active?.id ?? "";
  });
const told = (page: Page): Promise<unknown> => page.evaluate("told");
const said = (page: Page): Promise<string> => page.getByRole("status").innerText();

async function toCode({ page, number }: Opened): Promise<void> {
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
}

async function signIn(opened: Opened): Promise<void> {
  await toCode(opened);
  await opened.page.locator("#code").fill(await world.code(opened.number));
  await opened.page.locator("[signed-in]").waitFor();
}

const wrong = (code: string): string => (code === "000000" ? "111111" : "000000");

test("a person signs in with the keyboard alone", async () => {
  const opened = await open();
  const { page, number } = opened;
  await shoot(page, "number");
  await accessible(page);
  assert.equal(await focused(page), "");
  await page.keyboard.press("Tab");
  assert.equal(
    await page.evaluate(() => document.querySelector("latchkey-sign-in")?.shadowRoot?.activeElement?.tagName),
    "SELECT",
  );
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "number");
  await page.keyboard.type(number.replace("+977", "").replace(/(...)(...)/, "$1-$2 "));
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
  assert.equal(await focused(page), "code");
  assert.match(await said(page), /^Enter the code\. We texted it to/);
  await page.keyboard.type((await world.code(number)).slice(0, 4));
  await shoot(page, "code");
  await accessible(page);
  await page.keyboard.type((await world.code(number)).slice(4));
  await page.keyboard.press("Enter");
  await page.locator("[signed-in]").waitFor();
  assert.match(await said(page), /^You’re signed in/);
  await shoot(page, "signed-in");
  await accessible(page);
  const [[type, id]] = (await told(page)) as [[string, string]];
  assert.equal(type, "signed-in");
  assert.match(id, /^usr_/);
});

test("a number is understood in any form", async () => {
  const forms = (digits: string): string[] => [
    `+977 ${digits}`,
    `00977-${digits}`,
    `977${digits}`,
    `0${digits}`,
    digits.replace(/\d/g, (digit) => String.fromCharCode(0x966 + Number(digit))),
  ];
  for (const index of [0, 1, 2, 3, 4]) {
    const opened = await open();
    const typed = forms(opened.number.replace("+977", ""))[index] ?? "";
    await opened.page.locator("#number").fill(typed);
    await opened.page.keyboard.press("Enter");
    await opened.page.locator("#code").waitFor();
    assert.equal((await world.messages(opened.number)).length, 1, typed);
    await opened.context.close();
  }
});

test("a calling code that was typed chooses the country, and a person can choose it too", async () => {
  const { page } = await open();
  const shown = page.locator(".country span");
  await page.locator("#number").fill("+44 7400 123456");
  assert.equal(await shown.innerText(), "+44");
  await page.locator("select").selectOption({ label: "India (+91)" });
  assert.equal(await shown.innerText(), "+91");
  await page.locator("#number").fill("12");
  await page.keyboard.press("Enter");
  await page.getByText("This is not a mobile number.").first().waitFor();
  const { page: other } = await open({ attributes: 'countries="np"' });
  assert.equal(await other.locator("select").count(), 0);
});

test("a wrong code says how many tries are left, beside its field", async () => {
  const opened = await open();
  const { page, number } = opened;
  await toCode(opened);
  const code = await world.code(number);
  await page.keyboard.type(wrong(code));
  await page.keyboard.press("Enter");
  await page.getByText("This code is not right. Tries left: 4.").first().waitFor();
  assert.equal(await focused(page), "code");
  const field = page.locator("#code");
  assert.equal(await field.inputValue(), "");
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  assert.equal(await field.getAttribute("aria-describedby"), await page.locator(".problem").getAttribute("id"));
  assert.match(await said(page), /Tries left: 4/);
  await page.getByText("No code yet?").click();
  await shoot(page, "wrong-code");
  await accessible(page);
  for (const left of [3, 2, 1]) {
    await field.fill(wrong(code));
    await page.getByText(`Tries left: ${left}.`).first().waitFor();
  }
  await field.fill(wrong(code));
  await page.getByRole("heading", { name: "You need a new code" }).waitFor();
  assert.equal(await field.count(), 0);
  await page.getByText("We can text it to").waitFor();
  await shoot(page, "needs-new-code");
  await accessible(page);
});

test("after the last wrong code, the wait for a new one counts down on its button", async () => {
  for (const [lang, waiting, over] of [
    ["en", /^Text me again in 00:\d\d$/, "Text me again"],
    ["ne", /^००:[०-९]{2} पछि फेरि पठाउन सकिन्छ$/, "फेरि पठाउनुहोस्"],
  ] as const) {
    const opened = await open({ lang, clock: "of the test" });
    const { page, number, wire } = opened;
    await toCode(opened);
    const code = wrong(await world.code(number));
    const field = page.locator("#code");
    for (let guess = 1; guess <= 5; guess += 1) {
      await field.fill(code);
      await until(() => wire.count(SUBMIT, 400) === guess);
      if (guess < 5) await page.locator('#code[aria-invalid="true"]').waitFor();
    }
    const button = page.locator(".button");
    await button.getByText(waiting).waitFor();
    assert.equal(await button.getAttribute("aria-disabled"), "true");
    assert.ok((await page.locator(".hint").innerText()).includes(number));
    await button.click({ force: true });
    assert.equal(wire.count(SEND), 1);
    await shoot(page, `needs-new-code-${lang}`);
    await accessible(page);
    await page.clock.runFor(31_000);
    await world.advance(31);
    await button.getByText(over, { exact: true }).waitFor();
    await button.click();
    await field.waitFor();
    assert.equal((await world.messages(number)).length, 2);
    await opened.context.close();
  }
});

test("a person who uses another number while a request hangs gets there at once", async () => {
  const opened = await open();
  const { page, number, wire } = opened;
  await toCode(opened);
  const late = wire.hold(SUBMIT);
  await page.locator("#code").fill(await world.code(number));
  await late.asked;
  await page.getByRole("button", { name: "Use another number" }).click();
  await page.locator("#number").waitFor();
  late.answer();
  await until(() => wire.count("DELETE /v1/session", 204) === 1);
  const next = newNumber();
  await toCode({ ...opened, number: next });
  await page.locator("#code").fill(await world.code(next));
  await page.locator("[signed-in]").waitFor();
  assert.equal(((await told(page)) as unknown[]).length, 1);
});

test("a code that is filled in at once is submitted, and one that is typed waits for Enter", async () => {
  const opened = await open();
  const { page, number, wire } = opened;
  await toCode(opened);
  await page.keyboard.type(wrong(await world.code(number)));
  await page.waitForTimeout(300);
  assert.equal(wire.count(SUBMIT), 0);
  await page.locator("#code").fill("");
  await page.locator("#code").fill(await world.code(number));
  await page.locator("[signed-in]").waitFor();
});

test("a code arrives by WebOTP", async () => {
  const opened = await open();
  const { page, number } = opened;
  await page.evaluate(() => {
    const delivered = new Promise((deliver) => {
      Object.assign(globalThis, { deliver });
    });
    Object.assign(globalThis, { OTPCredential: Object });
    navigator.credentials.get = () => delivered as Promise<Credential>;
  });
  await toCode(opened);
  const code = await world.code(number);
  await page.evaluate((code) => {
    (globalThis as unknown as { deliver(credential: { code: string }): void }).deliver({ code });
  }, code);
  await page.locator("[signed-in]").waitFor();
});

test("the wait for a second message counts down, and then it can be sent", async () => {
  const opened = await open({ clock: "of the test" });
  const { page, wire, number } = opened;
  await toCode(opened);
  const waiting = page.getByRole("button", { name: /^Text me again in 00:\d\d$/ });
  await waiting.waitFor();
  await waiting.click({ force: true });
  assert.equal(wire.count(SEND, 200), 1);
  const before = await waiting.innerText();
  await page.clock.runFor(5000);
  assert.notEqual(await waiting.innerText(), before);
  await page.clock.runFor(26_000);
  await world.advance(31);
  await page.getByRole("button", { name: "Text me again", exact: true }).click();
  await waiting.waitFor();
  assert.equal((await world.messages(number)).length, 2);
});

test("a refusal with a wait counts it down, and a person can use another number meanwhile", async () => {
  const opened = await open();
  const { page } = opened;
  await toCode(opened);
  await page.getByRole("button", { name: "Use another number" }).click();
  await page.locator("#number").fill(opened.number);
  await page.keyboard.press("Enter");
  await page
    .getByText(/That was too often. You can try again in 00:\d\d/)
    .first()
    .waitFor();
  await shoot(page, "wait");
  await accessible(page);
  await page.locator("#number").fill(newNumber());
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
});

test("a server that is away is told in words, and a captive portal too", async () => {
  const opened = await open();
  const { page, wire } = opened;
  wire.loseAnswer(SEND);
  await page.locator("#number").fill("9812345678");
  await page.keyboard.press("Enter");
  await page.getByText("No connection. Check your network and try again.").first().waitFor();
  for (let time = 0; time < 3; time += 1) wire.answer(SEND, 200, "<html>log in to the network</html>", "text/html");
  await page.locator("#number").fill("9812345679");
  await page.keyboard.press("Enter");
  await page.getByText("This does not work right now.").first().waitFor();
});

test("Nepali, in the dark, on a phone", async () => {
  const opened = await open({ lang: "ne-NP", colorScheme: "dark", viewport: { width: 360, height: 720 } });
  const { page, number } = opened;
  await shoot(page, "nepali-number");
  await accessible(page);
  await page.locator("#number").fill("१२");
  await page.keyboard.press("Enter");
  await page.getByText("यो मोबाइल नम्बर होइन।").first().waitFor();
  await toCode(opened);
  await page.getByText(/००:[०-९]{2} पछि फेरि पठाउन सकिन्छ/).waitFor();
  const [message] = await world.messages(number);
  assert.match(message?.text ?? "", /कोड/);
  await page.locator("#code").fill(wrong(await world.code(number)));
  await page.getByText("यो कोड मिलेन। अब ४ पटक प्रयास गर्न सकिन्छ।").first().waitFor();
  await shoot(page, "nepali-wrong-code");
  await accessible(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(wide, 360);
  const digits = (await world.code(number)).replace(/\d/g, (digit) => String.fromCharCode(0x966 + Number(digit)));
  await page.locator("#code").fill(digits);
  await page.locator("[signed-in]").waitFor();
  await page.getByText("साइन इन भयो").first().waitFor();
  await shoot(page, "nepali-signed-in");
});

test("the language follows the page", async () => {
  const { page } = await open({ clock: "of the test" });
  await page.getByText("Mobile number", { exact: true }).waitFor();
  await page.evaluate(() => {
    document.documentElement.lang = "ne";
  });
  await page.clock.runFor(1100);
  await page.getByText("मोबाइल नम्बर", { exact: true }).waitFor();
});

test("a tab that is loaded again while the person reads the message goes on with the code", async () => {
  const opened = await open();
  const { page, number } = opened;
  await toCode(opened);
  await page.reload();
  await page.locator("#code").waitFor();
  await page.locator("#code").fill(await world.code(number));
  await page.locator("[signed-in]").waitFor();
  const other = await open();
  await toCode(other);
  await other.page.getByRole("button", { name: "Use another number" }).click();
  await other.page.reload();
  await other.page.locator("#number").waitFor();
});

test("a language in another form than a page should name it is understood, or English", async () => {
  for (const [lang, title] of [
    ["ne_NP", "साइन इन"],
    ["en_US", "Sign in"],
    ["en-US-x", "Sign in"],
    ["en-US@posix", "Sign in"],
    ["constructor", "Sign in"],
  ] as const) {
    const { page, context } = await open({ lang });
    assert.equal(await page.getByRole("heading", { level: 2 }).innerText(), title, lang);
    await context.close();
  }
});

test("only a number or a code that is wrong marks its field", async () => {
  const opened = await open();
  const { page, number, wire } = opened;
  const marked = (field: string): Promise<string | null> => page.locator(field).getAttribute("aria-invalid");
  wire.answer(SEND, 503, '{"code":"sms_gateway_unavailable","retry_after":30}');
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.getByText("The text could not be sent.").first().waitFor();
  assert.equal(await marked("#number"), "false");
  await page.locator("#number").fill("12");
  await page.keyboard.press("Enter");
  await page.getByText("This is not a mobile number.").first().waitFor();
  assert.equal(await marked("#number"), "true");
  await toCode(opened);
  wire.answer(SUBMIT, 429, '{"code":"too_many_requests","retry_after":30}');
  await page.locator("#code").fill("123456");
  await page.getByText("That was too often.").first().waitFor();
  assert.equal(await marked("#code"), "false");
});

test("answers that Latchkey never gives are told in words too", async () => {
  const { page, number, wire } = await open();
  const odd = { retry_after: 1e308, attempts_left: { toLocaleString: 1 }, detail: { a: 1 } };
  for (const code of ["constructor", "toString", "__proto__"]) {
    wire.answer(SEND, 429, JSON.stringify({ ...odd, code }));
    await page.locator("#number").fill(number);
    await page.keyboard.press("Enter");
    await page.getByText("Something is wrong in this app. Tell its support.", { exact: true }).first().waitFor();
    await page.locator("#number").fill("12");
    await page.keyboard.press("Enter");
    await page.getByText("This is not a mobile number.").first().waitFor();
  }
  wire.answer(SEND, 200, JSON.stringify({ challenge_id: {}, expires_in: "x", resend_in: 1e308, attempts_left: "<img>" }));
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "You need a new code" }).waitFor();
  assert.doesNotMatch(await page.locator("latchkey-sign-in").innerText(), /Invalid|NaN/);
});

test("the focus stays inside when a script fills the fields in", async () => {
  const { page, number } = await open();
  const fill = (id: string, value: string): Promise<void> =>
    page.evaluate(
      ([id, value]) => {
        const field = document.querySelector("latchkey-sign-in")?.shadowRoot?.querySelector<HTMLInputElement>(id ?? "");
        if (!field) throw new Error(`no ${id}`);
        field.value = value ?? "";
        field.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
      },
      [id, value],
    );
  await fill("#number", number);
  await page.getByRole("button", { name: "Text me a code" }).click();
  await page.locator("#code").waitFor();
  await fill("#code", await world.code(number));
  await page.locator("[signed-in]").waitFor();
  const tag = (): Promise<string | undefined> =>
    page.evaluate(() => document.querySelector("latchkey-sign-in")?.shadowRoot?.activeElement?.tagName);
  await until(async () => (await tag()) === "H2");
});

test("an element that knows no Latchkey says so, and asks nobody", async () => {
  const { page, wire } = await open();
  const failed = page.evaluate(
    () =>
      new Promise<string>((done) => {
        addEventListener("unhandledrejection", (event) => {
          event.preventDefault();
          done(String(event.reason));
        });
        document.body.append(document.createElement("latchkey-sign-in"));
      }),
  );
  assert.match(await failed, /without api or session/);
  assert.equal(wire.passed.length, 0);
});

test("a session that was set before the element was defined is used", async () => {
  const { page, wire } = await open();
  await page.evaluate(() => document.querySelector("latchkey-sign-in")?.remove());
  wire.pages.set("/early", {
    type: "text/html",
    body: `<!doctype html><html lang="en"><title>Acme</title><latchkey-sign-in></latchkey-sign-in><script type="module">
      import { Session } from "/index.js";
      const element = document.querySelector("latchkey-sign-in");
      globalThis.mine = element.session = await Session.open({ api: "/" });
      await import("/element.js");
    </script>`,
  });
  await page.goto(`${wire.base}/early`);
  await page.locator("#number").waitFor();
  assert.equal(await page.evaluate("document.querySelector('latchkey-sign-in').session === mine"), true);
});

test("a reload keeps the session, and no script can read the key", async () => {
  const opened = await open();
  const { page, wire } = opened;
  await signIn(opened);
  await page.reload();
  await page.locator("[signed-in]").waitFor();
  assert.equal(((await told(page)) as unknown[]).length, 1);
  const exported = await page.evaluate(async () => {
    const { store } = await new Promise<{ store: IDBObjectStore }>((done) => {
      const opening = indexedDB.open(`latchkey ${location.origin}`);
      opening.onsuccess = () => {
        done({ store: opening.result.transaction("kept").objectStore("kept") });
      };
    });
    const key = await new Promise<CryptoKeyPair>((done) => {
      const reading = store.get("key") as IDBRequest<CryptoKeyPair>;
      reading.onsuccess = () => {
        done(reading.result);
      };
    });
    const failure = await crypto.subtle.exportKey("jwk", key.privateKey).then(
      () => "exported",
      (error: unknown) => String(error),
    );
    return [key.privateKey.extractable, failure];
  });
  assert.equal(exported[0], false);
  assert.match(String(exported[1]), /InvalidAccessError/);
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [
    0,
    0,
    "",
  ]);
  const name = await page.evaluate(async () => {
    const session = document.querySelector("latchkey-sign-in")?.session;
    await session?.call("patchMe", { name: "Sita" });
    return (await session?.call("getMe"))?.name;
  });
  assert.equal(name, "Sita");
  assert.equal(wire.count(REFRESH), 0);
});

test("a person who clears what the browser keeps of the site is signed out, and can sign in again", async () => {
  const opened = await open();
  const { page, context, wire } = opened;
  await signIn(opened);
  const devtools = await context.newCDPSession(page);
  await devtools.send("Storage.clearDataForOrigin", { origin: wire.base, storageTypes: "all" });
  await until(() =>
    page.evaluate(async () => {
      const session = document.querySelector("latchkey-sign-in")?.session;
      // The first request may meet a database that is about to close.
      await session?.refresh().catch(() => undefined);
      return session?.isSignedIn === false;
    }),
  );
  await page.locator("#number").waitFor();
  await signIn({ ...opened, number: newNumber() });
  await page.evaluate(() => document.querySelector("latchkey-sign-in")?.session?.refresh());
  await page.reload();
  await page.locator("[signed-in]").waitFor();
});

test("two tabs that refresh at once send one request", async () => {
  const opened = await open();
  const { page, context, wire } = opened;
  await signIn(opened);
  const other = await context.newPage();
  await other.goto(wire.base);
  await other.locator("[signed-in]").waitFor();
  const refresh = (tab: Page): Promise<void> =>
    tab.evaluate(async () => {
      const session = document.querySelector("latchkey-sign-in")?.session;
      await Promise.all([session?.refresh(), session?.refresh()]);
      await session?.call("getMe");
    });
  let waiting = 0;
  wire.gate = async (route) => {
    // The first refresh is held until the other tab had every chance to send its own.
    if (route === REFRESH && (waiting += 1) === 1) await new Promise((done) => setTimeout(done, 500));
  };
  await Promise.all([refresh(page), refresh(other)]);
  assert.equal(wire.count(REFRESH), 1);
});

test("a sign-in in one tab is seen in the other, and each tells its page once", async () => {
  const opened = await open();
  const { page, context, wire } = opened;
  const other = await context.newPage();
  await other.goto(wire.base);
  await other.locator("#number").waitFor();
  await signIn(opened);
  await other.locator("[signed-in]").waitFor();
  for (const tab of [page, other]) assert.equal(((await told(tab)) as unknown[]).length, 1);
});

test("a sign-out in one tab is seen in the other", async () => {
  const opened = await open();
  const { page, context, wire } = opened;
  await signIn(opened);
  const other = await context.newPage();
  await other.goto(wire.base);
  await other.locator("[signed-in]").waitFor();
  await page.evaluate(() => document.querySelector("latchkey-sign-in")?.session?.signOut());
  await other.locator("#number").waitFor();
  await page.locator("#number").waitFor();
  await accessible(other);
});

test("a session that another device ended says so", async () => {
  const opened = await open();
  const { page, number } = opened;
  await signIn(opened);
  await world.advance(60);
  const second = await open();
  await signIn({ ...second, number });
  await second.page.evaluate(() => document.querySelector("latchkey-sign-in")?.session?.signOutEverywhere());
  await page.evaluate(() =>
    document
      .querySelector("latchkey-sign-in")
      ?.session?.call("getMe")
      .catch(() => undefined),
  );
  await page.getByText("You were signed out. Sign in again.").first().waitFor();
  await shoot(page, "signed-out");
  await accessible(page);
});

test("a dormant number is asked for a second signal, and can be asked for or started anew", async () => {
  const number = newNumber();
  await signIn({ ...(await open()), number });
  await world.advance(200 * DAY_SECONDS);
  const opened = await open();
  const { page } = opened;
  await toCode({ ...opened, number });
  await page.locator("#code").fill(await world.code(number));
  await page.getByRole("heading", { name: "Is this your account?" }).waitFor();
  assert.match(await said(page), /^Is this your account\? Nobody has used/);
  await shoot(page, "second-signal");
  await accessible(page);
  await page.getByRole("button", { name: /^It is mine/ }).click();
  await page.getByRole("heading", { name: "You have asked for the account" }).waitFor();
  await shoot(page, "recovery");
  await accessible(page);
  await page.getByRole("button", { name: /^Create a new account/ }).click();
  await page.locator("[signed-in]").waitFor();
});

test("a signed-in device approves, and then the code is enough", async () => {
  const number = newNumber();
  const phone = await open();
  await signIn({ ...phone, number });
  const call = (operation: "putFcmToken" | "approveSignIn", body: object): Promise<void> =>
    phone.page.evaluate(
      async ([operation, body]) => {
        const session = document.querySelector("latchkey-sign-in")?.session;
        await session?.call(operation as "approveSignIn", body as { challenge_id: string });
      },
      [operation, body] as const,
    );
  for (let month = 0; month < 7; month += 1) {
    await call("putFcmToken", { fcm_token: `token-of-${number.slice(1)}` });
    await world.advance(28 * DAY_SECONDS);
  }
  await call("putFcmToken", { fcm_token: `token-of-${number.slice(1)}` });
  const opened = await open();
  const { page } = opened;
  await toCode({ ...opened, number });
  await page.locator("#code").fill(await world.code(number));
  const approved = page.getByRole("button", { name: /^I have approved it/ });
  await approved.waitFor();
  await shoot(page, "approval");
  await accessible(page);
  await approved.click();
  await page.getByText("Nobody has approved yet.").first().waitFor();
  const pushes = await world.pushes();
  const push = pushes.find(({ to, data }) => to.includes(number.slice(1)) && data["type"] === "sign_in_approval");
  await call("approveSignIn", { challenge_id: push?.data["challenge_id"] ?? "" });
  await approved.click();
  await page.locator("[signed-in]").waitFor();
});

test("a deleted account is brought back", async () => {
  const number = newNumber();
  const opened = { ...(await open()), number };
  const { page } = opened;
  await signIn(opened);
  await page.evaluate(() => document.querySelector("latchkey-sign-in")?.session?.call("deleteMe"));
  await page.evaluate(() =>
    document
      .querySelector("latchkey-sign-in")
      ?.session?.refresh()
      .catch(() => undefined),
  );
  await world.advance(60);
  await toCode(opened);
  await page.locator("#code").fill(await world.code(number));
  await page.getByRole("heading", { name: "Your account was deleted" }).waitFor();
  await shoot(page, "deleted");
  await accessible(page);
  await page.getByRole("button", { name: "Bring my account back" }).click();
  await page.locator("[signed-in]").waitFor();
});

test("a change of number is taken back by the former number, in Nepali", async () => {
  const number = newNumber();
  const next = newNumber();
  const first = { ...(await open()), number };
  await signIn(first);
  await first.page.evaluate(async (next) => {
    const session = document.querySelector("latchkey-sign-in")?.session;
    await session?.call("patchMe", { username: `u${next.slice(1)}` });
    await session?.call("sendPhoneOtp", { phone_number: next, change: true });
  }, next);
  await first.page.evaluate(
    async ([next, otp]) => {
      const session = document.querySelector("latchkey-sign-in")?.session;
      await session?.call("validatePhoneOtp", { phone_number: next, otp, username: `u${next.slice(1)}` });
    },
    [next, await world.code(next)] as const,
  );
  await world.advance(60);
  const opened = await open({ lang: "ne" });
  const { page } = opened;
  await toCode({ ...opened, number });
  await page.locator("#code").fill(await world.code(number));
  await page.getByRole("heading", { name: "तपाईंको खाताको नम्बर फेरिएको छ" }).waitFor();
  await shoot(page, "changed-nepali");
  await accessible(page);
  await page.getByRole("button", { name: "पुरानो नम्बर फर्काएर साइन इन गर्नुहोस्" }).click();
  await page.locator("[signed-in]").waitFor();
  const count = await page.evaluate(async () => {
    const session = document.querySelector("latchkey-sign-in")?.session;
    return (await session?.call("listSessions"))?.sessions.length;
  });
  assert.equal(count, 1);
});

test("the example of the README signs in at an API of another origin, and out", async () => {
  const example = readFileSync(file("../examples/plain.html"), "utf8");
  assert.ok(readFileSync(file("../README.md"), "utf8").includes(example), "README.md has another text");
  assert.ok(example.trimEnd().split("\n").length < 30);
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  // Chromium does not know that a page that the test answers for comes from this machine.
  await context.grantPermissions(["local-network-access"]);
  const page = await context.newPage();
  const package_ = "/node_modules/latchkey-web/";
  await context.route("http://localhost:5173/**", (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname.startsWith(package_)) return route.fulfill({ path: file(`../${pathname.slice(package_.length)}`) });
    return route.fulfill({ contentType: "text/html", body: example.replace("http://127.0.0.1:3000", world.base) });
  });
  await page.goto("http://localhost:5173/");
  const number = newNumber();
  // The server's clock is far ahead by now, so this also shows that a page of another origin reads the header Date.
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
  await page.locator("#code").fill(await world.code(number));
  await page.getByText(`Signed in with ${number}`).waitFor();
  await page.reload();
  await page.getByText(`Signed in with ${number}`).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("#number").waitFor();
});

test("the example with React signs in, calls an API of its own with the token, and signs out", async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { createElement, Suspense } from "react";
        import { createRoot } from "react-dom/client";
        import { App } from "./examples/react.tsx";
        createRoot(document.querySelector("#app")).render(createElement(Suspense, null, createElement(App)));`,
      resolveDir: file(".."),
    },
    alias: { "latchkey-web": file("../dist/index.js"), "latchkey-web/element": file("../dist/element.js") },
    bundle: true,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
  });
  const script = (outputFiles[0]?.text ?? "").replaceAll("https://auth.example.com", world.base);
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  await context.grantPermissions(["local-network-access"]);
  const page = await context.newPage();
  page.on("pageerror", (error) => {
    assert.fail(error);
  });
  let authorization: string | undefined;
  await context.route("https://api.example.com/orders", (route) => {
    authorization ??= route.request().headers()["authorization"];
    const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "authorization" };
    return route.fulfill({ status: 204, headers });
  });
  await context.route("http://localhost:5173/**", (route) => {
    const isScript = new URL(route.request().url()).pathname === "/app.js";
    const body = '<!doctype html><html lang="en"><div id="app"></div><script type="module" src="/app.js"></script>';
    return route.fulfill(isScript ? { contentType: "text/javascript", body: script } : { contentType: "text/html", body });
  });
  await page.goto("http://localhost:5173/");
  const number = newNumber();
  await page.locator("#number").fill(number);
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
  await page.locator("#code").fill(await world.code(number));
  await page.getByText(`Signed in with ${number}`).waitFor();
  await page.getByRole("button", { name: "Order" }).click();
  await until(() => authorization !== undefined);
  assert.match(authorization ?? "", /^Bearer /);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.locator("#number").waitFor();
});
