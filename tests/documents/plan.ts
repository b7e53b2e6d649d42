// What is not run here, and why; and what the commands of a document need before.

/** Documents whose commands and snippets another check runs. */
export const runElsewhere: Readonly<Record<string, string>> = {
  "docs/testing.md": "tests/examples/run",
  "clients/android/README.md": "clients/android/check",
  "clients/conformance/README.md": "clients/run",
  "clients/ios/README.md": "clients/run",
};

export interface NotRun {
  /** The beginning of the commands. */
  readonly command: RegExp;
  readonly why: string;
}

/** Commands that are checked for syntax, and those of aws and sam also for their options. */
export const notRun: readonly NotRun[] = [
  { command: /^cargo local$/, why: "builds the program that is given to this check, and runs until it is stopped" },
  { command: /^cargo test --workspace$/, why: ".ci/run runs it" },
  { command: /^cargo install --path admin /, why: "compiles the program that is given to this check" },
  { command: /^python3 -m venv /, why: ".ci/tools makes the same environment" },
  { command: /^pip install -r requirements\.txt$/, why: ".ci/tools installs the same requirements" },
  { command: /^sam build\b/, why: "compiles every function for the cloud; tests/emulator/run does" },
  { command: /^sam deploy\b/, why: "needs an AWS account" },
  { command: /^sam local\b/, why: "needs Docker" },
  { command: /^cargo lambda\b/, why: "compiles every function for the cloud; tests/emulator/run does" },
  { command: /^(\w+=\$\()?aws\b/, why: "needs an AWS account" },
  { command: /^table\(\) /, why: "is a part of the commands of aws that follow" },
  { command: /^printf %s \+9779841234567 \| openssl dgst/, why: "needs the key from an AWS account" },
  { command: /^socat\b/, why: "is for the network of Docker" },
  { command: /^\(cd clients\/web && npm ci && npm run build\)$/, why: "clients/run does the same" },
  { command: /npm install \.\.\/latchkey\/clients\/web$/, why: "clients/run checks the package" },
];

/** Blocks of languages that no tool here reads. */
export const notCompiled: Readonly<Record<string, string>> = {
  swift: "needs the SDK of Apple's platforms; clients/ios has the same calls in its sources",
  kotlin: "needs the SDK of Android; clients/android has the same calls in its sources",
};
