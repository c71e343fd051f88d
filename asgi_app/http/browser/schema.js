// Schemas: how values are entered, and the type and bounds in words.

import { isNumber } from "./json.js";

// Return the shape of a schema: the `schema` and its alternatives (`others`) without null, whether it is `nullable`, its
// `types`, and the `kind` of its input: "choice" (of `choices`), "text", "exact" (a number, or a text that is not empty),
// "increment" (of a counter) or "json".
export function shapeOf(document, schema = {}) {
	const options = optionsOf(document, schema);
	const others = options.filter(({ type }) => type !== "null");
	const own = others.length === 1 ? others[0] : merged(document, schema);
	const types = new Set(others.flatMap(({ type }) => type ?? []));
	const nullable = types.delete("null") || others.length < options.length;
	return { schema: own, others, nullable, types, ...inputOf(own, others, types) };
}

export function typeName(document, { schema, types }) {
	if (types.has("array") && schema.items) return `array of ${typeName(document, shapeOf(document, schema.items))}`;
	return `${[...types].join(" or ") || "any"}${schema.format ? ` (${schema.format})` : ""}`;
}

// Return the bounds of a schema in words, and its default.
export function boundsOf({ schema, others }) {
	const { exclusiveMinimum: above, default: initial } = schema;
	const pattern = others.find(({ pattern, format, examples }) => pattern && !format && !examples)?.pattern;
	const example = others.find(({ examples }) => examples)?.examples[0];
	const all = [
		above !== undefined && `more than ${above}`,
		range(schema.minimum, schema.maximum, ""),
		range(schema.minLength, schema.maxLength, "character"),
		range(schema.minItems, schema.maxItems, "item"),
		pattern?.length <= 40 && !pattern.includes("\\x") && `must match \`${pattern}\``,
		example !== undefined && `such as \`${example}\``,
		initial !== undefined && `default ${JSON.stringify(initial)}`,
	];
	return all.filter(Boolean).join(", ");
}

// Return what was entered as a member of JSON. What is no number is sent as a text.
export function tokenOf({ kind, types }, text) {
	if (kind === "json") return text;
	if (kind === "increment") return `{"$inc": ${isNumber(text) ? text : JSON.stringify(text)}}`;
	const isRaw = kind === "choice" && types.has("boolean");
	const isDigits = (types.has("integer") || types.has("number")) && isNumber(text);
	return isRaw || isDigits ? text : JSON.stringify(text);
}

function inputOf(schema, others, types) {
	if (schema.properties?.$inc) return { kind: "increment" };
	if (schema.enum) return { kind: "choice", choices: schema.enum.filter((each) => each !== null).map(String) };
	if (types.size === 1 && types.has("boolean")) return { kind: "choice", choices: ["true", "false"] };
	if (!types.size || types.has("array") || types.has("object")) return { kind: "json" };
	const isText = types.size === 1 && types.has("string");
	return { kind: isText && others.some(({ format, pattern }) => !format && matches(pattern, "")) ? "text" : "exact" };
}

export function matches(pattern, text) {
	try {
		return !pattern || new RegExp(pattern, "u").test(text);
	} catch {
		return true; // this browser cannot read the pattern
	}
}

// Return the alternatives of a schema, and those of alternatives; itself if it has none.
function optionsOf(document, schema) {
	const { anyOf, oneOf, ...beside } = merged(document, schema);
	const options = anyOf ?? oneOf;
	return options ? options.flatMap((each) => optionsOf(document, each)).map((each) => ({ ...each, ...beside })) : [beside];
}

// Return the schema without references, and with the members of what `allOf` lists.
function merged(document, schema) {
	const own = document.resolve(schema) ?? {};
	if (!own.allOf) return own;
	const { allOf, ...beside } = own;
	return Object.assign({}, ...allOf.map((each) => merged(document, each)), beside);
}

// Return a range in words, without bounds beyond JavaScript's numbers: those of the type.
function range(least, most, unit) {
	const [low, high] = [least, most].map((bound) => (Math.abs(bound) < Number.MAX_SAFE_INTEGER ? bound : undefined));
	const end = unit && ` ${unit}${(high ?? low) === 1 ? "" : "s"}`;
	if (low === high) return low === undefined ? "" : `exactly ${low}${end}`;
	if (low === undefined) return `at most ${high}${end}`;
	return high === undefined ? `at least ${low}${end}` : `${low} to ${high}${end}`;
}
