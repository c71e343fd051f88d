// JSON as text for people. It is never parsed: it may be cut off, and all digits stay.

// Texts, what is empty, arrays of numbers, brackets and signs, other values.
const TOKEN = /"(?:[^"\\]|\\.)*"?|\{\}|\[[^[\]{}"]*\]|[{}[\],:]|[^\s{}[\],:"]+/gs;

// Return JSON with an indented line for each member, and arrays of numbers in one line.
export function pretty(text) {
	let depth = 0;
	const line = (deeper) => `\n${"  ".repeat((depth += deeper))}`;
	return text.replace(TOKEN, (token) => {
		if (token === "{" || token === "[") return token + line(1);
		if (token === "}" || token === "]") return line(-1) + token;
		if (token === ",") return token + line(0);
		return token === ":" ? ": " : token;
	});
}
