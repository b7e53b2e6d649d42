// The fields of a JSON object: name, type, limits, and what they mean.

import { type Content, type Html, html } from "./html.ts";
import { type Link, text } from "./markdown.ts";
import { type Member, type Schema, follow, shape } from "./openapi.ts";

const quoted = (value: unknown): Html => html`<code>${JSON.stringify(value)}</code>`;

export function typeOf(given: Schema): Content {
  const schema = follow(given);
  if (schema.const !== undefined) return html`always ${quoted(schema.const)}`;
  if (schema.enum) return html`${schema.enum.map((one, index) => [index > 0 && " or ", quoted(one)])}`;
  const alternatives = schema.oneOf ?? schema.anyOf;
  if (alternatives && !schema.type) {
    const kinds = alternatives.map((one) => typeOf(one));
    return html`${kinds.map((kind, index) => [index > 0 && " or ", kind])}`;
  }
  if (schema.type === "array" && schema.items) return html`array of ${typeOf(schema.items)}`;
  const types = schema.type ?? "object";
  return typeof types === "string" ? types : types.join(" or ");
}

/** Durations and times are integers, and their names say which. */
function unitOf(name: string, schema: Schema): string | undefined {
  if (![schema.type].flat().includes("integer")) return undefined;
  if (/(_in|_after)$/.test(name)) return "seconds";
  if (/(_at|_until)$/.test(name)) return "epoch seconds";
  return undefined;
}

export function limitsOf(schema: Schema): Content[] {
  const limits: Content[] = [];
  const { minLength, maxLength, minimum, minItems } = schema;
  if (maxLength !== undefined) limits.push(`at most ${maxLength} characters`);
  else if (minLength !== undefined && minLength > 0) limits.push("not empty");
  if (minimum !== undefined) limits.push(`at least ${minimum}`);
  if (minItems !== undefined) limits.push(`at least ${minItems}`);
  if (schema.uniqueItems) limits.push("no value twice");
  if (schema.format) limits.push(`format ${schema.format}`);
  if (schema.pattern !== undefined) limits.push(html`matches <code class="pattern">${schema.pattern}</code>`);
  return limits;
}

/** What an object or a list of objects contains. */
function inside(given: Schema): readonly Member[] {
  const schema = follow(given);
  if (schema.items) return inside(schema.items);
  return shape(schema).members;
}

function memberItem({ name, schema: given, isRequired }: Member, link: Link, when: "request" | "response"): Html {
  const schema = follow(given);
  const members = inside(given);
  const limits = limitsOf(schema);
  const unit = unitOf(name, schema);
  const presence =
    when === "request"
      ? isRequired && html`<span class="required">required</span>`
      : !isRequired && html`<span class="optional">may be absent</span>`;
  return html`<li>
    <p class="member">
      <code>${name}</code> <span class="type">${typeOf(schema)}${unit !== undefined && `, ${unit}`}</span> ${presence}
    </p>
    ${schema.description !== undefined && text(schema.description, link)}
    ${limits.length > 0 && html`<p class="limits">${limits.map((one, index) => [index > 0 && "; ", one])}</p>`}
    ${
      members.length > 0 &&
      html`<details>
        <summary>Fields of <code>${name}</code></summary>
        ${memberList(members, link, when)}
      </details>`
    }
  </li>`;
}

export function memberList(members: readonly Member[], link: Link, when: "request" | "response"): Content {
  if (members.length === 0) return undefined;
  // What is required comes first. Otherwise the order is that of the document.
  const order =
    when === "request" ? [...members].sort((one, other) => Number(other.isRequired) - Number(one.isRequired)) : members;
  return html`<ul class="members">
    ${order.map((member) => memberItem(member, link, when))}
  </ul>`;
}
