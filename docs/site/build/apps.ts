// The examples for apps. They are functions of files that compile beside clients/android and clients/ios.

import { API, WIDTH, bodyOf, idempotencyKey, isGuarded, pathMembers } from "./example.ts";
import type { Operation } from "./openapi.ts";

/** What an app does with an answer, as the members of its type in both languages. */
const shownOf: Readonly<Record<string, string | undefined>> = {
  sendOtp: "resendIn",
  submitOtp: "user.userId",
  sendPhoneOtp: "resendIn",
  validatePhoneOtp: "message",
  getMe: "phoneNumber",
  patchMe: "username",
  putFcmToken: "fcmTokenAt",
};
/** What the sessions of the clients do themselves. */
const ofSession = new Set(["refreshSession", "signOut", "signOutEverywhere"]);

const camel = (name: string): string => name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** The name of the type of a request, which is the same in openapi.yaml and in the clients. */
function typeOf(operation: Operation): string {
  const { $ref = "" } = (operation.requestBody?.content["application/json"]?.schema ?? {}) as { $ref?: string };
  return $ref.split("/").at(-1) ?? "";
}

/** Arguments between parentheses, on one line if they fit. */
function call(name: string, args: readonly string[]): string {
  const line = `${name}(${args.join(", ")})`;
  if (line.length <= WIDTH + 4) return line;
  return `${name}(\n${args.map((one) => `    ${one.replaceAll("\n", "\n    ")}`).join(",\n")}\n)`;
}

const indented = (lines: readonly string[], by = "    "): string =>
  lines
    .flatMap((line) => line.split("\n"))
    .map((line) => by + line)
    .join("\n");

const sessionNote = "// The session of the app: see its guide.";

export function kotlin(operation: Operation): string {
  const { operationId: id } = operation;
  const file = (lines: readonly string[], parameters: string, names: readonly string[]): string => {
    const imports = [...new Set(names)].sort().map((name) => `import ${name}\n`);
    const begin = `package latchkey.documents\n\n${imports.join("")}\nsuspend fun ${id}(${parameters}) {\n`;
    return `${begin}${indented(["// example", ...lines, "// end"])}\n}\n`;
  };
  if (operation.tags[0] === "keys") {
    const lines = [
      `val url = URI("${API}${operation.path}").toURL()`,
      "println(withContext(Dispatchers.IO) { url.readText() })",
    ];
    return file(lines, "", ["java.net.URI", "kotlinx.coroutines.Dispatchers", "kotlinx.coroutines.withContext"]);
  }
  if (ofSession.has(id)) {
    const name = id === "refreshSession" ? "refresh" : id;
    return file([sessionNote, `session.${name}()`], "session: Session", ["latchkey.Session"]);
  }
  const body = Object.entries(bodyOf(operation) ?? {});
  const type = typeOf(operation);
  const names = ["latchkey.Operation"];
  const argument = ([name, value]: [string, unknown]): string => {
    const written = JSON.stringify(value);
    return `${camel(name)} = ${type === "PatchMeRequest" ? `Change(${written})` : written}`;
  };
  const args = [`Operation.${id}`];
  if (type === "SubmitRequest") {
    const proof = ["phone_number", "otp", "challenge_id"];
    const options = body.filter(([name]) => !proof.includes(name)).map(argument);
    const parts = body.filter(([name]) => proof.includes(name)).map(argument);
    if (options.length > 0) parts.push(`options = SubmitOptions(${options.join(", ")})`);
    args.push(call("SubmitRequest.ofCode", parts));
    names.push("latchkey.SubmitRequest", ...(options.length > 0 ? ["latchkey.SubmitOptions"] : []));
  } else if (type !== "") {
    args.push(call(type, body.map(argument)));
    names.push(`latchkey.${type}`, ...(type === "PatchMeRequest" ? ["latchkey.Change"] : []));
  }
  if (operation.path.includes("{")) args.push(JSON.stringify(Object.values(pathMembers(operation))[0]));
  const key = idempotencyKey(operation);
  if (key) args.push(`idempotencyKey = ${JSON.stringify(key.example ?? "")}`);
  const by = isGuarded(operation) ? "session" : "api";
  const made = call(`${by}.call`, args);
  const shownMember = id === "listSessions" ? "sessions.size" : shownOf[id];
  const lines = shownMember === undefined ? [made] : [`val answer = ${made}`, `println(answer.${shownMember})`];
  if (by === "session") return file([sessionNote, ...lines], "session: Session", [...names, "latchkey.Session"]);
  return file([`val api = Api("${API}")`, ...lines], "", [...names, "latchkey.Api"]);
}

export function swift(operation: Operation): string {
  const { operationId: id } = operation;
  const file = (lines: readonly string[], parameters: string, imports = "Latchkey"): string => {
    const modules = ["Foundation", ...(imports === "Foundation" ? [] : [imports])].map((name) => `import ${name}\n`);
    const begin = `${modules.join("")}\nfunc ${id}(${parameters}) async throws {\n`;
    return `${begin}${indented(["// example", ...lines, "// end"])}\n}\n`;
  };
  if (operation.tags[0] === "keys") {
    const lines = [
      `let url = URL(string: "${API}${operation.path}")!`,
      "let (data, _) = try await URLSession.shared.data(from: url)",
      "print(String(decoding: data, as: UTF8.self))",
    ];
    return file(lines, "", "Foundation");
  }
  if (ofSession.has(id)) {
    const name = id === "refreshSession" ? "refresh" : id;
    return file([sessionNote, `try await session.${name}()`], "session: Session");
  }
  const body = Object.entries(bodyOf(operation) ?? {});
  const type = typeOf(operation);
  const before: string[] = [];
  const [inPath] = Object.values(pathMembers(operation));
  const args = [inPath === undefined ? `.${id}` : `.${id}(${JSON.stringify(inPath)})`];
  if (type === "SubmitRequest") {
    before.push("var body = SubmitRequest()", ...body.map(([name, value]) => `body.${camel(name)} = ${JSON.stringify(value)}`));
    args.push("body");
  } else if (type !== "") {
    const written = (value: unknown): string =>
      type === "PatchMeRequest" ? `.to(${JSON.stringify(value)})` : JSON.stringify(value);
    args.push(
      call(
        type,
        body.map(([name, value]) => `${camel(name)}: ${written(value)}`),
      ),
    );
  }
  const key = idempotencyKey(operation);
  if (key) args.push(`idempotencyKey: ${JSON.stringify(key.example ?? "")}`);
  const by = isGuarded(operation) ? "session" : "api";
  const made = `try await ${call(`${by}.call`, args)}`;
  const shownMember = id === "listSessions" ? "sessions.count" : shownOf[id];
  const isOptional = ["getMe", "patchMe"].includes(id) ? ' ?? ""' : "";
  const lines =
    shownMember === undefined ? [`_ = ${made}`] : [`let answer = ${made}`, `print(answer.${shownMember}${isOptional})`];
  if (by === "session") return file([sessionNote, ...before, ...lines], "session: Session");
  return file([`let api = API(base: URL(string: "${API}")!)`, ...before, ...lines], "");
}
