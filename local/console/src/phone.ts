// The phone: messages and pushes as they arrive, newest first.

import type { Session } from "../../../clients/web/src/index.ts";
import { type App, fcmToken } from "./app.ts";
import { attempt, button, clipboard, fill, h, outcome } from "./dom.ts";
import type { Local, Message, Push } from "./local.ts";
import { timeOfDay, words } from "./words.ts";

const SHOWN = 20;
const gateways: Readonly<Record<string, string>> = { sparrow: "Sparrow", sns: "Amazon SNS", twilio: "Twilio" };

export function gatewayName(gateway: string): string {
  return gateways[gateway] ?? gateway;
}

/** The code of a message; its digits are those of its language. */
export function codeOf(text: string): string | undefined {
  return /(?<!\p{Nd})\p{Nd}{6}(?!\p{Nd})/u.exec(text)?.[0];
}

export class Phone {
  readonly element: HTMLElement;
  readonly #local: Local;
  readonly #session: Session;
  readonly #app: App;
  readonly #time = h("span", "");
  readonly #list = h("ol", "inbox", { "aria-live": "polite" });
  #shown = new Map<string, HTMLElement>();

  constructor(local: Local, session: Session, app: App) {
    this.#local = local;
    this.#session = session;
    this.#app = app;
    const texts = words();
    const screen = h(
      "div",
      "screen",
      { tabindex: "0", role: "region", "aria-label": texts.phoneHint },
      h("div", "status-bar", { "aria-hidden": "true" }, this.#time, h("span", "notch"), h("span", "signal")),
      this.#list,
    );
    this.element = h(
      "section",
      "phone-column",
      { "aria-labelledby": "phone" },
      h("header", "column-head", {}, h("h2", "", { id: "phone" }, texts.phone), h("p", "", {}, texts.phoneHint)),
      h("div", "handset", {}, screen),
    );
    local.subscribe((topic) => {
      if (topic === "messages" || topic === "pushes") this.#draw();
      if (topic === "clock") this.#drawTime();
    });
    setInterval(() => {
      this.#drawTime();
    }, 5000);
    this.#drawTime();
    this.#draw();
  }

  #drawTime(): void {
    this.#time.textContent = timeOfDay(this.#local.now);
  }

  #draw(): void {
    const own = fcmToken();
    const items = [
      ...this.#local.messages.map((message) => ({ at: message.at, key: message.id, make: () => this.#message(message) })),
      ...this.#local.pushes
        .filter(({ to }) => to === own)
        .map((push) => ({
          at: push.at,
          key: push.id,
          make: () => this.#push(push),
        })),
    ];
    const newest = items.sort((one, other) => other.at - one.at).slice(0, SHOWN);
    if (newest.length === 0) {
      this.#list.replaceChildren(h("li", "empty", {}, words().phoneEmpty));
      return;
    }
    // What is shown already stays as it is: it may have the focus.
    this.#shown = new Map(newest.map(({ key, make }) => [key, this.#shown.get(key) ?? make()]));
    this.#list.replaceChildren(...this.#shown.values());
  }

  #message({ to, from, text, gateway, at }: Message): HTMLElement {
    const texts = words();
    const code = codeOf(text);
    const fillIn =
      code &&
      button("chip", fill(texts.fillIn, { code }), () => {
        if (!this.#app.fillIn(code)) void clipboard?.writeText(code);
      });
    return h(
      "li",
      "message",
      {},
      h("div", "meta", {}, h("b", "", {}, from), h("time", "", {}, timeOfDay(at * 1000))),
      h("p", "", {}, ...highlighted(text, code)),
      h("div", "meta", {}, h("span", "", {}, fill(texts.to, { number: `\u2068${to}\u2069` }))),
      h("div", "meta", {}, h("span", "channel", {}, fill(texts.by, { gateway: gatewayName(gateway) })), fillIn),
    );
  }

  #push({ data, at }: Push): HTMLElement {
    const texts = words();
    const isQuestion = data["type"] === "sign_in_approval";
    const status = outcome();
    const approve = button("chip", texts.approve, () =>
      attempt(status, async () => {
        await this.#session.call("approveSignIn", { challenge_id: data["challenge_id"] ?? "" });
        approve.replaceWith(h("span", "badge", {}, texts.approved));
      }),
    );
    return h(
      "li",
      "message push",
      {},
      h("div", "meta", {}, h("b", "", {}, texts.push), h("time", "", {}, timeOfDay(at * 1000))),
      h("p", "", {}, isQuestion ? texts.approvalAsked : (texts.notices[data["event"] ?? ""] ?? data["event"] ?? "")),
      h("div", "meta", {}, h("span", "channel", {}, "FCM"), isQuestion && approve),
      status,
    );
  }
}

function highlighted(text: string, code: string | undefined): (Node | string)[] {
  const at = code ? text.indexOf(code) : -1;
  if (!code || at < 0) return [text];
  return [text.slice(0, at), h("strong", "", {}, code), text.slice(at + code.length)];
}
