// The examples of the reference, sent to a fresh server in the order of a person's day.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { read, repository } from "../blocks.ts";
import { Server, Shell } from "../server.ts";

const NUMBER = "+9779841234567";
const OTHER = "+9779841234599";

interface Step {
  readonly operation: string;
  /** The code of the problem that it answers, if it succeeds only for somebody else's doing. */
  readonly problem?: string;
  /** The number whose newest code is sent. */
  readonly code?: string;
  /** The other number instead of the first. */
  readonly isOther?: true;
  /** Signs in anew before, because the session was ended. */
  readonly isAnew?: true;
}

const steps: readonly Step[] = [
  { operation: "getJwks" },
  { operation: "getOpenidConfiguration" },
  { operation: "sendOtp" },
  { operation: "submitOtp", code: NUMBER },
  { operation: "getMe" },
  { operation: "patchMe" },
  { operation: "putFcmToken" },
  { operation: "listSessions" },
  { operation: "approveSignIn", problem: "nothing_to_approve" },
  { operation: "cancelPhoneChange", problem: "nothing_pending" },
  { operation: "cancelRecovery", problem: "nothing_pending" },
  { operation: "sendPhoneOtp" },
  { operation: "validatePhoneOtp", code: OTHER, isOther: true },
  { operation: "undoPhoneChange", code: NUMBER },
  { operation: "refreshSession", isAnew: true },
  { operation: "revokeSession" },
  { operation: "signOut", isAnew: true },
  { operation: "signOutEverywhere", isAnew: true },
  { operation: "deleteMe", isAnew: true },
];

const operations = Object.values(
  (parse(read("openapi.yaml")) as { paths: Record<string, Record<string, { operationId: string }>> }).paths,
)
  .flatMap((methods) => Object.values(methods))
  .map(({ operationId }) => operationId);

test("each operation of openapi.yaml has its place in the day", () => {
  assert.deepEqual(steps.map(({ operation }) => operation).sort(), operations.sort());
});

interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
}

/** The parts of an example that are of a person and a moment, in the form that openapi.yaml gives them. */
const marks = {
  challenge: /chl_[0-9a-z]{26}/g,
  session: /ses_[0-9a-z]{26}/g,
  refresh: /eyJhbGciOi\.eyJzaWQiOi\.ASNFZ4mrze8/g,
  idempotency: /5f0c3a52-7d0e-4f0e-9a37-1f0b7c1f7a11/g,
};

for (const [language, extension, program] of [
  ["curl", "sh", "bash"],
  ["python", "py", "python3"],
] as const) {
  test(`the examples in ${language} are answered as the reference says`, async () => {
    const server = await Server.start();
    const shell = new Shell(server);
    let tokens: Tokens = { access_token: "", refresh_token: "" };
    let challenge = "";
    let session = "";
    try {
      for (const { operation, problem, code, isOther, isAnew } of steps) {
        if (isAnew) tokens = (await server.signIn(NUMBER)) as unknown as Tokens;
        if (operation === "undoPhoneChange") {
          await server.advance(600);
          await server.call("/v1/otp/send", { phone_number: NUMBER });
        }
        if (operation === "revokeSession") {
          const all = await server.call("/v1/sessions", undefined, { authorization: `Bearer ${tokens.access_token}` });
          session = (all["sessions"] as readonly { session_id: string }[])[0]?.session_id ?? "";
        }
        let text = server.here(
          readFileSync(`${repository}docs/site/snippets/${language}/${operation}.${extension}`, "utf8"),
        );
        text = text.replaceAll(marks.challenge, challenge || "$&").replaceAll(marks.session, session || "$&");
        text = text.replaceAll(marks.refresh, tokens.refresh_token);
        if (code !== undefined) text = text.replaceAll("042917", await server.code(code));
        // The username that the person has by then.
        if (isOther) text = text.replaceAll(NUMBER, OTHER).replaceAll('"sita"', '"sita.sharma"');
        const file = `example.${extension}`;
        writeFileSync(join(server.folder, file), text);
        const { status, output } = await shell.run(`ACCESS_TOKEN=${tokens.access_token} ${program} ${file}`);
        const said = `${operation}:\n${text}\n${output}`;
        if (problem === undefined) assert.equal(status, 0, said);
        else assert.match(output, language === "curl" ? new RegExp(`"code":"${problem}"`) : /404 Client Error/, said);
        const answer = problem === undefined ? await answered(shell, output) : undefined;
        if (operation === "sendOtp") challenge = String(answer?.["challenge_id"]);
        if (operation === "submitOtp") tokens = answer as unknown as Tokens;
      }
    } finally {
      shell.stop();
      server.stop();
    }
  });
}

/** The object that an example prints: JSON, or a dictionary of Python. */
async function answered(shell: Shell, output: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const [printed] = /^\{.*\}$/m.exec(output) ?? [];
  if (printed === undefined) return undefined;
  if (!printed.startsWith("{'")) return JSON.parse(printed) as Readonly<Record<string, unknown>>;
  const quoted = `'${printed.replaceAll("'", "'\\''")}'`;
  const read = await shell.run(
    `python3 -c 'import ast, json, sys; print(json.dumps(ast.literal_eval(sys.argv[1])))' ${quoted}`,
  );
  return JSON.parse(read.output) as Readonly<Record<string, unknown>>;
}
