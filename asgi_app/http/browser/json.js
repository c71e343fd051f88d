// JSON as text. Numbers are never converted: a bigint or a decimal has more digits than JavaScript's numbers.

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const TOKEN = /"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/gs;

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

export const compact = (text) => (text.match(TOKEN) ?? []).join("");

// Return JSON with an indented line for each member, and arrays of plain values in one line. It may be cut off.
export function pretty(text) {
	const tokens = text.match(TOKEN) ?? [];
	const parts = [];
	const open = []; // for each open bracket whether its members have lines of their own
	const line = () => parts.push("\n", "  ".repeat(open.filter(Boolean).length));
	tokens.forEach((token, index) => {
		if (token === "{" || token === "[") {
			parts.push(token);
			open.push(!staysInLine(tokens, index));
			if (open.at(-1)) line();
		} else if (token === "}" || token === "]") {
			if (open.pop()) line();
			parts.push(token);
		} else if (token === ",") {
			parts.push(open.at(-1) ? "," : ", ");
			if (open.at(-1)) line();
		} else {
			parts.push(token === ":" ? ": " : token);
		}
	});
	return parts.join("");
}

// Return whether what opens at `start` is empty, or an array without arrays and objects in it.
function staysInLine(tokens, start) {
	if (tokens[start] === "{") return tokens[start + 1] === "}";
	let end = start + 1;
	while (end < tokens.length && !/^[[\]{}]$/.test(tokens[end])) end += 1;
	return tokens[end] === "]";
}
