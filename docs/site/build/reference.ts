// The pages of the reference: one for each operation, with an example in each language beside it.

import { STATUS_CODES } from "node:http";
import { type Content, Html, html } from "./html.ts";
import { type Entry, type Group, method } from "./layout.ts";
import { type Heading, type Link, block, text } from "./markdown.ts";
import { limitsOf, memberList, typeOf } from "./members.ts";
import {
  type Media,
  type Member,
  type Operation,
  type Parameter,
  type Response,
  type Schema,
  codesOf,
  exampleOf,
  follow,
  info,
  operations,
  problems,
  shape,
  tags,
} from "./openapi.ts";
import type { Page as ProblemPage } from "./problems.ts";
import { retryPill, statusPill } from "./problem-pages.ts";
import type { Page } from "./site.ts";
import { shown, snippet } from "./snippets.ts";

export const urlOf = ({ slug }: Operation): string => `reference/${slug}/`;

function schemaView(schema: Schema, link: Link, when: "request" | "response"): Html {
  const { members, forms } = shape(schema);
  const named = (form: readonly Member[]): Content => {
    const names = form.filter(({ isRequired }) => isRequired).map(({ name }) => name);
    const [head, ...rest] = names.length > 0 ? names : form.map(({ name }) => name).slice(0, 1);
    return html`<code>${head}</code>${rest.map((name) => html` and <code>${name}</code>`)}`;
  };
  const { description } = follow(schema);
  return html`${description !== undefined && text(description, link)}
  ${forms.map(
    (form, index) =>
      html`<p class="form">${index > 0 ? "Or" : "Either"} with ${named(form)}:</p>
        ${memberList(form, link, when)}`,
  )}
  ${forms.length > 0 && members.length > 0 && html`<p class="form">In each case:</p>`}
  ${memberList(members, link, when)}`;
}

function parameterItem(parameter: Parameter, link: Link): Html {
  const schema = follow(parameter.schema);
  const limits = limitsOf(schema);
  return html`<li>
    <p class="member">
      <code>${parameter.name}</code>
      <span class="type">${parameter.in === "header" ? "header" : "in the path"}, ${typeOf(schema)}</span>
      ${parameter.required && html`<span class="required">required</span>`}
    </p>
    ${parameter.description !== undefined && text(parameter.description, link)}
    ${limits.length > 0 && html`<p class="limits">${limits.map((one, index) => [index > 0 && "; ", one])}</p>`}
  </li>`;
}

function tokenOf({ security, operationId }: Operation): Html {
  if (operationId === "refreshSession") return html`The refresh token, in the body`;
  if (!security) return html`None`;
  const isOptional = security.some((one) => Object.keys(one).length === 0);
  return isOptional ? html`None, or an access token` : html`Access token, as <code>Authorization</code>`;
}

interface Answered {
  readonly status: string;
  readonly response: Response;
}

const answers = (operation: Operation): Answered[] =>
  Object.entries(operation.responses).map(([status, response]) => ({ status, response }));

const succeeds = ({ status }: Answered): boolean => status.startsWith("2");
const jsonOf = (response: Response): Media | undefined => response.content?.["application/json"];

function headersOf(response: Response, link: Link): Content {
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) => [name, follow(header)] as const);
  if (headers.length === 0) return undefined;
  return html`<p class="form">Headers:</p>
    <ul class="members">
      ${headers.map(
        ([name, { description }]) =>
          html`<li>
            <p class="member"><code>${name}</code></p>
            ${description !== undefined && text(description, link)}
          </li>`,
      )}
    </ul>`;
}

function problemRows(operation: Operation, pages: readonly ProblemPage[], link: Link): Content {
  const refused = answers(operation).filter((one) => !succeeds(one));
  const row = (code: string): Content => {
    const page = pages.find((one) => one.code === code);
    if (!page) return undefined;
    return html`<li>
      <a href="${link(`site:problems/${code}/`)}"><code>${code}</code></a> ${retryPill(page.mayRetry)}
      <span>${page.said[0]?.english}</span>
    </li>`;
  };
  const known = new Set(problems.map(({ code }) => code));
  const isKnown = (code: string): boolean => known.has(code);
  const byGateway = refused.filter(({ response }) => jsonOf(response) !== undefined);
  return html`<h2 id="problems">Problems</h2>
    <p>
      Branch on <code>code</code>. Each has a page that says what happened and what the app does. The words are those of
      <code>detail</code>.
    </p>
    ${refused
      .filter(({ response }) => codesOf(response).some(isKnown))
      .map(
        ({ status, response }) =>
          html`<h3 id="status-${status}">${statusPill(Number(status))} ${STATUS_CODES[status]}</h3>
          <div class="when">${text(response.description, link)}</div>
          <ul class="refusals">
            ${codesOf(response).filter(isKnown).map(row)}
          </ul>`,
      )}
    ${
      byGateway.length > 0 &&
      html`<p class="gateway">
        <strong>Not from Latchkey:</strong> API Gateway itself may answer
        ${byGateway.map(({ status, response }, index) => {
          const { message } = (jsonOf(response)?.schema && follow(jsonOf(response)?.schema ?? {}).properties) ?? {};
          return [index > 0 && " or ", html`${status} <code>{"message":"${String(message?.const)}"}</code>`];
        })},
        without a <code>code</code>. See
        <a href="${link("site:problems/api-gateway/")}">Answers of API Gateway</a>.
      </p>`
    }`;
}

