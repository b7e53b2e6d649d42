// What all pages have: the header, the navigation, three columns.

import { type Content, Html, html } from "./html.ts";
import type { Heading } from "./markdown.ts";
import { type Page, linksOf, rootOf } from "./site.ts";

export interface Group {
  readonly title: string;
  readonly entries: readonly Entry[];
  /** Then only its own pages list all of it. */
  readonly isLong?: boolean;
}

export interface Entry {
  readonly title: string;
  readonly url: string;
  /** An HTTP method after the title. */
  readonly method?: string;
  /** What it belongs to. A name is shown before the first entry that has it. */
  readonly part?: string;
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const mark = new Html(
  '<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path fill="none" stroke="currentColor" ' +
    'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" d="M9.5 14.5 20 4m-4 4 3 3m-6 0 2 2"/>' +
    '<circle cx="7" cy="17" r="3.6" fill="none" stroke="currentColor" stroke-width="2"/></svg>',
);

const icon = (shapes: string, name = ""): Html =>
  new Html(
    `<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5" ` +
      `stroke-linecap="round" stroke-linejoin="round"${name && ` class="${name}"`}>${shapes}</svg>`,
  );
const glass = icon('<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>');
/** The colours of the system, light, dark. The style shows the one that is chosen. */
const lights = [
  icon('<circle cx="8" cy="8" r="5.5"/><path fill="currentColor" d="M8 2.5a5.5 5.5 0 0 1 0 11z"/>', "system"),
  icon(
    '<circle cx="8" cy="8" r="3"/><path d="M8 1v1m0 12v1m7-7h-1M2 8H1m12-5-.7.7M3.7 12.3 3 13m0-10 .7.7m8.6 8.6.7.7"/>',
    "light",
  ),
  icon('<path d="M13.5 9.7A5.8 5.8 0 0 1 6.3 2.5a5.8 5.8 0 1 0 7.2 7.2z"/>', "dark"),
];

export const method = (name: string): Html => html`<span class="method ${name.toLowerCase()}">${name}</span>`;

function navigation(groups: readonly Group[], page: Page, root: string): Html {
  const entry = ({ title, url, method: verb }: Entry): Html =>
    html`<li>
      <a href="${root + url || "./"}" ${url === page.url && new Html('aria-current="page"')}
        >${title}${verb !== undefined && method(verb)}</a
      >
    </li>`;
  const group = ({ title, entries: all, isLong }: Group): Html => {
    const isHere = all.some(({ url }) => url === page.url);
    const entries = isLong && !isHere ? all.slice(0, 1) : all;
    const isOpen = isHere || page.url === "";
    const parts = [...new Set(entries.map(({ part }) => part))];
    return html`<details ${isOpen && new Html("open")}>
      <summary>${title}</summary>
      ${parts.map(
        (part) =>
          html`${part !== undefined && html`<p>${part}</p>`}
            <ul>
              ${entries.filter((one) => one.part === part).map(entry)}
            </ul>`,
      )}
    </details>`;
  };
  return html`<nav id="nav" aria-label="Pages">${groups.map(group)}</nav>`;
}

function onThisPage(headings: readonly Heading[]): Content {
  if (headings.length < 2) return undefined;
  const entry = ({ level, id, text }: Heading): Html =>
    html`<li class="${level > 2 && "deep"}"><a href="#${id}">${text}</a></li>`;
  return html`<nav class="contents" aria-labelledby="contents">
    <p id="contents">On this page</p>
    <ul>
      ${headings.map(entry)}
    </ul>
  </nav>`;
}

/** The neighbours of a page in the navigation. */
function turn(groups: readonly Group[], page: Page, root: string): Content {
  const entries = groups.flatMap((group) => group.entries);
  const at = entries.findIndex(({ url }) => url === page.url);
  if (at < 1) return undefined;
  const link = (entry: Entry | undefined, name: string, way: string): Content =>
    entry && html`<a class="${way}" href="${root + entry.url || "./"}"><span>${name}</span> ${entry.title}</a>`;
  return html`<nav class="turn" aria-label="Neighbours">
    ${link(entries[at - 1], "Before", "before")}${link(entries[at + 1], "Next", "next")}
  </nav>`;
}

/** `root` leads to the site's root. */
export function document(page: Page, groups: readonly Group[], root = rootOf(page.url)): string {
  const link = linksOf(page.source, root);
  const contents = onThisPage(page.headings ?? []);
  const opening = html`${page.kind !== undefined && html`<p class="kind">${page.kind}</p>`}
  ${page.url !== "" && html`<h1>${page.title}</h1>`} ${page.summary?.(link)}`;
  const content = page.examples
    ? html`<div class="opening">${opening}</div>
        <section class="beside" aria-label="Examples">${page.examples()}</section>
        <div class="text">${page.body(link)}</div>`
    : html`${opening} ${page.body(link)}`;
  const title = page.url === "" ? "Latchkey documentation" : `${page.title} · Latchkey`;
  const layout = page.layout ?? "guide";
  const text = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${POLICY}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <meta name="description" content="${page.description}" />
        <link rel="icon" href="${root}icon.svg" />
        <link rel="stylesheet" href="${root}docs.css" />
        <script src="${root}early.js"></script>
        <script type="module" src="${root}docs.js"></script>
      </head>
      <body class="${layout}">
        <a class="skip" href="#main">Skip to the text</a>
        <header>
          <a class="brand" href="${root || "./"}">${mark}<span>Latchkey</span></a>
          <nav class="areas" aria-label="Areas">
            <a href="${root}guides/quick-start/">Quick start</a>
            <a href="${root}reference/">Reference</a>
            <a href="${root}problems/">Problems</a>
            <a class="console" hidden>Console</a>
          </nav>
          <button type="button" id="find" aria-label="Search" aria-keyshortcuts="/" hidden>${glass}<span>Search</span><kbd>/</kbd></button>
          <button type="button" id="theme" hidden>${lights}</button>
          <a class="menu" href="#nav">Menu</a>
        </header>
        ${navigation(groups, page, root)}
        <main id="main" tabindex="-1">
          ${content}
        </main>
        ${contents && html`<aside aria-label="Contents">${contents}</aside>`}
        ${turn(groups, page, root)}
        <dialog id="search" aria-label="Search" closedby="any">
          <form method="dialog">
            <input
              type="search"
              aria-label="Search the documentation"
              placeholder="Search guides, routes and problems"
              autocomplete="off"
              spellcheck="false"
            /><button>Close</button>
          </form>
          <p role="status">A code, a route, a field, or words.</p>
          <ol></ol>
          <p class="keys">
            <span><kbd>↑</kbd> <kbd>↓</kbd> choose</span> <span><kbd>↵</kbd> open</span> <span><kbd>esc</kbd> close</span>
          </p>
        </dialog>
      </body>
    </html>`.text;
  return outdent(text);
}

/** Without the indentation of the templates, which would be a third of the bytes. Code keeps its own. */
function outdent(text: string): string {
  return text
    .split(/(<pre[\s\S]*?<\/pre>)/)
    .map((part, index) => (index % 2 ? part : part.replaceAll(/\s*\n\s*/g, "\n")))
    .join("");
}
