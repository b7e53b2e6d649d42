// The catalogue of problems, and a page for each.

import { STATUS_CODES } from "node:http";
import { read } from "./files.ts";
import { type Content, type Html, html } from "./html.ts";
import { method } from "./layout.ts";
import { type Link, block, headings, plain, render, sections, withoutHeading, words } from "./markdown.ts";
import { memberList } from "./members.ts";
import { shape } from "./openapi.ts";
import type { Page as Problem, Retry } from "./problems.ts";
import { type Page, place } from "./site.ts";

const GATEWAY = "docs/problems/api-gateway.md";
const CATALOGUE = "docs/problems/README.md";

const urlOf = (code: string): string => `problems/${code}/`;

export const statusPill = (status: number): Html => html`<span class="pill s${Math.floor(status / 100)}">${status}</span>`;

export const retryPill = (retry: Retry): Html => html`<span class="pill ${pills[retry]}">${retry}</span>`;
const pills: Readonly<Record<Retry, string>> = {
  "Retry later": "retry-later",
  "Change the request, then retry": "retry-with-a-change",
  "Do not retry": "retry-no",
};

/** Fields that every problem has. The rest are its own. */
const common = new Set(["type", "title", "status", "detail", "code"]);

function said({ said: all }: Problem): Html {
  return html`<div class="said">
    ${all.map(
      ({ when, english, nepali }) =>
        html`${when !== "" && html`<p class="form">${when}</p>`}
          <dl>
            <dt>English</dt>
            <dd lang="en">${english}</dd>
            <dt lang="ne">नेपाली</dt>
            <dd lang="ne">${nepali}</dd>
          </dl>`,
    )}
  </div>`;
}

function ownFields({ schema }: Problem, link: Link): Content {
  const own = shape(schema).members.filter(({ name }) => !common.has(name));
  if (own.length === 0) return undefined;
  return html`<h2 id="fields">Fields of this problem</h2>
    ${memberList(own, link, "response")}`;
}

function problemPage(problem: Problem): Page {
  const { code, what, app, retry, file, title, operations } = problem;
  const parts = [what, app, retry].map(({ tokens }) => withoutHeading(tokens));
  const [whatTokens = [], appTokens = [], retryTokens = []] = parts;
  place(file, "", urlOf(code));
  for (const { id, level } of headings([...what.tokens, ...app.tokens, ...retry.tokens])) {
    place(file, id, level === 1 ? urlOf(code) : `${urlOf(code)}#${id}`);
  }
  return {
    url: urlOf(code),
    title: code,
    description: `${title}: what happened, what the app does, what to tell the user, and whether to retry.`,
    kind: "Problem",
    layout: "problem",
    source: file,
    summary: () => html`<p class="pills">
      ${statusPill(problem.status)} ${STATUS_CODES[problem.status]} <span class="dot">·</span> ${retryPill(problem.mayRetry)}
    </p>`,
    body: (link) => html`<h2 id="what-happened">What happened</h2>
      ${render(whatTokens, link)}
      <h2 id="what-the-app-does">What the app does</h2>
      ${render(appTokens, link)}
      <h2 id="what-to-tell-the-user">What to tell the user</h2>
      <p>
        <code>detail</code> has these words, in English or in Nepali, as <code>Accept-Language</code> asks. Show them, or your
        own.
      </p>
      ${said(problem)}
      <h2 id="retry">Whether and when to retry</h2>
      ${render(retryTokens, link)} ${ownFields(problem, link)}
      <h2 id="routes">Routes that answer it</h2>
      <ul class="operations">
        ${operations.map(
          (one) =>
            html`<li>
              <a href="${link(`site:reference/${one.slug}/`)}">
                ${method(one.method)} <code>${one.path}</code> <span>${one.summary}</span>
              </a>
            </li>`,
        )}
      </ul>`,
    examples: () => html`<div class="examples">
      <p class="caption">${statusPill(problem.status)} <code>application/problem+json</code></p>
      ${block(JSON.stringify(problem.example, null, 2), "json", "Example document")}
    </div>`,
    found: [
      {
        id: "",
        title: code,
        text: [
          String(problem.status),
          title,
          ...problem.said.flatMap(({ english, nepali }) => [english, nepali]),
          ...parts.flat().flatMap((token) => (token.type === "inline" ? [plain(token)] : [])),
        ].join(" "),
      },
    ],
  };
}

function firstSentence(problem: Problem): string {
  const paragraph = withoutHeading(problem.what.tokens).find(({ type }) => type === "inline");
  const [sentence = ""] = /^.*?[.:](?= |$)/.exec(paragraph ? plain(paragraph) : "") ?? [];
  return sentence.replace(/:$/, ".");
}

function catalogue(problems: readonly Problem[]): Page {
  const tokens = withoutHeading(sections(read(CATALOGUE)).flatMap((one) => one.tokens));
  const statuses = [...new Set(problems.map(({ status }) => status))];
  place(CATALOGUE, "", "problems/");
  return {
    url: "problems/",
    title: "Problems",
    description: "Every code that the API answers, by status.",
    source: CATALOGUE,
    layout: "wide",
    body: (link) => html`${render(tokens, link)}
      <form class="filter" role="search" hidden>
        <label for="filter">Find a code</label>
        <input id="filter" type="search" autocomplete="off" spellcheck="false" placeholder="a code, a status, or words" />
        <p role="status"></p>
      </form>
      ${statuses.map(
        (status) =>
          html`<section class="catalogue">
            <h2 id="status-${status}">${statusPill(status)} ${STATUS_CODES[status]}</h2>
            <ul>
              ${problems
                .filter((one) => one.status === status)
                .map(
                  (one) =>
                    html`<li data-words="${[one.code, status, one.title, ...one.said.map(({ english }) => english)].join(" ").toLowerCase()}">
                      <a href="${link(`site:${urlOf(one.code)}`)}"><code>${one.code}</code></a>
                      <span>${firstSentence(one)}</span> ${retryPill(one.mayRetry)}
                    </li>`,
                )}
            </ul>
          </section>`,
      )}
      <section class="catalogue gateway">
        <h2 id="api-gateway">Not from Latchkey</h2>
        <p>
          What has no <code>code</code> comes from API Gateway: a wrong path or method (404), a throttle (429), a function that
          could not run (500, 503). <a href="${link("site:problems/api-gateway/")}">Answers of API Gateway</a> says what to do.
        </p>
      </section>`,
    found: words(tokens, "Problems"),
  };
}

function gateway(): Page {
  const tokens = withoutHeading(sections(read(GATEWAY)).flatMap((one) => one.tokens));
  place(GATEWAY, "", "problems/api-gateway/");
  return {
    url: "problems/api-gateway/",
    title: "Answers of API Gateway",
    description: "What API Gateway answers itself, and how to tell it from a problem.",
    kind: "Not from Latchkey",
    source: GATEWAY,
    layout: "wide",
    body: (link) => render(tokens, link),
    found: words(tokens, "Answers of API Gateway"),
  };
}

export function problemPages(problems: readonly Problem[]): Page[] {
  return [catalogue(problems), ...problems.map(problemPage), gateway()];
}