function body(operation: Operation, pages: readonly ProblemPage[], link: Link): Html {
  const media = operation.requestBody?.content["application/json"];
  const parameters = operation.parameters ?? [];
  return html`${text(operation.description, link)}
    <p class="token"><span>Token</span> ${tokenOf(operation)}</p>
    ${(media !== undefined || parameters.length > 0) && html`<h2 id="request">Request</h2>`}
    ${
      parameters.length > 0 &&
      html`<h3 id="parameters">Headers and path</h3>
        <ul class="members">
          ${parameters.map((one) => parameterItem(one, link))}
        </ul>`
    }
    ${
      operation.requestBody &&
      media &&
      html`<h3 id="body">
          Body <span class="type">JSON${operation.requestBody.required ? "" : ", may be left out"}</span>
        </h3>
        ${schemaView(media.schema, link, "request")}`
    }
    <h2 id="response">Response</h2>
    ${answers(operation)
      .filter(succeeds)
      .map(({ status, response }) => {
        const json = jsonOf(response);
        return html`<h3 id="status-${status}">${statusPill(Number(status))} ${STATUS_CODES[status]}</h3>
          ${text(response.description, link)} ${json && schemaView(json.schema, link, "response")}
          ${headersOf(response, link)}`;
      })}
    ${problemRows(operation, pages, link)}`;
}

function examples(operation: Operation): Html {
  const request = operation.requestBody?.content["application/json"];
  const bodies = Object.entries(request?.examples ?? {});
  const succeeded = answers(operation).filter(succeeds);
  return html`<div class="examples">
    <div class="languages" role="group" aria-label="Language" hidden>
      ${shown.map(({ id, name }) => html`<button type="button" data-language="${id}" aria-pressed="false">${name}</button>`)}
    </div>
    ${shown.map(
      (language) =>
        html`<section class="example" data-language="${language.id}" aria-label="${language.name}">
          <p class="caption">${language.name}</p>
          ${block(snippet(language, operation), language.syntax, `Example in ${language.name}`)}
        </section>`,
    )}
    ${succeeded.map(({ status, response }) => {
      const json = jsonOf(response);
      const example = json && exampleOf(json);
      return html`<p class="caption">${statusPill(Number(status))} ${example === undefined ? "no body" : "response"}</p>
        ${example !== undefined && block(JSON.stringify(example, null, 2), "json", `Response ${status}`)}`;
    })}
    ${
      bodies.length > 1 &&
      html`<details>
        <summary>Other bodies to send</summary>
        ${bodies.map(([name, one]) => {
          const { summary, value } = follow(one);
          return html`<p class="caption">${summary ?? name.replaceAll("_", " ")}</p>
            ${block(JSON.stringify(value, null, 2), "json", `Body: ${name}`)}`;
        })}
      </details>`
    }
  </div>`;
}

const textOf = (schema: Schema): string => {
  const { members, forms } = shape(schema);
  return [...members, ...forms.flat()].map(({ name, schema: one }) => `${name} ${follow(one).description ?? ""}`).join(" ");
};

function operationPage(operation: Operation, pages: readonly ProblemPage[]): Page {
  const media = operation.requestBody?.content["application/json"];
  const success = answers(operation).find(succeeds);
  const json = success && jsonOf(success.response);
  return {
    url: urlOf(operation),
    title: operation.summary,
    description: `${operation.method} ${operation.path}: ${operation.summary}.`,
    kind: `Reference / ${operation.tags[0]}`,
    layout: "reference",
    summary: () => html`<p class="endpoint">${method(operation.method)} <code>${operation.path}</code></p>`,
    body: (link) => body(operation, pages, link),
    examples: () => examples(operation),
    found: [
      {
        id: "",
        title: `${operation.method} ${operation.path}`,
        text: [
          operation.summary,
          operation.operationId,
          operation.description,
          media && textOf(media.schema),
          json && textOf(json.schema),
        ].join(" "),
      },
    ],
  };
}

/** The operations of a tag, as a table. */
export function overview(link: Link): Html {
  return html`${tags.map(
    ({ name, description }) =>
      html`<h3 id="tag-${name}">${name} <span class="type">${description}</span></h3>
        <ul class="operations">
          ${operations
            .filter((one) => one.tags[0] === name)
            .map(
              (one) =>
                html`<li>
                  <a href="${link(`site:${urlOf(one)}`)}">
                    ${method(one.method)} <code>${one.path}</code> <span>${one.summary}</span>
                  </a>
                </li>`,
            )}
        </ul>`,
  )}`;
}

const startHeadings: readonly Heading[] = [
  { level: 2, id: "conventions", text: "Conventions" },
  { level: 2, id: "routes", text: "Routes" },
];

export function reference(pages: readonly ProblemPage[]): Page[] {
  const start: Page = {
    url: "reference/",
    title: "API reference",
    description: "Every route, field and error of the API.",
    kind: "Reference",
    headings: startHeadings,
    body: (link) => html`<p class="lead">
        ${operations.length} operations, ${problems.length} problems. Each page has an example in each language, and the
        problems that the route answers. Generators read <a href="${link("site:openapi.yaml")}">openapi.yaml</a>.
      </p>
      <h2 id="conventions">Conventions</h2>
      ${text(info.description, link)}
      <h2 id="routes">Routes</h2>
      ${overview(link)}`,
    found: [{ id: "", title: "API reference", text: info.description }],
  };
  return [start, ...operations.map((one) => operationPage(one, pages))];
}

export function referenceGroup(): Group {
  const entry = (one: Operation): Entry => ({
    title: one.summary,
    url: urlOf(one),
    method: one.method,
    part: one.tags[0],
  });
  const sorted = tags.flatMap(({ name }) => operations.filter((one) => one.tags[0] === name));
  return { title: "Reference", entries: [{ title: "Overview", url: "reference/" }, ...sorted.map(entry)] };
}
