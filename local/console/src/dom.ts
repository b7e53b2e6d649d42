// Elements without markup from texts.

import { Problem } from "../../../clients/web/src/index.ts";

export type Child = Node | string | false | undefined;

export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = "",
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

export function button(className: string, label: string, act: () => unknown): HTMLButtonElement {
  const element = h("button", className, { type: "button" }, label);
  element.onclick = () => {
    act();
  };
  return element;
}

/** A drawing of 20 by 20, in the colour of its text. */
export function icon(...paths: readonly string[]): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Puts values into the places of a text that are in braces. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** Where a seed is wrong, which the form says better. */
const POINTER = /^#\/\S*: (\w+: )?/;

/** Where the outcome of an action is shown. */
export function outcome(): HTMLElement {
  return h("p", "outcome", { role: "status" });
}

/** Shows what became of an action where one looks for it. If it returns words, these. */
export async function attempt(place: HTMLElement, act: () => Promise<unknown>): Promise<void> {
  place.classList.remove("failed");
  place.textContent = "";
  try {
    const words = await act();
    if (typeof words === "string") place.textContent = words;
  } catch (error) {
    place.classList.add("failed");
    place.textContent =
      error instanceof Problem ? (error.body.detail ?? error.code) : (error as Error).message.replace(POINTER, "");
  }
}

/** A browser gives pages a clipboard on HTTPS and on this machine only. */
export const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;

/** A text that nobody else has. `crypto.randomUUID` needs HTTPS or this machine. */
export function unique(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
