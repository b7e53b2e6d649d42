// What the examples send: the examples of openapi.yaml.

import { type Operation, type Parameter, exampleOf } from "./openapi.ts";

export const API = "http://127.0.0.1:3000";
export const WIDTH = 60;

/** What an example sends, from the examples of openapi.yaml. */
export function bodyOf(operation: Operation): Readonly<Record<string, unknown>> | undefined {
  const media = operation.requestBody?.content["application/json"];
  if (!media) return undefined;
  const chosen = { sendPhoneOtp: "change", submitOtp: "first_sign_in" }[operation.operationId];
  const body = exampleOf(media, chosen) as Record<string, unknown>;
  if (operation.operationId !== "submitOtp") return body;
  const names = ["phone_number", "otp", "challenge_id", "device_name"];
  return Object.fromEntries(names.map((name) => [name, body[name]]));
}

/** Whether the example shows an access token. A route that takes either a code or a token shows the code. */
export const isGuarded = ({ security }: Operation): boolean => security?.every((one) => Object.keys(one).length > 0) ?? false;

export const idempotencyKey = (operation: Operation): Parameter | undefined =>
  operation.parameters?.find(({ name }) => name === "Idempotency-Key");

export function pathOf(operation: Operation): string {
  const ids = operation.parameters?.filter((parameter) => parameter.in === "path") ?? [];
  return ids.reduce((path, { name, example = "" }) => path.replace(`{${name}}`, example), operation.path);
}

/** Of the path. */
export const pathMembers = (operation: Operation): Record<string, string> =>
  Object.fromEntries(
    (operation.parameters ?? []).filter((one) => one.in === "path").map((one) => [one.name, one.example ?? ""]),
  );
