// The app: the sign-in element, or the account of whoever is signed in, with tokens and devices.

import { type Device, type Me, Problem, type Session, type Store } from "../../../clients/web/src/index.ts";
import { LatchkeySignIn } from "../../../clients/web/src/element.ts";
import { claimsOf } from "../../../clients/web/src/proof.ts";
import { attempt, button, fill, h, outcome, unique } from "./dom.ts";
import type { Local } from "./local.ts";
import { language, span, words } from "./words.ts";

interface Tokens {
  readonly token_type: string;
  readonly access_token: string;
  readonly refresh_token: string;
}


const FCM_TOKEN = "latchkey console fcm token";

/** The token by which this browser gets pushes. */
export function fcmToken(): string {
  const kept = localStorage.getItem(FCM_TOKEN) ?? `console-${unique()}`;
  localStorage.setItem(FCM_TOKEN, kept);
  return kept;
}

export class App {
  readonly element = h("section", "app", { "aria-labelledby": "app" });
  readonly #session: Session;
  readonly #store: Store;
  readonly #local: Local;
  readonly #body = h("div", "app-body");
  #signIn: LatchkeySignIn | undefined;
  #isNew = false;
  /** What the next account says of the last action. */
  #said = "";
  /** What is shown of the running lifetimes. */
  #tick: () => void = () => undefined;
  #drawing = 0;

  constructor(session: Session, store: Store, local: Local) {
    this.#session = session;
    this.#store = store;
    this.#local = local;
    const texts = words();
    this.element.append(
      h("header", "column-head", {}, h("h2", "", { id: "app" }, texts.app), h("p", "", {}, texts.appHint)),
      this.#body,
    );
    session.subscribe(({ type }) => {
      if (type === "signed-out") this.#isNew = false;
      void this.#draw();
    });
    setInterval(() => {
      this.#tick();
    }, 1000);
    void this.#draw();
  }

  /** Types a code, as the phone's keyboard offers it. */
  fillIn(code: string): boolean {
    const field = this.#signIn?.shadowRoot?.querySelector<HTMLInputElement>("#code");
    if (!field) return false;
    field.value = code;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }

