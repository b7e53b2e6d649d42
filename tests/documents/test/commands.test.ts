// The commands of the documents: run against a fresh server, or checked for what can be checked without an AWS account.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Block, at, blocks, commands, documents, read, repository, withoutMarks } from "../blocks.ts";
import { notRun } from "../plan.ts";
import { type Ran, Server, Shell } from "../server.ts";

const NUMBER = "+9779841234567";
const withoutComment = (command: string): string =>
  command
    .replaceAll(/ +# .*$/gm, "")
    .replaceAll(/^\s*# .*\n/gm, "")
    .trim();
const reason = (command: string): string | undefined =>
  notRun.find((one) => one.command.test(withoutComment(command)))?.why;

const shells = blocks.filter(({ language }) => language === "sh");
const isRun = (command: string): boolean => reason(command) === undefined;

/** What has to be true before a command, and what stands for the marks in it. */
interface Scene {
  readonly command: RegExp;
  /** Texts of the command, by what replaces them. */
  readonly before: (server: Server) => Promise<Readonly<Record<string, string>>>;
}

async function userOf(server: Server, number: string): Promise<string> {
  const { user } = (await server.signIn(number)) as { user: { user_id: string } };
  return user.user_id;
}

let userId = "";
const scenes: readonly Scene[] = [
  {
    // Somebody has taken the number away from the account by a change.
    command: /"otp":"042917".*"restore":true/,
    before: async (server) => {
      const { access_token } = await server.signIn(NUMBER);
      const authorization = { authorization: `Bearer ${String(access_token)}` };
      const other = "+9779841234599";
      const username = "sita";
      await fetch(`${server.addresses.api}/v1/me`, {
        method: "PATCH",
        headers: { ...authorization, "content-type": "application/json" },
        body: JSON.stringify({ username }),
      });
      await server.call("/v1/phone/otp/send", { phone_number: other, change: true }, authorization);
      const proof = { phone_number: other, otp: await server.code(other), username };
      const { status } = await server.call("/v1/phone/otp/validate", proof, authorization);
      assert.equal(status, 200);
      await server.advance(600);
      const { challenge_id } = await server.call("/v1/otp/send", { phone_number: NUMBER });
      const otp = await server.code(NUMBER);
      const refused = await server.call("/v1/otp/submit", { phone_number: NUMBER, otp, challenge_id });
      assert.equal(refused["code"], "number_released");
      assert.equal(refused["undoes"], "number_change");
      return { "042917": otp, "chl_…": String(challenge_id) };
    },
  },
  {
    command: /^(cargo )?latchkey user show \+/,
    before: async (server) => {
      userId = await userOf(server, NUMBER);
      return {};
    },
  },
  {
    // Another one, because later commands of the document name the first.
    command: /^latchkey user delete usr_…/,
    before: async (server) => ({ "usr_…": await userOf(server, "+9779841000007") }),
  },
  {
    // `number release` took the number from the first user.
    command: /^latchkey export --user \+/,
    before: async (server) => {
      await userOf(server, NUMBER);
      return {};
    },
  },
  { command: /usr_…/, before: () => Promise.resolve({ "usr_…": userId }) },
  {
    // The key that signed until the rotation, when it no longer signs.
    command: /^latchkey key retire/,
    before: async (server) => {
      await server.advance(700);
      const shell = new Shell(server);
      const { output } = await shell.run("latchkey key status --json");
      shell.stop();
      const { keys } = JSON.parse(output) as { keys: readonly { kid: string }[] };
      const old = keys.at(-1);
      assert.ok(old, output);
      return { "key_…": old.kid };
    },
  },
  {
    command: /^latchkey import firebase/,
    before: (server) => {
      const user = {
        localId: "a1",
        phoneNumber: "+9779841000009",
        createdAt: "1795219200000",
        lastSignedInAt: "1795219200000",
      };
      writeFileSync(join(server.folder, "users.json"), JSON.stringify({ users: [user] }));
      return Promise.resolve({});
    },
  },
];

/** An answer that the document shows after "prints:". */
function shownAfter(block: Block): Block | undefined {
  const next = blocks[blocks.indexOf(block) + 1];
  return next?.file === block.file && next.language === "text" && next.before.endsWith("It prints:") ? next : undefined;
}

async function ran(server: Server, shell: Shell, block: Block, command: string): Promise<Ran> {
  let text = server.here(command).replaceAll(" --stack auth", "");
  for (const scene of scenes.filter((one) => one.command.test(command))) {
    for (const [mark, value] of Object.entries(await scene.before(server))) text = text.replaceAll(mark, value);
  }
  const result = await shell.run(text);
  assert.equal(result.status, 0, `${at(block)}: ${text}\n${result.output}`);
  return result;
}

for (const file of documents) {
  const own = shells.filter((block) => block.file === file && commands(block).some(isRun));
  if (own.length === 0) continue;
  test(`the commands of ${file} work when they are pasted one after the other`, async () => {
    const server = await Server.start();
    const shell = new Shell(server);
    try {
      for (const block of own) {
        let output = "";
        for (const command of commands(block).filter(isRun))
          output += (await ran(server, shell, block, command)).output;
        const shown = shownAfter(block);
        if (shown) assert.equal(output, shown.text, at(shown));
      }
    } finally {
      shell.stop();
      server.stop();
    }
  });
}

test("a message that is too long is refused in the words that configure.md shows", async () => {
  const [shown] = blocks.filter(({ text }) => text.startsWith("latchkey: examples/organization.json: "));
  assert.ok(shown);
  const server = await Server.start();
  const shell = new Shell(server);
  try {
    const organization = JSON.parse(read("examples/organization.json")) as Record<string, unknown>;
    const tooLong = { ...organization, app_name: "A name that is as long as in this text" };
    writeFileSync(join(server.folder, "examples/organization.json"), JSON.stringify(tooLong));
    const { status, output } = await shell.run("latchkey organization apply examples/organization.json");
    assert.equal(status, 1);
    assert.equal(output, shown.text);
  } finally {
    shell.stop();
    server.stop();
  }
});

test("what is not run is for a reason, and every reason is used", () => {
  const all = shells.flatMap(commands);
  for (const one of notRun)
    assert.ok(
      all.some((command) => one.command.test(withoutComment(command))),
      String(one.command),
    );
});

// Commands also stand in the text.
const inText = documents.flatMap((file) =>
  [...read(file).matchAll(/`((?:aws|sam) [^`]+)`/g)].map(([, command = ""]) => ({
    where: file,
    command: command.replaceAll("\n", " "),
  })),
);
const inBlocks = shells.flatMap((block) => commands(block).map((command) => ({ where: at(block), command })));

test("aws has the commands and options that the documents name", () => {
  const named = [...inBlocks, ...inText].filter(({ command }) => /\baws \w/.test(command));
  const input = JSON.stringify(named.map((one) => ({ ...one, command: withoutMarks(one.command) })));
  const { status, stdout, stderr } = spawnSync("python3", [join(repository, "tests/documents/aws.py")], {
    input,
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout + stderr);
  assert.ok(named.length > 10);
});

test("sam has the commands and options that the documents name", () => {
  const help = new Map<string, string>();
  const named = [...inBlocks, ...inText].flatMap(({ where, command }) =>
    command.split(/&&|\n/).flatMap((part) => {
      const [, words = "", options = ""] = /^\s*sam ((?:[a-z][\w-]* ?)+)(.*)/.exec(part) ?? [];
      return words === ""
        ? []
        : [{ where, words: words.trim().split(" "), options: options.match(/(?<= |^)--?[a-z][\w-]*/g) ?? [] }];
    }),
  );
  assert.ok(named.length > 5);
  for (const { where, words, options } of named) {
    // `sam local invoke SendOtpFunction`: the name is no command.
    const name = words.slice(0, ["local", "list"].includes(words[0] ?? "") ? 2 : 1).join(" ");
    if (!help.has(name)) {
      const { status, stdout, stderr } = spawnSync("sam", [...name.split(" "), "--help"], {
        encoding: "utf8",
        env: { ...process.env, COLUMNS: "200" },
      });
      assert.equal(status, 0, `${where}: sam ${name}\n${stderr}`);
      help.set(name, stdout);
    }
    for (const option of options)
      assert.match(
        help.get(name) ?? "",
        new RegExp(`(?<![\\w-])${option}(?![\\w-])`),
        `${where}: sam ${name} ${option}`,
      );
  }
});
