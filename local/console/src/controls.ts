// What a developer can make happen: the clock, faults, test numbers and dormant numbers.

import { international } from "../../../clients/web/src/countries.ts";
import { attempt, button, fill, h, icon, outcome } from "./dom.ts";
import { type Fault, type Local, type Topic, modes, targets } from "./local.ts";
import { digits, moment, span, words } from "./words.ts";

const drawings = {
  clock: ["M10 3a7 7 0 1 0 0 14a7 7 0 0 0 0-14z", "M10 6v4.4l3 1.8"],
  faults: ["M11 2.5L5 11h4.2L8.6 17.5L15 8.5h-4.4z"],
  numbers: ["M7.5 3.5L6 16.5", "M14 3.5l-1.5 13", "M3.5 7.5h13", "M3.5 12.5h13"],
} as const;

export type Control = keyof typeof drawings;
export const controls = Object.keys(drawings) as Control[];

/** The controls, each a button of the header and a panel that it opens. `#/faults` opens one too. */
export class Controls {
  readonly buttons: HTMLElement;
  readonly panels: HTMLElement;
  readonly #local: Local;
  readonly #panels: Record<Control, HTMLElement>;

  constructor(local: Local) {
    this.#local = local;
    const texts = words();
    this.#panels = { clock: this.#clock(), faults: this.#faults(), numbers: this.#numbers() };
    const opener = (control: Control): HTMLElement => {
      const value = h("span", "value");
      const element = h(
        "button",
        "control",
        { type: "button", popovertarget: `control-${control}`, "data-control": control },
        icon(...drawings[control]),
        h("span", "", {}, texts[control]),
        value,
      );
      this.#follow(["clock", "faults", "settings"], () => {
        const shown = this.#value(control);
        value.textContent = shown;
        element.classList.toggle("on", shown !== "");
      });
      return element;
    };
    this.buttons = h("div", "controls", {}, ...controls.map(opener));
    this.panels = h("div", "", {}, ...Object.values(this.#panels));
  }

  open(control: Control): void {
    const panel = this.#panels[control];
    if (!panel.matches(":popover-open")) panel.showPopover();
  }

  #value(control: Control): string {
    switch (control) {
      case "clock":
        return this.#local.ahead ? `+${span(this.#local.ahead)}` : "";
      case "faults": {
        const pending = this.#local.faults.reduce((sum, { times }) => sum + times, 0);
        return pending ? digits(pending) : "";
      }
      case "numbers": {
        const numbers = this.#local.settings.organizations.flatMap(({ test_numbers }) => test_numbers ?? []);
        return numbers.length > 0 ? digits(numbers.length) : "";
      }
    }
  }

  #follow(topics: readonly Topic[], draw: () => void): void {
    this.#local.subscribe((topic) => {
      if (topics.includes(topic)) draw();
    });
    draw();
  }

  #panel(control: Control, hint: string, ...content: HTMLElement[]): HTMLElement {
    const texts = words();
    const panel = h("section", "panel", { id: `control-${control}`, popover: "auto", "aria-labelledby": `title-${control}` });
    const close = button("close", "", () => {
      panel.hidePopover();
    });
    close.append(icon("M5 5l10 10", "M15 5L5 15"));
    close.ariaLabel = texts.close;
    panel.append(
      h("header", "", {}, h("h2", "", { id: `title-${control}` }, texts[control]), close),
      h("p", "hint", {}, hint),
      ...content,
    );
    // A link to a panel that was closed opens it again.
    panel.addEventListener("toggle", () => {
      if (!panel.matches(":popover-open") && location.hash === `#/${control}`) history.replaceState(null, "", "#/");
    });
    return panel;
  }

  #clock(): HTMLElement {
    const texts = words();
    const now = h("p", "big");
    const ahead = h("p", "hint");
    const draw = (): void => {
      now.textContent = fill(texts.now, { time: moment(this.#local.now) });
      ahead.textContent = this.#local.ahead ? fill(texts.ahead, { time: span(this.#local.ahead) }) : "";
    };
    this.#follow(["clock"], draw);
    setInterval(draw, 1000);
    const days = this.#local.settings.phone_dormant_days + 1;
    const status = outcome();
    const forward = (label: string, seconds: number): HTMLElement =>
      button("button quiet", label, () => attempt(status, () => this.#local.advance(seconds)));
    return this.#panel(
      "clock",
      texts.clockHint,
      now,
      ahead,
      h("div", "actions", {}, ...texts.forward.map(([label, seconds]) => forward(`+ ${label}`, seconds))),
      h("div", "actions", {}, forward(`+ ${fill(texts.dormant, { days: digits(days) })}`, days * 86_400)),
      h("p", "hint", {}, texts.dormantHint),
      status,
    );
  }

  #faults(): HTMLElement {
    const texts = words();
    const target = choice(texts.service, targets.map((name) => [name, name]));
    const mode = choice(texts.mode, modes.map((name) => [name, texts.modes[name] ?? name]));
    const times = field(texts.times, { type: "number", min: "1", max: "1000", value: "1", required: "" });
    const pending = h("ul", "pending");
    const status = outcome();
    this.#follow(["faults"], () => {
      const rows = this.#local.faults.map((fault) =>
        h(
          "li",
          "",
          {},
          fill(texts.pending, {
            target: fault.target,
            mode: texts.modes[fault.mode] ?? fault.mode,
            times: digits(fault.times),
          }),
        ),
      );
      pending.replaceChildren(...(rows.length > 0 ? rows : [h("li", "empty", {}, texts.noFaults)]));
    });
    const form = h(
      "form",
      "row",
      {},
      target.label,
      mode.label,
      times.label,
      h("button", "button", { type: "submit" }, texts.addFault),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      const fault = { target: target.input.value, mode: mode.input.value, times: times.input.valueAsNumber } as Fault;
      void attempt(status, () => this.#local.addFault(fault));
    };
    const clear = button("button quiet small", texts.clear, () => attempt(status, () => this.#local.clearFaults()));
    return this.#panel("faults", texts.faultsHint, form, status, pending, h("div", "actions", {}, clear));
  }

  #numbers(): HTMLElement {
    const texts = words();
    const list = h("ul", "pending");
    const status = outcome();
    this.#follow(["settings"], () => {
      const numbers = this.#local.settings.organizations.flatMap(({ test_numbers }) => test_numbers ?? []);
      const rows = numbers.map(({ phone_number, code }) => h("li", "", {}, h("span", "", {}, phone_number), h("b", "", {}, code)));
      list.replaceChildren(...(rows.length > 0 ? rows : [h("li", "empty", {}, texts.noNumbers)]));
    });
    const number = field(texts.number, { type: "tel", placeholder: "+9779801234567", required: "" });
    const code = field(texts.code, { inputmode: "numeric", pattern: "[0-9]{6}", placeholder: "424242", required: "" });
    const form = h(
      "form",
      "row",
      {},
      number.label,
      code.label,
      h("button", "button", { type: "submit" }, texts.addNumber),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      void attempt(status, async () => {
        const { country, organization, app_name, organizations } = await this.#local.readSettings();
        const settings = organizations.find(({ id }) => id === organization) ?? { id: organization, app_name };
        const added = { phone_number: international(number.input.value, country), code: code.input.value };
        const today = new Date(this.#local.now).toISOString().slice(0, 10);
        const others = (settings.test_numbers ?? []).filter(
          ({ phone_number, until }) => phone_number !== added.phone_number && (until === undefined || until > today),
        );
        await this.#local.seed({ organizations: [{ ...settings, test_numbers: [...others, added] }] });
        return fill(texts.added, { number: added.phone_number });
      });
    };
    const days = this.#local.settings.phone_dormant_days + 20;
    const dormant = field(texts.number, { type: "tel", placeholder: "+9779801234568", required: "" });
    const dormantStatus = outcome();
    const dormantForm = h("form", "row", {}, dormant.label, h("button", "button", { type: "submit" }, texts.addDormant));
    dormantForm.onsubmit = (event) => {
      event.preventDefault();
      const phone_number = international(dormant.input.value, this.#local.settings.country);
      void attempt(dormantStatus, async () => {
        await this.#local.seed({ users: [{ phone_number, phone_proven_days_ago: days }] });
        return fill(texts.added, { number: phone_number });
      });
    };
    return this.#panel(
      "numbers",
      texts.numbersHint,
      list,
      form,
      status,
      h("h3", "", {}, texts.dormantNumber),
      h("p", "hint", {}, fill(texts.dormantNumberHint, { days: digits(days) })),
      dormantForm,
      dormantStatus,
    );
  }
}

interface Labelled<Input> {
  readonly label: HTMLElement;
  readonly input: Input;
}

function field(text: string, attributes: Readonly<Record<string, string>>): Labelled<HTMLInputElement> {
  const input = h("input", "", attributes);
  return { label: h("label", "", {}, h("span", "", {}, text), input), input };
}

function choice(text: string, options: readonly (readonly [value: string, label: string])[]): Labelled<HTMLSelectElement> {
  const input = h("select", "");
  input.append(...options.map(([value, label]) => new Option(label, value)));
  return { label: h("label", "", {}, h("span", "", {}, text), input), input };
}
