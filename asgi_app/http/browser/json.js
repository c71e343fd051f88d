// JSON as text. Numbers are never converted: a bigint or a decimal has more digits than JavaScript's numbers.

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

export const isNumber = (text) => NUMBER.test(text);

export function jsonError(text) {
	try {
		JSON.parse(text);
		return null;
	} catch (error) {
		return error.message;
	}
}

// Parse JSON. Numbers keep their digits in `JSON.stringify`, where the browser can do that.
export function parseExact(text) {
	const keep = (_key, value, context) => (typeof value === "number" ? JSON.rawJSON(context.source) : value);
	return JSON.parse(text, JSON.rawJSON && keep);
}

export function segmentsOf(pointer) {
	const segments = pointer.split("/").slice(1);
	return segments.map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

// Return a value as a parameter has it: a text as it is, anything else as JSON.
export const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));
