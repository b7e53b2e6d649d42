// The words of the console. A place in braces is filled in.


export interface SceneTexts {
  readonly title: string;
  /** One sentence: what the scene shows. */
  readonly summary: string;
  /** What each step does, in the order of the scene. */
  readonly steps: readonly string[];
  /** What follows from it for an app. */
  readonly moral: string;
}

export interface Texts {
  /** The locales whose numbers and dates are those of the language. */
  readonly numberLocale: string;
  readonly dateLocale: string;
  readonly skip: string;
  readonly console: string;
  readonly tour: string;
  readonly docs: string;
  readonly language: string;
  readonly disconnected: string;
  readonly app: string;
  readonly appHint: string;
  readonly phone: string;
  readonly phoneHint: string;
  readonly phoneEmpty: string;
  readonly tryAgain: string;
  readonly happened: string;
  readonly happenedHint: string;
  readonly happenedEmpty: string;

  readonly signedInAs: string;
  readonly newHere: string;
  readonly organization: string;
  readonly roles: string;
  readonly user: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresIn: string;
  readonly expired: string;
  readonly bound: string;
  readonly unbound: string;
  readonly claims: string;
  readonly refresh: string;
  readonly refreshed: string;
  readonly signOut: string;
  readonly signOutEverywhere: string;
  readonly devices: string;
  readonly thisDevice: string;
  readonly unnamedDevice: string;
  readonly endSession: string;
  readonly notKept: string;

  readonly fillIn: string;
  readonly to: string;
  readonly by: string;
  readonly push: string;
  readonly approvalAsked: string;
  readonly approve: string;
  readonly approved: string;
  readonly notices: Readonly<Record<string, string>>;

  readonly requests: string;
  readonly noRequests: string;
  readonly overlapped: string;
  readonly request: string;
  readonly answer: string;
  readonly database: string;
  readonly curl: string;
  readonly copy: string;
  readonly copied: string;
  readonly meaning: string;
  readonly reads: string;
  readonly writes: string;

  readonly clock: string;
  readonly clockHint: string;
  readonly now: string;
  readonly ahead: string;
  readonly forward: readonly (readonly [label: string, seconds: number])[];
  readonly dormant: string;
  readonly dormantHint: string;
  readonly faults: string;
  readonly faultsHint: string;
  readonly noFaults: string;
  readonly service: string;
  readonly mode: string;
  readonly modes: Readonly<Record<string, string>>;
  readonly times: string;
  readonly addFault: string;
  readonly clear: string;
  readonly pending: string;
  readonly numbers: string;
  readonly numbersHint: string;
  readonly noNumbers: string;
  readonly number: string;
  readonly code: string;
  readonly addNumber: string;
  readonly dormantNumber: string;
  readonly dormantNumberHint: string;
  readonly addDormant: string;
  readonly added: string;
  readonly close: string;

  readonly tourTitle: string;
  readonly tourHint: string;
  readonly play: string;
  readonly playing: string;
  readonly again: string;
  readonly next: string;
  readonly actors: Readonly<Record<"phone" | "laptop" | "thief" | "stranger" | "second" | "world", string>>;
  readonly opened: string;
  readonly refused: string;
  readonly done: string;
  readonly harm: string;
  readonly unexpected: string;
  readonly scenes: Readonly<Record<string, SceneTexts>>;
}
