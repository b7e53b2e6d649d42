// Markdown as GitHub reads it, with headings that have GitHub's anchors and code that is coloured here, not in the browser.

import GithubSlugger from "github-slugger";
import hljs from "highlight.js/lib/common";
import MarkdownIt, { type Token } from "markdown-it";
import { Html, escape } from "./html.ts";
import { titleOf } from "./site.ts";

export type { Token };

export interface Heading {
  readonly level: number;
  readonly id: string;
  readonly text: string;
}

/** A part of a document: a heading of the second level with what follows, or what comes before the first one. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly tokens: readonly Token[];
}

/** Where a link leads, or `undefined` if it leads to a file that is in the repository only. */
export type Link = (target: string) => string | undefined;

const markdown = new MarkdownIt({ html: false, linkify: false, highlight: colour });

const names: Readonly<Record<string, string>> = { sh: "bash", html: "xml", yaml: "yaml", kotlin: "kotlin" };

/** Code as markup with classes, because the site's policy allows no inline styles. */
export function colour(code: string, language: string): string {
  const name = names[language] ?? language;
  // `local` is a word of bash, but not after cargo.
  if (name === "bash") return hljs.highlight(code, { language: name }).value.replaceAll(/(cargo )<[^>]*>local<\/span>/g, "$1local");
  return hljs.getLanguage(name) ? hljs.highlight(code, { language: name }).value : escape(code);
}

export const plain = (inline: Token): string =>
  (inline.children ?? [])
    .map((child) => (child.type === "softbreak" ? " " : child.content))
    .join("")
    .trim();

/** Parses a document and gives each heading its anchor. */
export function sections(document: string): Section[] {
  const slugger = new GithubSlugger();
  const tokens = markdown.parse(document, {});
  const parts: { id: string; title: string; tokens: Token[] }[] = [{ id: "", title: "", tokens: [] }];
  tokens.forEach((token, index) => {
    if (token.type === "heading_open") {
      const inline = tokens[index + 1];
      if (!inline) return;
      const id = slugger.slug(plain(inline));
      token.attrSet("id", id);
      if (token.tag === "h2") parts.push({ id, title: plain(inline), tokens: [] });
    }
    parts.at(-1)?.tokens.push(token);
  });
  return parts;
}

export function headings(tokens: readonly Token[]): Heading[] {
  return tokens.flatMap((token, index) => {
    const inline = tokens[index + 1];
    if (token.type !== "heading_open" || !inline) return [];
    return [{ level: Number(token.tag.slice(1)), id: String(token.attrGet("id") ?? ""), text: plain(inline) }];
  });
}

/** The tokens without their first heading, which a page shows itself. */
export function withoutHeading(tokens: readonly Token[]): Token[] {
  return tokens[0]?.type === "heading_open" ? tokens.slice(3) : [...tokens];
}

const copyOf = (token: Token): Token => Object.assign(Object.create(Object.getPrototypeOf(token) as object) as Token, token);

/** Each heading becomes one of a level above. */
export function raised(tokens: readonly Token[]): Token[] {
  return tokens.map((token) => {
    if (!token.type.startsWith("heading_")) return token;
    const copy = copyOf(token);
    copy.tag = `h${Number(token.tag.slice(1)) - 1}`;
    return copy;
  });
}

/** What a search finds: the words of each heading's section. */
export function words(tokens: readonly Token[], title: string, id = ""): { id: string; title: string; text: string }[] {
  const parts = [{ id, title, text: "" }];
  tokens.forEach((token, index) => {
    if (token.type === "heading_open") {
      const inline = tokens[index + 1];
      parts.push({ id: String(token.attrGet("id") ?? ""), title: inline ? plain(inline) : "", text: "" });
    }
    const part = parts.at(-1);
    if (!part) return;
    const isHeading = tokens[index - 1]?.type === "heading_open";
    if (token.type === "inline" && !isHeading) part.text += `${plain(token)} `;
    if (token.type === "fence") part.text += `${token.content} `;
  });
  return parts.map((part) => ({ ...part, text: part.text.replaceAll(/\s+/g, " ").trim() }));
}

