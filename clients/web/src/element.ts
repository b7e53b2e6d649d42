// <latchkey-sign-in>: a sign-in from the number to the session, in words, for keyboard, screen reader and both colour schemes.

// A bundle has its parts in this order. What is alike is near then, and compresses better.
import { ne } from "./texts/ne.ts";
import { en } from "./texts/en.ts";
import style from "./style.css";
import { callingCodes, countryOf, international } from "./countries.ts";
import { type CodeStep, type Problem, Session, SignIn, type SignInState, type SignedIn } from "./index.ts";
import type { NamedProblem, Texts } from "./texts/texts.ts";

export type { NamedProblem, Texts } from "./texts/texts.ts";

export interface SignedInDetail {
  readonly session: Session;
  /** `undefined` if the browser was signed in already when the page was opened. */
  readonly signedIn: SignedIn | undefined;
}

type Child = Node | string | false | undefined;

/** What the panel shows at one step. */
interface View {
  readonly title: string;
  readonly hint?: string;
  readonly field?: HTMLInputElement | undefined;
  readonly parts?: Child[];
  /** What Enter does too. */
  readonly main?: Choice | false | undefined;
  readonly others?: Child[];
  /** Shows what changes while the step lasts. */
  readonly update?: (state: SignInState, button: HTMLButtonElement) => void;
}

type Choice = readonly [label: string, act: () => Promise<void>, hint?: string];

const HOUR = 3_600_000;

/** What outlives a reload of this tab. */
let tab: Storage | undefined;
try {
  tab = sessionStorage;
} catch {
  // A page in a sandbox has none.
}

export class LatchkeySignIn extends HTMLElement {
  /** The words of each language. An app can add one, or change words. */
  static readonly texts: Record<string, Texts> = { en, ne };

  /**
   * The session that the sign-in opens. Set it to use your own before the element is in the page; otherwise the element opens
   * one for its attribute `api`. React looks whether the element has the property, so it is there from the start.
   */
  session = (this as { session?: Session }).session;

  readonly #panel = h("section", "panel");
  /** What a screen reader says. It stays in the page, because a new live region is not read. */
  readonly #said = h("p", "said", { role: "status" });
  #flow: SignIn | undefined;
  /** What the panel shows, so that it is built anew only if that changes. */
  #shown = "";
  #ended = "";
  #show: (state: SignInState) => void = () => undefined;
  #leave = new AbortController();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    root.adoptedStyleSheets = [sheet];
    root.append(this.#panel, this.#said);
  }

