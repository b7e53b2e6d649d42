// The site's pages by their address, and where each document of the repository went.

import { dirname, join, normalize } from "node:path/posix";
import { exists, tracked } from "./files.ts";
import type { Html } from "./html.ts";
import type { Heading, Link } from "./markdown.ts";

/** A part of a page that a search finds. */
export interface Found {
  /** The anchor. Empty for the whole page. */
  readonly id: string;
  readonly title: string;
  readonly text: string;
}

export interface Page {
  /** From the site's root, with a final slash. Empty for the start. */
  readonly url: string;
  readonly title: string;
  /** What the page is for, in a sentence. */
  readonly description: string;
  /** A word above the title. */
  readonly kind?: string;
  readonly body: (link: Link) => Html;
  /** Under the title. */
  readonly summary?: (link: Link) => Html;
  /** Beside the text; on a narrow screen between the title and the text. */
  readonly examples?: () => Html;
  /** What "On this page" lists. */
  readonly headings?: readonly Heading[];
  readonly found: readonly Found[];
  /** The document whose relative links the page has. */
  readonly source?: string;
  /** The columns. By default a guide: text, and beside it what is on the page. */
  readonly layout?: "start" | "wide" | "reference" | "problem";
}

/** Of each document, the address of each of its headings; of the whole under the empty text. */
const places = new Map<string, Map<string, string>>();
/** Files that a page links to and that get a page of their own. */
const wanted = new Set<string>();

/** Of each address, the title that it has on the site. */
const titles = new Map<string, string>();

/** The name of a file, `README.md` included. */
export function place(file: string, anchor: string, url: string, title?: string): void {
  const known = places.get(file) ?? new Map<string, string>();
  known.set(anchor, url);
  places.set(file, known);
  if (title !== undefined) titles.set(url, title);
}

/** Where a link of a page leads, by its title instead of a file's name. */
export const titleOf = (href: string): string | undefined => titles.get(href.replace(/^(\.\.\/)+/, ""));

/** Small files to read and to copy from. Others, such as the template, stay in the repository. */
const isShown = (path: string): boolean => /^(examples|schemas|clients\/\w+\/examples)(\/|$)/.test(path);

export const wantedFiles = (): string[] => [...wanted].sort();
export const fileUrl = (path: string): string => `files/${path}/`;

/** Leads the links of a document, on a page that is `root` away from the site's root. */
export function linksOf(source: string | undefined, root: string): Link {
  return (target) => {
    if (/^(https?:|mailto:)/.test(target)) return target;
    if (target.startsWith("site:")) return root + target.slice("site:".length) || "./";
    if (source === undefined) throw new Error(`a link without a document: ${target}`);
    const [path = "", anchor = ""] = target.split("#");
    const file = path === "" ? source : normalize(join(dirname(source), path)).replace(/\/$/, "");
    const known = places.get(file) ?? places.get(`${file}/README.md`);
    if (known) {
      const url = known.get(anchor);
      if (url === undefined) throw new Error(`${source}: no heading ${target}`);
      return root + url || "./";
    }
    if (!exists(file)) throw new Error(`${source}: no file ${target}`);
    if (!isShown(file)) return undefined;
    wanted.add(file);
    return root + fileUrl(file);
  };
}

/** The files of a folder, or the file itself. */
export const filesOf = (path: string): string[] => tracked(path);

export const rootOf = (url: string): string => "../".repeat(url.split("/").length - 1);
