// The pages that are made of the repository's Markdown, in the order of the navigation.

import { exists, read } from "./files.ts";
import { type Html, html } from "./html.ts";
import { type Section, type Token, block, headings, raised, render, sections, withoutHeading, words } from "./markdown.ts";
import { type Page, fileUrl, filesOf, place } from "./site.ts";

interface Guide {
  readonly url: string;
  readonly title: string;
  readonly description: string;
  readonly source: string;
  /** The anchors of the sections that the page has, if it is a part of the document. */
  readonly sections?: readonly string[];
}

interface GuideGroup {
  readonly title: string;
  readonly guides: readonly Guide[];
}

const INTEGRATE = "docs/integrate.md";
const part = (url: string, title: string, description: string, ...anchors: string[]): Guide => ({
  url: `guides/${url}/`,
  title,
  description,
  source: INTEGRATE,
  sections: anchors,
});
const whole = (url: string, title: string, description: string, source: string): Guide => ({
  url: `guides/${url}/`,
  title,
  description,
  source,
});

/** A guide whose document does not exist yet is left out. */
const groups: readonly GuideGroup[] = [
  {
    title: "Start",
    guides: [
      {
        url: "guides/quick-start/",
        title: "Quick start",
        description: "Run the whole system on your machine, and sign in with five curls.",
        source: "README.md",
        sections: ["run-it", "sign-in-with-five-curls"],
      },
      whole("web", "Web", "Sign-in for a web page: one tag, or a typed library.", "clients/web/README.md"),
      whole("android", "Android", "Sign-in for an Android app, in Kotlin.", "clients/android/README.md"),
      whole("ios", "iOS", "Sign-in for an iOS app, in Swift.", "clients/ios/README.md"),
      part("backend", "Backend", "Protect your own routes: the authorizer, or the published keys.", "your-other-routes"),
      whole("testing", "Testing", "Test your own app against Latchkey: inbox, clock, faults.", "docs/testing.md"),
      part("local", "On one machine", "What runs on your machine, and how to steer it.", "test-on-one-machine", "test-numbers"),
    ],
  },
  {
    title: "Guides",
    guides: [
      part("routes", "Routes", "Each route, and the token that it needs.", "", "routes"),
      part("sign-in", "Sign in", "From a number to a signed-in user.", "sign-in"),
      part("autofill", "Fill in the code", "Let the phone or the browser fill in the code.", "fill-in-the-code-automatically"),
      part("tokens", "Tokens and sessions", "What the tokens contain, and how to keep a session.", "tokens"),
      part("errors", "Errors and retries", "What to do for each code, and when to repeat a request.", "errors-and-retries"),
      part("device-keys", "Device keys", "Bind a session to a key of its device (DPoP).", "device-keys"),
      part("numbers", "Number changes", "Verify, change, and take back a number.", "verify-or-change-a-number"),
      part("recovery", "Recovery", "Recycled numbers, second signals, and accounts without a device.", "recycled-numbers"),
      part("notices", "Notices", "What people are told of their accounts.", "notices"),
      part("accounts", "Usernames and deletion", "Usernames, and the end of an account.", "usernames-and-deletion"),
      part("firebase", "Firebase", "Sign in with a code that Firebase sends.", "firebase-phone-sign-in"),
    ],
  },
  {
    title: "Operate",
    guides: [
      whole("operate", "Deploy and watch", "Deploy, monitor and repair.", "docs/operate.md"),
      whole("configure", "Configure", "Every parameter, routes of messages, organizations.", "docs/configure.md"),
      whole("administer", "Administer", "The tool for organizations, users, numbers and keys.", "docs/administer.md"),
      whole("events", "Events", "Let other systems follow what happens.", "docs/events.md"),
      whole("scale", "Scale", "How far it scales, and what is the busiest.", "docs/scale.md"),
    ],
  },
  {
    title: "Background",
    guides: [
      whole("compare", "Comparison", "Latchkey compared with other systems: codes, prices, and what others do better.", "docs/compare.md"),
      whole("decisions", "Decisions", "Why it is built this way.", "docs/decisions.md"),
      whole("security", "Security", "What it protects against, and what it does not.", "SECURITY.md"),
      whole("controls", "Controls", "How it meets the controls of ASVS and NIST.", "docs/controls.md"),
      whole("cold-start", "Cold starts", "What was tried to shorten cold starts.", "docs/cold-start.md"),
      whole("figures", "Figures", "When and how each figure was measured.", "benches/README.md"),
      whole("architecture", "Architecture", "Where things are and what must stay true.", "ARCHITECTURE.md"),
      whole("contributing", "Contributing", "Change the code.", "CONTRIBUTING.md"),
      whole("changes", "Changes", "What changed.", "CHANGELOG.md"),
    ],
  },
];

