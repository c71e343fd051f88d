// Examples of values, as schemas describe them.

import { matches, shapeOf } from "./schema.js";

const EXAMPLES = {
	"date-time": () => new Date().toISOString(),
	date: () => new Date().toISOString().slice(0, 10),
	uuid: ({ pattern }) => (pattern ? TIMEUUID : (crypto.randomUUID?.() ?? TIMEUUID)), // without https there is none
	ipv4: () => "192.0.2.1",
};
const TEXTS = ["text", "1", "ann@example.org", "0x00"]; // one of them matches the usual patterns
const TIMEUUID = "50554d6e-29bb-11e5-b345-feff819cdc9f";

// Return an example of a value; undefined if none is known that its pattern matches.
function exampleOf(document, schema, depth = 0) {
	const { others, types } = shapeOf(document, schema);
	const own = others.find(({ examples }) => examples) ?? others[0] ?? {};
	const given = own.examples?.[0] ?? own.default ?? own.enum?.[0];
	if (given !== undefined) return given;
	const inner = (each) => (depth < 8 ? exampleOf(document, each, depth + 1) : null);
	if (types.has("array")) {
		const members = (own.prefixItems ?? Array(own.minItems || 1).fill(own.items)).map(inner);
		return members.includes(undefined) ? undefined : members;
	}
	if (types.has("object")) {
		const key = inner(own.propertyNames ?? { type: "string" });
		const hasKey = own.additionalProperties && key !== undefined;
		const members = own.properties ?? (hasKey ? { [key]: own.additionalProperties } : {});
		return Object.fromEntries(Object.entries(members).map(([name, each]) => [name, inner(each)]));
	}
	if (types.has("boolean")) return true;
	if (types.has("integer") || types.has("number")) return own.minimum > 1 ? own.minimum : 1;
	const text = EXAMPLES[own.format]?.(own) ?? TEXTS.find((each) => matches(own.pattern, each)) ?? TEXTS[0];
	const example = text.padEnd(own.minLength ?? 0, text.at(-1)).slice(0, own.maxLength);
	return matches(own.pattern, example) ? example : undefined;
}

// Fill in examples: in what is required, and in all columns of the body.
export function fillExamples(form) {
	const isColumn = ({ name, group }) => group === "body" && (!form.columns.size || form.columns.has(name));
	for (const field of form.fields) if (field.required || isColumn(field)) field.fill(exampleOf(form.document, field.schema));
}
