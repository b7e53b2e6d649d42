// The start page: what one wants to do, the shortest way to a signed-in user, the API on one page.

import { read } from "./files.ts";
import { type Html, html } from "./html.ts";
import { type Link, block, sections } from "./markdown.ts";
import { overview } from "./reference.ts";
import type { Page } from "./site.ts";

interface Card {
  readonly title: string;
  readonly text: string;
  /** The first one that exists. */
  readonly urls: readonly string[];
}

const cards: readonly Card[] = [
  { title: "Web", text: "One tag signs people in. Or a typed library for your own interface.", urls: ["guides/web/"] },
  {
    title: "Android",
    text: "A session that keeps its tokens, a key in the Keystore, codes that fill themselves in.",
    urls: ["guides/android/", "guides/device-keys/#make-the-key"],
  },
  {
    title: "iOS",
    text: "A session that keeps its tokens, a key in the Secure Enclave, codes above the keyboard.",
    urls: ["guides/ios/", "guides/device-keys/#make-the-key"],
  },
  {
    title: "Backend",
    text: "Protect your own routes: by the authorizer, or with the published keys.",
    urls: ["guides/backend/"],
  },
  {
    title: "Testing",
    text: "Read the codes, move the clock, let a gateway fail: all on your machine.",
    urls: ["guides/testing/", "guides/local/"],
  },
  {
    title: "Operate",
    text: "Deploy into your AWS account, watch it, and know what to do at night.",
    urls: ["guides/operate/"],
  },
];

/** The code of the first block after a heading of the README. */
function codeOf(anchor: string): string {
  const section = sections(read("README.md")).find(({ id }) => id === anchor);
  const fence = section?.tokens.find(({ type }) => type === "fence");
  if (!fence) throw new Error(`README.md has no code at #${anchor}`);
  return fence.content;
}

function body(link: Link, urls: ReadonlySet<string>): Html {
  const card = ({ title, text, urls: wanted }: Card): Html => {
    const url = wanted.find((one) => urls.has(one.replace(/#.*/, "")));
    if (url === undefined) throw new Error(`no page for the card ${title}`);
    return html`<li>
      <a href="${link(`site:${url}`)}"><strong>${title}</strong> <span>${text}</span></a>
    </li>`;
  };
  return html`<div class="hero">
      <h1>Phone-number sign-in, in your own AWS account</h1>
      <p class="lead">
        A person types a number, gets a code by SMS and types it in. Your app gets tokens. Your routes accept them.
      </p>
      <p class="actions">
        <a class="button" href="${link("site:guides/quick-start/")}">Quick start</a>
        <a class="button plain" href="${link("site:reference/")}">API reference</a>
        <a class="button plain" href="${link("site:problems/")}">Find a problem</a>
      </p>
    </div>
    <h2 id="what">What do you want to do?</h2>
    <ul class="cards">
      ${cards.map(card)}
    </ul>
    <h2 id="quick-start">Quick start</h2>
    <div class="steps">
      <div>
        <p>The whole system on your machine. It needs no Docker and no AWS account.</p>
        ${block(codeOf("run-it"), "sh", "Run it")}
        <p>
          Then paste this into a second terminal. It sends a code, reads it from the local inbox, and signs in.
          <a href="${link("site:guides/quick-start/")}">What each step does</a>.
        </p>
      </div>
      ${block(codeOf("sign-in-with-five-curls"), "sh", "Sign in with five curls")}
    </div>
    <h2 id="api">The API on one page</h2>
    ${overview(link)}`;
}

export const start = (urls: ReadonlySet<string>): Page => ({
  url: "",
  title: "Documentation",
  description: "Phone-number sign-in that an app team deploys into its own AWS account.",
  layout: "start",
  body: (link) => body(link, urls),
  found: [{ id: "", title: "Documentation", text: "start overview" }],
});