  async #draw(): Promise<void> {
    if (!this.#session.isSignedIn) {
      this.#drawing += 1;
      if (!this.#signIn) this.#showSignIn();
      return;
    }
    const drawing = (this.#drawing += 1);
    const read = async (): Promise<[Me, readonly Device[], Tokens | undefined]> => {
      // One after the other, so that the list of calls shows what each asks of DynamoDB.
      const me = await this.#session.call("getMe");
      const { sessions } = await this.#session.call("listSessions");
      return [me, sessions, (await this.#store.get("tokens")) as Tokens | undefined];
    };
    const account = await read().catch((error: unknown) => {
      // The end of a session draws by itself.
      if (drawing === this.#drawing && this.#session.isSignedIn) this.#showFailure(error);
    });
    // Another change came in between.
    if (drawing !== this.#drawing || !account) return;
    const [me, sessions, tokens] = account;
    if (!sessions.some((device) => device.current && device.fcm_token_at)) {
      void this.#session.call("putFcmToken", { fcm_token: fcmToken() }).catch(() => undefined);
    }
    const hasSignedIn = this.#signIn !== undefined;
    this.#signIn = undefined;
    this.#showAccount(me, sessions, tokens);
    // Otherwise the focus would be lost with the form.
    if (hasSignedIn) this.#body.querySelector<HTMLElement>(".name")?.focus();
  }

  #showFailure(error: unknown): void {
    const why = error instanceof Problem ? (error.body.detail ?? error.code) : String(error);
    const again = button("button", words().tryAgain, () => void this.#draw());
    const failed = h("p", "outcome failed", { role: "alert" }, why);
    this.#signIn = undefined;
    this.#body.replaceChildren(h("div", "card", {}, failed, h("div", "actions", {}, again)));
  }

  #showSignIn(): void {
    const { country } = this.#local.settings;
    const element = (this.#signIn = new LatchkeySignIn());
    const attributes = { country, lang: language(), "device-name": deviceName(), source: "console" };
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.session = this.#session;
    element.addEventListener("signed-in", (event) => {
      this.#isNew = (event).detail.signedIn?.is_new_user ?? false;
    });
    this.#tick = () => undefined;
    this.#body.replaceChildren(element);
  }

  #showAccount(me: Me, devices: readonly Device[], tokens: Tokens | undefined): void {
    const texts = words();
    const status = outcome();
    const act = (work: () => Promise<unknown>): Promise<void> => attempt(status, work);
    const name = me.name ?? me.username ?? me.phone_number ?? me.user_id;
    const account = h(
      "div",
      "card account",
      {},
      h(
        "div",
        "who",
        {},
        h("span", "avatar", { "aria-hidden": "true" }, name.replace(/^\+/, "").slice(-2)),
        h(
          "div",
          "",
          {},
          h("p", "badge", {}, this.#isNew ? texts.newHere : texts.signedInAs),
          h("p", "name", { tabindex: "-1" }, name),
        ),
      ),
      facts([
        [texts.organization, this.#session.claims?.org],
        [texts.roles, Object.keys(this.#session.claims?.roles ?? {}).join(", ")],
        [texts.user, me.user_id],
      ]),
      h(
        "div",
        "actions",
        {},
        button("button", texts.signOut, () => act(() => this.#session.signOut())),
        button("button quiet", texts.signOutEverywhere, () => act(() => this.#session.signOutEverywhere())),
      ),
      status,
    );
    const lives: (() => void)[] = [];
    const cards = tokens
      ? [
          this.#tokenCard(texts.accessToken, tokens.access_token, lives),
          this.#tokenCard(texts.refreshToken, tokens.refresh_token, lives),
        ]
      : [h("p", "hint", {}, texts.notKept)];
    const refreshed = outcome();
    refreshed.textContent = this.#said;
    this.#said = "";
    const refresh = button("button quiet small", texts.refresh, () => {
      // The new tokens build this card anew.
      this.#said = texts.refreshed;
      return attempt(refreshed, () => this.#session.refresh());
    });
    this.#tick = () => {
      for (const life of lives) life();
    };
    this.#tick();
    this.#body.replaceChildren(
      account,
      h("div", "card", {}, ...cards, h("div", "actions", {}, refresh), refreshed),
      this.#deviceCard(devices, act),
    );
  }

  #tokenCard(title: string, token: string, lives: (() => void)[]): HTMLElement {
    const texts = words();
    const claims = claimsOf(token);
    const expiresAt = claims["exp"] as number;
    const whole = expiresAt - (claims["iat"] as number);
    const bar = h("progress", "life", { max: String(whole), "aria-label": title });
    const left = h("span", "left");
    lives.push(() => {
      const seconds = expiresAt - this.#local.now / 1000;
      bar.value = Math.max(0, seconds);
      bar.classList.toggle("low", seconds < whole / 10);
      left.textContent = seconds > 0 ? fill(texts.expiresIn, { time: span(seconds * 1000) }) : texts.expired;
    });
    const isBound = "cnf" in claims;
    return h(
      "section",
      "token",
      { "aria-label": title },
      h("div", "token-head", {}, h("h3", "", {}, title), left),
      bar,
      h("p", isBound ? "bound" : "unbound", {}, isBound ? texts.bound : texts.unbound),
      h("details", "", {}, h("summary", "", {}, texts.claims), code(claims)),
    );
  }

  #deviceCard(devices: readonly Device[], act: (work: () => Promise<unknown>) => Promise<void>): HTMLElement {
    const texts = words();
    const end = async (session_id: string): Promise<void> => {
      await this.#session.call("revokeSession", { session_id });
      await this.#draw();
    };
    const rows = devices.map((device) =>
      h(
        "li",
        "",
        {},
        h(
          "span",
          "",
          {},
          device.device_name ?? texts.unnamedDevice,
          device.current && h("small", "badge", {}, texts.thisDevice),
        ),
        !device.current && button("button quiet small", texts.endSession, () => act(() => end(device.session_id))),
      ),
    );
    return h("div", "card", {}, h("h3", "", {}, texts.devices), h("ul", "devices", {}, ...rows));
  }
}

export function facts(rows: readonly (readonly [name: string, value: string | undefined])[]): HTMLElement {
  const shown = rows.filter(([, value]) => value);
  return h("dl", "facts", {}, ...shown.flatMap(([name, value]) => [h("dt", "", {}, name), h("dd", "", {}, value)]));
}

/** JSON to be read, which a keyboard can scroll. */
export function code(value: unknown, label = "JSON"): HTMLElement {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return h("pre", "code", { tabindex: "0", role: "group", "aria-label": label }, text);
}

/** Such as "Chrome on Linux". */
function deviceName(): string {
  const agent = navigator.userAgent;
  const browser = ["Firefox", "Edg", "Chrome", "Safari"].find((name) => agent.includes(name)) ?? "Browser";
  const system = ["Android", "iPhone", "Mac OS", "Windows", "Linux"].find((name) => agent.includes(name));
  return `${browser === "Edg" ? "Edge" : browser}${system ? ` on ${system}` : ""}`;
}