const renderer = markdown.renderer;

renderer.rules["heading_open"] = (tokens, index) => {
  const token = tokens[index];
  return `<${token?.tag ?? "h2"} id="${escape(String(token?.attrGet("id") ?? ""))}">`;
};
renderer.rules["heading_close"] = (tokens, index) => {
  const { tag = "h2" } = tokens[index] ?? {};
  const opened = tokens.slice(0, index).findLast((token) => token.type === "heading_open" && token.tag === tag);
  const id = escape(String(opened?.attrGet("id") ?? ""));
  return ` <a class="anchor" href="#${id}" aria-label="Link to this section">#</a></${tag}>\n`;
};
// A wide table scrolls by itself, also by the keyboard.
renderer.rules["table_open"] = () => '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n';
renderer.rules["table_close"] = () => "</table></div>\n";
renderer.rules["fence"] = (tokens, index) => {
  const { content = "", info = "" } = tokens[index] ?? {};
  return block(content, info.trim()).text;
};

/** A block of code with a button that copies it. The script shows the button. */
export function block(code: string, language: string, label = "Code"): Html {
  const coloured = colour(code.replace(/\n$/, ""), language);
  return new Html(
    `<div class="code"><button type="button" class="copy" hidden>Copy</button>` +
      `<pre tabindex="0" role="group" aria-label="${escape(label)}"><code data-language="${escape(language)}">` +
      `${coloured}</code></pre></div>\n`,
  );
}

/** The codes of problems, each of which becomes a link to its page wherever a text names it. */
const codes = new Set<string>();
export function linkCodes(all: Iterable<string>): void {
  for (const code of all) codes.add(code);
}

function withCodes(children: readonly Token[], link: Link): Token[] {
  let isLink = false;
  return children.flatMap((child) => {
    if (child.type === "link_open") isLink = true;
    if (child.type === "link_close") isLink = false;
    if (child.type !== "code_inline" || isLink || !codes.has(child.content)) return [child];
    const [open, , close] =
      markdown.parseInline(`[c](${link(`site:problems/${child.content}/`) ?? ""})`, {})[0]?.children ?? [];
    return open && close ? [open, child, close] : [child];
  });
}

/** Renders tokens, with each link led to where the site has what it names. */
export function render(tokens: readonly Token[], link: Link): Html {
  const turn = (token: Token): void => {
    if (token.type === "inline") {
      const absent: Token[] = [];
      for (const child of token.children ?? []) {
        if (child.type === "link_open") {
          const target = String(child.attrGet("href") ?? "");
          const led = link(decodeURI(target));
          if (led === undefined) absent.push(child);
          else child.attrSet("href", led);
          const shown = token.children?.[token.children.indexOf(child) + 1];
          if (led !== undefined && shown && /^[\w./-]+\.md$/.test(shown.content)) shown.content = titleOf(led) ?? shown.content;
        }
      }
      // A file without a page stays a name: there is nothing to open.
      for (const open of absent) {
        const children = token.children ?? [];
        const from = children.indexOf(open);
        const to = children.findIndex((child, index) => index > from && child.type === "link_close");
        for (const at of [from, to]) {
          const child = children[at];
          if (!child) continue;
          child.type = at === from ? "span_open" : "span_close";
          child.tag = "span";
          child.attrs =
            at === from
              ? [
                  ["class", "file"],
                  ["title", decodeURI(String(open.attrGet("href") ?? ""))],
                ]
              : null;
        }
      }
    }
  };
  tokens.forEach(turn);
  const linked = tokens.map((token, index) => {
    const isHeading = tokens[index - 1]?.type === "heading_open";
    if (token.type !== "inline" || isHeading) return token;
    const copy = copyOf(token);
    copy.children = withCodes(token.children ?? [], link);
    return copy;
  });
  return new Html(renderer.render(linked, markdown.options, {}));
}

/** A text of a few paragraphs, such as a description of openapi.yaml. */
export function text(source: string, link: Link): Html {
  return render(markdown.parse(source, {}), link);
}