function tokensOf(guide: Guide, parts: readonly Section[]): Token[] {
  if (!guide.sections) return withoutHeading(parts.flatMap(({ tokens }) => tokens));
  const chosen = guide.sections.map((id) => {
    const found = parts.find((one) => one.id === id);
    if (!found) throw new Error(`${guide.source} has no section #${id}: correct the guides in build/guides.ts`);
    return found;
  });
  const [only] = chosen;
  if (chosen.length === 1 && only) return raised(withoutHeading(only.tokens));
  return withoutHeading(chosen.flatMap(({ tokens }) => tokens));
}

function pageOf(guide: Guide): Page {
  const parts = sections(read(guide.source));
  const tokens = tokensOf(guide, parts);
  const inside = headings(tokens);
  for (const { id, text } of inside) place(guide.source, id, `${guide.url}#${id}`, text);
  // A part's own heading is the page's title.
  for (const id of guide.sections ?? [])
    if (!inside.some((one) => one.id === id)) place(guide.source, id, guide.url, guide.title);
  if (!guide.sections) {
    place(guide.source, "", guide.url, guide.title);
    for (const { id, level } of headings(parts.flatMap((one) => one.tokens)))
      if (level === 1) place(guide.source, id, guide.url);
  }
  const [whole, ...deeper] = words(tokens, guide.title);
  const own = parts.filter(({ id }) => guide.sections?.includes(id)).map(({ title }) => title);
  return {
    ...guide,
    body: (link) => html`<p class="lead">${guide.description}</p>
      ${render(tokens, link)}`,
    headings: inside.filter(({ level }) => level === 2 || level === 3),
    // Also by the names that the document gives to what is a page here.
    found: [{ id: "", title: guide.title, text: [guide.description, ...own, whole?.text].join(" ") }, ...deeper],
  };
}

/** Every section of a document that is split has to be on some page. */
function checkSplit(file: string, but: readonly string[]): void {
  const shown = new Set(
    groups.flatMap((group) => group.guides).flatMap((one) => (one.source === file ? (one.sections ?? []) : [])),
  );
  const lost = sections(read(file)).filter(({ id }) => !shown.has(id) && !but.includes(id));
  if (lost.length > 0)
    throw new Error(`${file}: no page has ${lost.map(({ id }) => `#${id}`).join(", ")}; see build/guides.ts`);
}

export function guides(): { title: string; pages: Page[] }[] {
  checkSplit(INTEGRATE, []);
  place("README.md", "", "");
  place("openapi.yaml", "", "reference/");
  return groups.map(({ title, guides: listed }) => ({
    title,
    pages: listed.filter(({ source }) => exists(source)).map(pageOf),
  }));
}

const languages: Readonly<Record<string, string>> = { mjs: "js", tsx: "ts", yml: "yaml", txt: "" };

/** A file of the repository to read, or the files of a folder. */
export function filePage(path: string): Page {
  const files = filesOf(path);
  const isFile = files.length === 1 && files[0] === path;
  const shown = files.filter((file) => !/(-lock\.json|go\.sum)$/.test(file));
  const code = (file: string): Html => {
    const extension = /\.(\w+)$/.exec(file)?.[1] ?? "";
    return block(read(file), languages[extension] ?? extension, file);
  };
  return {
    url: fileUrl(path),
    title: path,
    description: "A file of the repository.",
    kind: "In the repository",
    layout: "wide",
    body: () =>
      isFile ? code(path) : html`${shown.map((file) => html`<h2 id="${file}"><code>${file}</code></h2>${code(file)}`)}`,
    found: [{ id: "", title: path, text: shown.join(" ") }],
  };
}