  async connectedCallback(): Promise<void> {
    const { signal } = (this.#leave = new AbortController());
    const text = (name: string): string | undefined => this.getAttribute(name) ?? undefined;
    const api = text("api") ?? "";
    // Without a word, numbers would go to whoever serves the page.
    if (!this.session && !api) throw new TypeError("latchkey-sign-in without api or session");
    const session = (this.session ??= await Session.open({ api }));
    if (signal.aborted) return;
    const flow = (this.#flow = new SignIn(session, {
      organizationId: text("organization"),
      deviceName: text("device-name"),
      source: text("source"),
      locale: () => this.#language,
      saved: tab?.getItem(session.api.base),
    }));
    const render = (): void => {
      this.#render();
    };
    const ends = [
      flow.subscribe(({ step, problem, ...state }) => {
        render();
        if (step === "signed-in") this.#tell("signed-in", { session, ...state });
        else tab?.setItem(session.api.base, flow.saved());
        if (problem) this.#tell("problem", problem);
      }),
      session.subscribe((event) => {
        if (event.type === "signed-out") {
          this.#ended = event.reason === "signed_out" ? "" : this.#texts.ended;
          flow.restart();
        } else render();
        if (event.type === "signed-in") {
          // The page may remove the element before the sign-in ends.
          tab?.removeItem(session.api.base);
          // In another tab.
          if (!flow.state.busy) this.#tell(event.type, { session });
        }
      }),
    ];
    const clock = setInterval(render, 1000);
    signal.onabort = () => {
      clearInterval(clock);
      for (const end of ends) end();
    };
    this.#shown = "";
    render();
    if (session.isSignedIn) this.#tell("signed-in", { session });
  }

  disconnectedCallback(): void {
    this.#leave.abort();
  }

  get #language(): string {
    const { lang } = this.closest<HTMLElement>("[lang]") ?? this;
    try {
      return String(new Intl.Locale((lang || navigator.language).replaceAll("_", "-")));
    } catch {
      // Also a browser may name a language in a form of its own, such as `en-US@posix`.
      return "en";
    }
  }

  get #texts(): Texts {
    return LatchkeySignIn.texts[this.#language.split("-")[0] ?? ""] ?? en;
  }

  #tell(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #render(): void {
    const flow = this.#flow;
    if (!flow) return;
    const { state } = flow;
    const language = this.#language;
    const isSignedIn = this.toggleAttribute("signed-in", this.session?.isSignedIn);
    const shown = `${language}${isSignedIn ? "" : state.step}${"needsNewCode" in state ? state.needsNewCode : ""}`;
    if (shown !== this.#shown) {
      const view = this.#viewOf(flow, isSignedIn ? undefined : state);
      this.#build(view, language);
      // The page decides where the focus is when it opens.
      if (this.#shown) {
        (view.field ?? this.#panel.querySelector("h2"))?.focus();
        this.#said.textContent = [view.title, view.hint].join(view.title.endsWith("?") ? " " : ". ");
      }
      this.#shown = shown;
    }
    this.#show(state);
  }

  #build({ title, hint, field, parts = [], main, others = [], update }: View, language: string): void {
    const problem = h("p", "problem", { id: "problem" });
    const button = main && this.#choice(main, "button", field);
    const form = h("form", "", {}, ...parts, problem, button, ...others);
    form.onsubmit = (event) => {
      event.preventDefault();
    };
    if (button) button.type = "submit";
    this.#panel.lang = language;
    this.#panel.replaceChildren(
      h("h2", "heading", { tabindex: "-1" }, title),
      h("p", "hint", {}, hint),
      form,
      h("slot", ""),
    );
    this.#show = (state) => {
      // Of other problems, what was typed is not the cause.
      if (field) field.ariaInvalid = String(/phone|country|incorrect/.test(state.problem?.code ?? ""));
      if (main && button) {
        button.ariaDisabled = String(state.busy);
        button.firstChild?.replaceWith(state.busy ? this.#texts.busy : main[0]);
      }
      const text = state.busy ? "" : this.#why(state);
      // Said once, and not at each second of the wait.
      if (text && !problem.textContent) this.#said.textContent = text;
      problem.textContent = text;
      if (button) update?.(state, button);
    };
  }

  #viewOf(flow: SignIn, state: SignInState | undefined): View {
    const texts = this.#texts;
    const fresh = (hint: string): HTMLElement => this.#choice([texts.fresh, () => flow.freshAccount(), hint]);
    const restart = this.#choice(
      [
        texts.otherNumber,
        async () => {
          flow.restart();
        },
      ],
      "link",
    );
    switch (state?.step) {
      case "number":
        return this.#number(flow);
      case "code":
        return this.#code(flow, state, restart);
      case "second-signal":
        return {
          title: texts.secondTitle,
          hint: texts.secondHint,
          main: state.approvalAsked && [texts.approved, () => flow.approved(), texts.approvedHint],
          others: [
            this.#choice([texts.recover, () => flow.recover(), texts.recoverHint]),
            fresh(texts.freshHint),
            h("p", "", {}, texts.knownDevice),
            restart,
          ],
        };
      case "released": {
        const until = this.#date(state.undoUntil);
        if (state.undoes === "account_deletion") {
          return {
            title: texts.deletedTitle,
            hint: fill(texts.deletedHint, { until }),
            main: [texts.restoreAccount, () => flow.restore()],
            others: [fresh(texts.freshFinal), restart],
          };
        }
        const others = h("input", "", { type: "checkbox", checked: "" });
        return {
          title: texts.changedTitle,
          hint: fill(texts.changedHint, { until }),
          parts: [h("label", "", {}, others, texts.signOthersOut)],
          main: [texts.restoreNumber, () => flow.restore(others.checked && "sign others out")],
          others: [restart],
        };
      }
      case "recovery": {
        const { opensAt, closesAt, possibleAt } = state;
        const dates = { opens: this.#date(opensAt), closes: this.#date(closesAt), possible: this.#date(possibleAt) };
        return {
          title: texts.recoveryTitle,
          hint: fill(possibleAt ? texts.refusedHint : texts.recoveryHint, dates),
          others: [fresh(texts.freshHint), restart],
        };
      }
      default:
        return { title: texts.signedIn };
    }
  }

  #number(flow: SignIn): View {
    const texts = this.#texts;
    const language = this.#language;
    const names = new Intl.DisplayNames(language, { type: "region" });
    const listed = this.getAttribute("countries")
      ?.toUpperCase()
      .match(/[A-Z]{2}/g) ?? [...callingCodes.keys()];
    const code = h("span", "");
    const select = h("select", "", { "aria-label": texts.country });
    const choose = (country: string): void => {
      select.value = country;
      code.textContent = `+${callingCodes.get(country) ?? ""}`;
    };
    select.onchange = () => {
      choose(select.value);
    };
    const options = listed.map(
      (country) => new Option(`${names.of(country)} (+${callingCodes.get(country)})`, country),
    );
    select.append(...options.sort((one, other) => one.text.localeCompare(other.text, language)));
    choose(this.getAttribute("country") ?? listed[0] ?? "");
    const field = h("input", "field", {
      type: "tel",
      id: "number",
      autocomplete: "tel",
      "aria-describedby": "problem",
    });
    field.oninput = () => {
      const typed = countryOf(field.value, listed);
      // +1 is many countries: the one that was chosen stays.
      if (typed && callingCodes.get(typed) !== callingCodes.get(select.value)) choose(typed);
    };
    return {
      title: texts.signIn,
      hint: texts.numberHint,
      field,
      parts: [
        h(
          "div",
          "",
          {},
          h("label", "label", { for: "number" }, texts.number),
          h("div", "number", {}, h("span", "country", {}, code, listed.length > 1 && select), field),
        ),
      ],
      main: [
        texts.send,
        () => {
          this.#ended = "";
          return flow.send(international(field.value, select.value));
        },
      ],
    };
  }

  #code(flow: SignIn, { phoneNumber, needsNewCode }: CodeStep, restart: Node): View {
    const texts = this.#texts;
    const boxes = [1, 2, 3, 4, 5, 6].map(() => h("i", ""));
    const field = h("input", "field", {
      id: "code",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      "aria-describedby": "problem",
    });
    let before = 0;
    const enter = (typed: string): void => {
      field.value = typed.replace(/\P{Nd}/gu, "").slice(0, 6);
      const { length } = field.value;
      boxes.forEach((box, index) => box.toggleAttribute("data-next", index === Math.min(length, 5)));
      // Several digits at once come from the message, and nobody has mistyped them.
      if (length === 6 && before < 5) field.form?.querySelector("button")?.click();
      before = length;
    };
    field.oninput = () => {
      enter(field.value);
    };
    enter("");
    void received(this.#leave.signal).then((code) => {
      if (code && field.isConnected) enter(code);
    });
    const resend = this.#choice([texts.resend, () => flow.resend()], "link");
    return {
      title: needsNewCode ? texts.newCode : texts.codeTitle,
      hint: fill(needsNewCode ? texts.newCodeHint : texts.codeHint, { number: `\u2068${phoneNumber}\u2069` }),
      field: needsNewCode ? undefined : field,
      parts: [
        !needsNewCode &&
          h("div", "", {}, h("label", "label", { for: "code" }, texts.code), h("div", "code", {}, ...boxes, field)),
      ],
      main: needsNewCode
        ? [texts.resend, () => flow.resend()]
        : [
            texts.submit,
            async () => {
              await flow.submit(field.value);
              // What was refused is not tried again. What was not answered is.
              if (flow.state.problem?.code === "incorrect_otp") enter("");
            },
          ],
      others: [
        h("div", "row", {}, !needsNewCode && resend, restart),
        h("details", "", {}, h("summary", "", {}, texts.noCode), h("p", "", {}, texts.noCodeHint)),
      ],
      update: (state, button) => {
        const { resendAt, waitUntil } = state as CodeStep;
        const wait = Math.max(resendAt, waitUntil) - Date.now();
        const again = needsNewCode ? button : resend;
        // While it is sent, the button says so.
        if (state.busy && needsNewCode) return;
        again.textContent = wait > 0 ? fill(texts.resendIn, { time: this.#time(wait) }) : texts.resend;
        again.ariaDisabled = String(wait > 0);
      },
    };
  }

  /** Why the last step did not succeed, and when it can be tried again. */
  #why({ problem, waitUntil }: SignInState): string {
    if (!problem) return this.#ended;
    const texts = this.#texts;
    const { code } = problem;
    const named = code === "timed_out" ? "no_answer" : /^service|throttled/.test(code) ? "gateway_failed" : code;
    const words = [Object.hasOwn(texts.problems, named) ? texts.problems[named as NamedProblem] : texts.appFault];
    if (problem.attemptsLeft) {
      words.push(fill(texts.attemptsLeft, { n: problem.attemptsLeft.toLocaleString(texts.locale) }));
    }
    const wait = waitUntil - Date.now();
    if (wait > HOUR) words.push(fill(texts.tryAfter, { time: this.#date(waitUntil) }));
    else if (wait > 0) words.push(fill(texts.tryIn, { time: this.#time(wait) }));
    return words.join(" ");
  }

  #choice([label, act, hint]: Choice, part = "choice", field?: HTMLInputElement): HTMLButtonElement {
    const choice = h("button", part, { type: "button" }, label, hint && h("small", "", {}, hint));
    choice.onclick = () => {
      if (choice.ariaDisabled !== "true") void act().then(() => field?.focus());
    };
    return choice;
  }

  /** Minutes and seconds, in the digits of the language. */
  #time(milliseconds: number): string {
    // A second that has begun counts.
    return new Date(milliseconds + 999).toLocaleTimeString(this.#texts.locale, { minute: "numeric", second: "2-digit", timeZone: "UTC" });
  }

  #date(at: number): string {
    const { locale, dateStyle } = this.#texts;
    return new Date(at).toLocaleString(locale, { dateStyle, timeStyle: "short" });
  }
}

/** The code of the message, where the browser offers it (WebOTP). */
async function received(signal: AbortSignal): Promise<string | undefined> {
  if (!("OTPCredential" in globalThis)) return undefined;
  const request = { otp: { transport: ["sms"] }, signal };
  // The person may refuse, or the code comes too late.
  const credential = await navigator.credentials.get(request as CredentialRequestOptions).catch(() => null);
  return (credential as { code?: string } | null)?.code;
}

function fill(text: string, values: Record<string, string>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
}

/**
 * Elements are built without markup in texts, so that a page can forbid that by its Content-Security-Policy. The name is the
 * class here and the part for the page.
 */
function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  name: string,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  made.className = name;
  made.part.value = name;
  for (const attribute in attributes) made.setAttribute(attribute, attributes[attribute] ?? "");
  made.append(...(children.filter((child) => child) as (Node | string)[]));
  return made;
}

customElements.define("latchkey-sign-in", LatchkeySignIn);

declare global {
  interface HTMLElementTagNameMap {
    "latchkey-sign-in": LatchkeySignIn;
  }
  interface HTMLElementEventMap {
    "signed-in": CustomEvent<SignedInDetail>;
    problem: CustomEvent<Problem>;
  }
}
