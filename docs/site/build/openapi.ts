// openapi.yaml as the pages need it: references are followed, what is joined by allOf is one list of members.

import { parse } from "yaml";
import { read } from "./files.ts";

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
}

export interface Example {
  readonly summary?: string;
  readonly value: unknown;
}

export interface Media {
  readonly schema: Schema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, Example>>;
}

export interface Response {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { description?: string; required?: boolean }>>;
  readonly content?: Readonly<Record<string, Media>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: "header" | "path";
  readonly description?: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly example?: string;
}

interface RawOperation {
  readonly operationId: string;
  readonly tags: readonly [string];
  readonly summary: string;
  readonly description: string;
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: { readonly "application/json": Media } };
  readonly responses: Readonly<Record<string, Response>>;
}

export interface Operation extends RawOperation {
  readonly method: string;
  readonly path: string;
  /** Part of the address of its page, such as `send-otp`. */
  readonly slug: string;
}

interface Document {
  readonly info: { readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export const source = read("openapi.yaml");
const document = parse(source) as Document;
export const { info, tags } = document;

/** The value at a reference within the document. */
export function follow<Value extends object>(value: Value & { readonly $ref?: string }): Value {
  if (value.$ref === undefined) return value;
  const steps = value.$ref.replace(/^#\//, "").split("/");
  const found = steps.reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], document);
  if (found === undefined) throw new Error(`openapi.yaml: ${value.$ref} leads nowhere`);
  const { $ref: _, ...beside } = value;
  return { ...follow(found as Value), ...(beside as Value) };
}

export const operations: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    ...operation,
    parameters: (operation.parameters ?? []).map(follow),
    responses: Object.fromEntries(Object.entries(operation.responses).map(([status, one]) => [status, follow(one)])),
    method: method.toUpperCase(),
    path,
    slug: operation.operationId.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
  })),
);

export function operation(id: string): Operation {
  const found = operations.find(({ operationId }) => operationId === id);
  if (!found) throw new Error(`openapi.yaml has no operation ${id}`);
  return found;
}

export interface Member {
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

/** Members that every form has, and those of each form, if there is more than one. */
export interface Shape {
  readonly members: readonly Member[];
  readonly forms: readonly (readonly Member[])[];
}

function join(schemas: readonly Schema[]): Shape {
  const shapes = schemas.map(shape);
  return {
    members: shapes.flatMap(({ members }) => members),
    forms: shapes.flatMap(({ forms }) => forms),
  };
}

export function shape(given: Schema): Shape {
  const schema = follow(given);
  const own = Object.entries(schema.properties ?? {}).map(([name, member]) => ({
    name,
    schema: member,
    isRequired: schema.required?.includes(name) ?? false,
  }));
  const { members, forms } = join(schema.allOf ?? []);
  const alternatives = (schema.oneOf ?? schema.anyOf ?? []).map((one) => shape(one).members);
  if (alternatives.length < 2) return { members: [...own, ...members], forms };
  const key = (member: Member): string => JSON.stringify([member.name, member.isRequired, member.schema]);
  const [first = [], ...others] = alternatives;
  const shared = first.filter((member) => others.every((other) => other.some((one) => key(one) === key(member))));
  const keys = new Set(shared.map(key));
  return {
    members: [...own, ...members, ...shared],
    forms: alternatives.map((members) => members.filter((member) => !keys.has(key(member)))),
  };
}

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly schema: Schema;
  readonly example: Readonly<Record<string, unknown>>;
}

interface Constants {
  readonly code: { readonly const: string };
  readonly status: { readonly const: number };
  readonly title: { readonly const: string };
}

const examples = (document.components as unknown as { examples: Record<string, Example> }).examples;

/** The problems of the API, in the order of their status and then of openapi.yaml. */
export const problems: readonly Problem[] = Object.entries(document.components.schemas)
  .filter(([name]) => name.endsWith("Problem"))
  .map(([name, schema]) => {
    const { code, status, title } = schema.properties as unknown as Constants;
    const example = examples[name.replace(/Problem$/, "")];
    if (!example) throw new Error(`openapi.yaml has no example of ${name}`);
    const value = example.value as Problem["example"];
    return { code: code.const, status: status.const, title: title.const, schema, example: value };
  })
  .sort((one, other) => one.status - other.status);

/** The codes of a response's problems. */
export function codesOf(response: Response): string[] {
  const media = response.content?.["application/problem+json"];
  if (!media) return [];
  const { oneOf, ...only } = follow(media.schema);
  return (oneOf ?? [only]).map((one) => (follow(one).properties as unknown as Constants).code.const);
}

/** The first or the named example of a medium. */
export function exampleOf(media: Media, name?: string): unknown {
  const named = name === undefined ? Object.values(media.examples ?? {})[0] : media.examples?.[name];
  return media.example ?? (named && follow(named).value);
}
