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

// Parse JSON. Numbers keep their digits in `JSON.stringify`. Without `rawJSON` large integers become texts: none is rounded.
export function parseExact(text) {
	if (JSON.rawJSON) return JSON.parse(text, (_, value, { source }) => (typeof value === "number" ? JSON.rawJSON(source) : value));
	return JSON.parse(text.replace(/"(?:[^"\\]+|\\.)*"|[\w.+-]+/g, (token) => (/^-?\d{16,}$/.test(token) ? `"${token}"` : token)));
}

// Return a line for each text, as JSON where it would be none or more than one.
export const linesOf = (texts) => texts.map((text) => (/^("|$)|[\r\n]/.test(text) ? JSON.stringify(text) : text)).join("\n");

export function valuesOf(lines) {
	return lines.split("\n").filter(Boolean).map((line) => (line[0] === '"' && !jsonError(line) ? JSON.parse(line) : line));
}

export function segmentsOf(pointer) {
	const segments = pointer.split("/").slice(1);
	return segments.map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

// Return a value as a parameter has it: a text as it is, anything else as JSON.
export const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));
