// What the search finds for the words of readers, which are often not those of the pages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Row, find, indexOf } from "../browser/find.ts";

const file = fileURLToPath(new URL("../../../local/pages/docs/search.json", import.meta.url));
const index = indexOf(JSON.parse(readFileSync(file, "utf8")) as Row[]);
const found = (query: string, most: number): string[] =>
  find(index, query)
    .slice(0, most)
    .map(({ url }) => url);

const first: Readonly<Record<string, string>> = {
  "protect my backend": "guides/backend/",
  "express middleware": "guides/backend/",
  middleware: "guides/backend/",
  "verify a token": "guides/backend/",
  "test my app": "guides/testing/",
  "continuous integration": "guides/testing/",
  "How do I test in CI?": "guides/testing/",
  webhook: "guides/events/",
  webhooks: "guides/events/",
  "rate limited": "problems/too_many_requests/",
  "rate limiting": "problems/too_many_requests/",
  429: "problems/too_many_requests/",
  JWT: "guides/tokens/",
  "wrong code": "problems/incorrect_otp/",
  incorect_otp: "problems/incorrect_otp/",
  authoriser: "guides/backend/",
  "retry_after": "guides/errors/",
  "कोड मिलेन": "problems/incorrect_otp/",
};

test("the page that answers a question is found first", () => {
  for (const [query, expected] of Object.entries(first)) {
    const [url = "nothing"] = found(query, 1);
    assert.ok(url.startsWith(expected), `${query}: ${url}`);
  }
});

const among: Readonly<Record<string, string>> = {
  logout: "reference/sign-out/",
  "log out": "reference/sign-out/",
  login: "guides/sign-in/",
  "sign up": "guides/sign-in/",
  "delete account": "guides/accounts/",
  "compare with Cognito": "guides/compare/",
  pricing: "guides/compare/",
  "recycled number": "guides/recovery/",
  "clock": "guides/testing/",
};

test("the page that answers a question is one of the first three", () => {
  for (const [query, expected] of Object.entries(among)) {
    const urls = found(query, 3);
    assert.ok(
      urls.some((url) => url.startsWith(expected)),
      `${query}: ${urls.join(" ")}`,
    );
  }
});

test("what one does comes before why it is so", () => {
  for (const query of ["limits", "change of number", "device key", "session", "code"]) {
    const urls = found(query, 3);
    assert.equal(urls.length, 3);
    assert.ok(
      urls.every((url) => !/^guides\/(security|controls|decisions)\//.test(url)),
      `${query}: ${urls.join(" ")}`,
    );
  }
});

test("small words alone find something, and a word that is nowhere hides nothing of the others", () => {
  for (const query of ["my", "how to"]) assert.equal(found(query, 3).length, 3, query);
  assert.ok(found("session xyzzyx", 3).length === 3);
  assert.deepEqual(found("xyzzyx", 3), []);
});
