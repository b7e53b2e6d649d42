// The search: loaded when it is opened first. The index is made here, from the words of all pages.

import type MiniSearch from "minisearch";
import { type Entry, type Row, find, indexOf, marksOf } from "./find.ts";

const MOST = 12;
const areas: Readonly<Record<string, string>> = {
  files: "File",
  guides: "Guide",
  problems: "Problem",
  reference: "Reference",
};
const base = new URL("./", import.meta.url);

let loaded: Promise<MiniSearch<Entry>> | undefined;

async function load(): Promise<MiniSearch<Entry>> {
  const response = await fetch(new URL("search.json", base));
  if (!response.ok) throw new Error(`search.json: status ${response.status}`);
  return indexOf((await response.json()) as Row[]);
}

/** A few words around the first match. */
function excerpt(text: string, words: readonly string[]): string {
  const lower = text.toLowerCase();
  const at = Math.max(0, Math.min(...words.map((word) => lower.indexOf(word)).filter((place) => place >= 0), text.length));
  const from = at === text.length ? 0 : Math.max(0, text.lastIndexOf(" ", Math.max(0, at - 50)));
  const cut = text.slice(from, from + 150);
  return `${from > 0 ? "… " : ""}${cut.trim()}${from + 150 < text.length ? " …" : ""}`;
}

/** The text, with the words that were found marked. */
function marked(text: string, words: readonly string[]): (string | HTMLElement)[] {
  const escaped = words.map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  if (escaped.length === 0) return [text];
  // Whole words, because the words that were found are stems.
  return text.split(new RegExp(`(?<![\\p{L}\\p{M}])((?:${escaped.join("|")})[\\p{L}\\p{M}]*)`, "giu")).map((part, index) => {
    if (index % 2 === 0) return part;
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}

function item(entry: Entry, words: readonly string[]): HTMLLIElement {
  const link = document.createElement("a");
  link.href = new URL(entry.url, base).href;
  const title = document.createElement("strong");
  title.append(...marked(entry.title, words));
  const where = document.createElement("span");
  where.className = "where";
  const area = areas[entry.url.split("/")[0] ?? ""] ?? "Start";
  where.textContent = entry.page === entry.title ? area : `${area} / ${entry.page}`;
  const text = document.createElement("span");
  text.append(...marked(excerpt(entry.text, words), words));
  link.append(title, " ", where, text);
  const made = document.createElement("li");
  made.append(link);
  return made;
}

export async function open(dialog: HTMLDialogElement): Promise<void> {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("ol");
  const status = dialog.querySelector("p");
  if (!input || !list || !status) return;
  input.focus();
  input.select();
  if (loaded) return;
  loaded = load();
  let index: MiniSearch<Entry>;
  try {
    index = await loaded;
  } catch {
    loaded = undefined;
    status.textContent = "The search could not be loaded.";
    return;
  }
  const hint = status.textContent;
  const count = (all: number): string => (all > MOST ? `The best ${MOST} of ${all}` : `${all} found`);
  const show = (): void => {
    const query = input.value.trim();
    const words = marksOf(query);
    const found = find(index, query);
    list.replaceChildren(...found.slice(0, MOST).map((entry) => item(entry, words)));
    status.textContent = query ? (found.length > 0 ? count(found.length) : "Nothing was found.") : hint;
  };
  const links = (): HTMLAnchorElement[] => [...list.querySelectorAll("a")];
  input.addEventListener("input", show);
  dialog.addEventListener("keydown", (event) => {
    const all = links();
    const at = all.indexOf(document.activeElement as HTMLAnchorElement);
    if (event.key === "Enter" && document.activeElement === input) {
      event.preventDefault();
      all[0]?.click();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const next = event.key === "ArrowDown" ? at + 1 : at - 1;
    (next < 0 ? input : (all[next] ?? all.at(-1) ?? input)).focus();
  });
  // A link to a place on this page leaves the dialog open otherwise.
  list.addEventListener("click", () => {
    dialog.close();
  });
  show();
}
