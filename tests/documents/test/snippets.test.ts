// What the documents show besides commands: JSON is what the schemas say, code compiles and runs, every block has a
// language.

import assert from "node:assert/strict";
import { type JsonWebKey, createPublicKey, verify } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { at, block, blocks, read, repository } from "../blocks.ts";
import { notCompiled } from "../plan.ts";
import { compile } from "../typescript.ts";

interface Schema {
  readonly properties?: { readonly code?: { readonly const?: string } };
}
const openapi = parse(read("openapi.yaml")) as {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

// Formats are checked by patterns. `discriminator` and the like are of OpenAPI alone.
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(openapi, "openapi");

function conforms(schema: object | string, value: unknown, where: string): void {
  const check = typeof schema === "string" ? ajv.getSchema(schema) : ajv.compile(schema);
  assert.ok(check, `${where}: no schema`);
  assert.ok(check(value), `${where}: ${ajv.errorsText(check.errors)}`);
}

const kinds = new Set(["sh", "text", "json", "js", "ts", "html", "css", ...Object.keys(notCompiled)]);

test("every block names a language that is run, compiled or read here", () => {
  const others = blocks.filter(({ language }) => !kinds.has(language));
  assert.deepEqual(
    others.map((one) => `${at(one)} ${one.language}`),
    [],
  );
});

test("problems are what openapi.yaml says, and events what their schemas say", () => {
  const events = ajv.compile(JSON.parse(read("schemas/events/event.json")) as object);
  const seen = new Set<unknown>();
  let problems = 0;
  for (const one of blocks.filter(({ language }) => language === "json")) {
    const value = JSON.parse(one.text) as Readonly<Record<string, unknown>>;
    if (typeof value["code"] === "string") {
      const all = Object.entries(openapi.components.schemas);
      const [name] = all.find(([, { properties }]) => properties?.code?.const === value["code"]) ?? [];
      conforms(`openapi#/components/schemas/${name ?? ""}`, value, at(one));
      problems += 1;
    }
    if (value["specversion"] !== undefined) {
      assert.ok(events(value), `${at(one)}: ${ajv.errorsText(events.errors)}`);
      conforms(JSON.parse(read(`schemas/events/${String(value["type"])}.json`)) as object, value["data"], at(one));
      seen.add(value["type"]);
    }
  }
  assert.ok(problems >= 2);
  assert.equal(seen.size, readdirSync(`${repository}schemas/events`).length - 1);
});

test("the proof that integrate.md shows is of its key and its claims", () => {
  const file = "docs/integrate.md";
  const key = JSON.parse(block(file, "json", '{"kty"').text) as JsonWebKey;
  const claims = JSON.parse(block(file, "json", '{"jti"').text) as unknown;
  const [header = "", payload = "", signature = ""] = block(file, "text", "eyJ").text.replaceAll("\n", "").split(".");
  const decoded = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
  assert.deepEqual(decoded(header), { typ: "dpop+jwt", alg: "ES256", jwk: key });
  assert.deepEqual(decoded(payload), claims);
  const publicKey = createPublicKey({ key, format: "jwk" });
  const signed = Buffer.from(`${header}.${payload}`);
  assert.ok(
    verify("sha256", signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url")),
  );
});

test("the key of a browser signs", async () => {
  const { text } = block("docs/integrate.md", "js", "const key");
  const input = 'const signingInput = new TextEncoder().encode("header.claims");';
  const source = `${input}\n${text}\nexport { kty, crv, x, y, signature };\n`;
  const made = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as Readonly<
    Record<string, unknown>
  >;
  assert.equal(made["kty"], "EC");
  assert.equal(made["crv"], "P-256");
  assert.equal((made["signature"] as ArrayBuffer).byteLength, 64);
});

test("the backend that integrate.md shows is the one in examples/verify, which tests/examples/run runs", () => {
  const shown = block("docs/integrate.md", "js", "import { createRemoteJWKSet").text;
  assert.ok(read("examples/verify/node/service.mjs").includes(shown));
});

test("the page of clients/web is the one in its examples, which clients/run opens in a browser", () => {
  const page = block("clients/web/README.md", "html", "<!doctype html>");
  assert.equal(page.text, read("clients/web/examples/plain.html"));
});

test("the element has the properties and parts that a document styles", () => {
  const style = read("clients/web/src/style.css");
  const element = read("clients/web/src/element.ts");
  for (const one of blocks.filter(({ language }) => language === "css")) {
    for (const [property] of one.text.matchAll(/--[\w-]+/g))
      assert.ok(style.includes(property), `${at(one)}: ${property}`);
    for (const [, part = ""] of one.text.matchAll(/::part\(([\w-]+)\)/g)) {
      assert.match(element, new RegExp(`, "(\\S+ )*${part}[ "]`), `${at(one)}: ${part}`);
    }
  }
});

test("TypeScript of the documents and of the reference compiles as strictly as the clients", () => {
  const imports = 'import { Session } from "latchkey-web";\n';
  const shown = blocks.filter(({ language }) => language === "ts");
  const sources = new Map(shown.map((one, index) => [`document-${index}.ts`, `// ${at(one)}\n${imports}${one.text}`]));
  const folder = `${repository}docs/site/snippets/typescript/`;
  for (const name of readdirSync(folder)) sources.set(name, readFileSync(folder + name, "utf8"));
  assert.ok(sources.size > 19);
  assert.equal(compile(sources), "");
  const wrong = `${imports}const session = await Session.open({ api: "" });\nawait session.call("getYou");\n`;
  assert.match(compile(new Map([["wrong.ts", wrong]])), /getYou/);
});
