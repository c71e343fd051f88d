/** What a form has to know of a schema: how its values are entered, its type and bounds in words, and an example. */

import { isNumber } from "./json.js";

const EXAMPLES = {
  "date-time": () => new Date().toISOString(),
  date: () => new Date().toISOString().slice(0, 10),
  time: () => "13:14:15",
  duration: () => "1h30m",
  uuid: () => globalThis.crypto.randomUUID?.() ?? "b26b2a23-4d70-41c3-88a7-a9aa9e135a93", // not without https
  email: () => "ann@example.org",
};

/**
 * Return the shape of a schema: the `schema` without null, whether it is `nullable`, its `types`, and the `kind` of its
 * input: "choice" (of `choices`), "text" (where an empty text is a value), "exact" (never empty: a number, or a text in
 * some format) or "json".
 */
export function shapeOf(document, schema = {}) {
  const whole = merged(document, schema);
  const { anyOf, oneOf, ...beside } = whole;
  const options = (anyOf ?? oneOf ?? []).map((each) => merged(document, each));
  const others = options.filter(({ type }) => type !== "null");
  const own = others.length === 1 ? { ...others[0], ...beside } : whole;
  const types = new Set((others.length > 1 ? others : [own]).flatMap(({ type }) => type ?? []));
  const nullable = types.delete("null") || others.length < options.length;
  return { schema: own, nullable, types, ...inputOf(own, types) };
}

/** Return the name of a type: JSON Schema's, with the format. */
export function typeName(document, { schema, types }) {
  if (types.has("array") && schema.items) return `array of ${typeName(document, shapeOf(document, schema.items))}`;
  return `${[...types].join(" or ") || "any"}${schema.format ? ` (${schema.format})` : ""}`;
}

/** Return the bounds of a schema in words, and its default. */
export function boundsOf({ schema }) {
  const { exclusiveMinimum: above, exclusiveMaximum: below, pattern, format } = schema;
  const all = [
    range(schema.minimum, schema.maximum, ""),
    above !== undefined && `more than ${above}`,
    below !== undefined && `less than ${below}`,
    range(schema.minLength, schema.maxLength, " characters"),
    range(schema.minItems, schema.maxItems, " items"),
    pattern && !format && `must match ${pattern}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ];
  return all.filter(Boolean).join(", ");
}

/** Return an example of a value as a member of JSON has it, from the schema if it has one. */
export function exampleOf(document, schema, depth = 0) {
  const { schema: own, types } = shapeOf(document, schema);
  const given = own.example ?? own.examples?.[0] ?? own.const ?? own.default ?? own.enum?.[0];
  if (given !== undefined) return given;
  const inner = (each) => (depth < 8 ? exampleOf(document, each, depth + 1) : null);
  if (types.has("array")) {
    const items = own.prefixItems ?? Array(Math.max(own.minItems ?? 1, 1)).fill(own.items ?? {});
    return items.map(inner);
  }
  if (types.has("object")) {
    const members = own.properties ?? (own.additionalProperties ? { key: own.additionalProperties } : {});
    return Object.fromEntries(Object.entries(members).map(([name, each]) => [name, inner(each)]));
  }
  if (types.has("boolean")) return true;
  if (types.has("integer") || types.has("number")) return own.minimum > 1 ? own.minimum : 1;
  return EXAMPLES[own.format]?.() ?? "text".padEnd(own.minLength ?? 0, "x").slice(0, own.maxLength);
}

/** Return what was entered as a member of JSON. A text that is no number is sent as a text, for the service to refuse. */
export function tokenOf({ kind, types }, text) {
  const isRaw = kind === "json" || (kind === "choice" && types.has("boolean"));
  const isDigits = (types.has("integer") || types.has("number")) && isNumber(text);
  return isRaw || isDigits ? text : JSON.stringify(text);
}

function inputOf(schema, types) {
  if (schema.enum) return { kind: "choice", choices: schema.enum.filter((each) => each !== null).map(String) };
  if (types.size === 1 && types.has("boolean")) return { kind: "choice", choices: ["true", "false"] };
  if (!types.size || types.has("array") || types.has("object")) return { kind: "json" };
  return { kind: types.size === 1 && types.has("string") && mayBeEmpty(schema) ? "text" : "exact" };
}

function mayBeEmpty({ format, minLength, pattern }) {
  try {
    return !format && !(minLength > 0) && (!pattern || new RegExp(pattern, "u").test(""));
  } catch {
    return true; // a pattern that this browser cannot read
  }
}

/** Return the schema without references, and with the members of what `allOf` lists. */
function merged(document, schema) {
  const own = document.resolve(schema) ?? {};
  if (!own.allOf) return own;
  const { allOf, ...beside } = own;
  return Object.assign({}, ...allOf.map((each) => merged(document, each)), beside);
}

/** Return a range in words. Bounds that JavaScript's numbers cannot hold are those of a type, which is named anyway. */
function range(least, most, unit) {
  const [low, high] = [least, most].map((bound) => (Math.abs(bound) <= Number.MAX_SAFE_INTEGER ? bound : undefined));
  if (low === undefined && high === undefined) return "";
  if (low === high) return `exactly ${low}${unit}`;
  if (low === undefined) return `at most ${high}${unit}`;
  return high === undefined ? `at least ${low}${unit}` : `${low} to ${high}${unit}`;
}
