// The tour: eight scenes, each played with real calls.

import { callRow } from "./calls.ts";
import { button, fill, h, unique } from "./dom.ts";
import type { Local } from "./local.ts";
import { MARK, type SceneName, type Step, sceneNames, scenes, sender } from "./scenes.ts";
import { digits, words } from "./words.ts";

export class Tour {
  readonly element: HTMLElement;
  readonly #local: Local;
  readonly #links = new Map<SceneName, HTMLElement>();
  readonly #stage = h("article", "stage");
  #shown: SceneName | undefined;
  #playing = new AbortController();

  constructor(local: Local) {
    this.#local = local;
    const texts = words();
    for (const [index, name] of sceneNames.entries()) {
      this.#links.set(
        name,
        h(
          "a",
          "",
          { href: `#/tour/${name}` },
          h("span", "number", { "aria-hidden": "true" }, digits(index + 1)),
          h("span", "", {}, texts.scenes[name]?.title ?? name),
        ),
      );
    }
    this.element = h(
      "section",
      "tour",
      { "aria-labelledby": "tour-title" },
      h(
        "nav",
        "",
        { "aria-labelledby": "tour-title" },
        h("h2", "", { id: "tour-title" }, texts.tourTitle),
        h("p", "hint", {}, texts.tourHint),
        h("ol", "", {}, ...[...this.#links.values()].map((link) => h("li", "", {}, link))),
      ),
      this.#stage,
    );
  }

  show(name: SceneName): void {
    for (const [other, link] of this.#links) {
      if (other === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (this.#shown === name) return;
    this.leave();
    this.#shown = name;
    const texts = words();
    const scene = texts.scenes[name];
    const steps = h("ol", "steps", { "aria-live": "polite" });
    const end = h("div", "end");
    const play = button("button", texts.play, () => void this.#play(name, steps, end, play));
    this.#stage.replaceChildren(
      h("p", "eyebrow", {}, `${digits(sceneNames.indexOf(name) + 1)} / ${digits(sceneNames.length)}`),
      h("h3", "", { tabindex: "-1" }, scene?.title ?? name),
      h("p", "summary", {}, scene?.summary ?? ""),
      h("div", "actions", {}, play),
      steps,
      end,
    );
  }

  /** Ends a scene that is being played: it must not move the clock behind somebody's back. */
  leave(): void {
    this.#playing.abort();
    this.#shown = undefined;
  }

  async #play(name: SceneName, steps: HTMLElement, end: HTMLElement, play: HTMLButtonElement): Promise<void> {
    if (play.ariaDisabled === "true") return;
    const texts = words();
    const scene = texts.scenes[name];
    play.ariaDisabled = "true";
    play.textContent = texts.playing;
    steps.replaceChildren();
    end.replaceChildren();
    const { signal } = (this.#playing = new AbortController());
    const mark = unique();
    let values: Step["values"] = {};
    let seen = this.#local.calls[0]?.id ?? 0;
    let index = 0;
    try {
      for await (const step of scenes[name](this.#local, sender(mark, signal))) {
        if (signal.aborted) return;
        values = { ...values, ...step.values };
        await this.#local.settled();
        const calls = this.#local.calls.filter(({ id, request }) => id > seen && request.headers[MARK] === mark).reverse();
        seen = this.#local.calls[0]?.id ?? seen;
        steps.append(
          h(
            "li",
            `step ${step.outcome}`,
            {},
            h("span", `actor ${step.actor}`, {}, texts.actors[step.actor]),
            h("p", "", {}, fill(scene?.steps[index] ?? "", written(values))),
            h("span", "result", {}, texts[step.outcome]),
            calls.length > 0 && h("ol", "calls", {}, ...calls.map(callRow)),
          ),
        );
        index += 1;
        await pause(450);
      }
      const next = sceneNames[sceneNames.indexOf(name) + 1];
      end.replaceChildren(
        h("p", "moral", {}, fill(scene?.moral ?? "", written(values))),
        next ? h("a", "button quiet", { href: `#/tour/${next}` }, texts.next) : "",
      );
    } catch (error) {
      if (signal.aborted) return;
      steps.append(
        h("li", "step unexpected", { role: "alert" }, h("p", "", {}, `${texts.unexpected} ${error instanceof Error ? error.message : String(error)}`)),
      );
    } finally {
      play.ariaDisabled = "false";
      play.textContent = texts.again;
    }
  }
}

/** Amounts in the digits of the language. Codes and phone numbers are as they are typed. */
function written(values: Step["values"]): Record<string, string> {
  const entries = Object.entries(values ?? {});
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "number" ? digits(value) : value]));
}

function pause(milliseconds: number): Promise<void> {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return new Promise((done) => setTimeout(done, isCalm ? Math.min(milliseconds, 80) : milliseconds));
}
