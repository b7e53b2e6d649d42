// What `cargo local` shows for an address under /docs/ that has no page. It is shown at any depth, so its links begin at the root
// of the server.

import { html } from "./html.ts";
import type { Page } from "./site.ts";

export const notFound: Page = {
  url: "404.html",
  title: "There is no such page",
  description: "No page of the documentation has this address.",
  kind: "404",
  layout: "wide",
  body: (link) => html`<p class="lead">No page of the documentation has this address.</p>
    <ul>
      <li>Press <kbd>/</kbd> to search.</li>
      <li><a href="${link("site:")}">Start of the documentation</a></li>
      <li><a href="${link("site:reference/")}">API reference</a>: every route</li>
      <li><a href="${link("site:problems/")}">Problems</a>: every code of an error</li>
    </ul>`,
  found: [],
};
