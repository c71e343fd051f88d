// Elements of the page. All text becomes text nodes, never markup.

// Make an element with attributes or none, and children: nodes, texts, or arrays of them. A function is a listener of the
// event; `true` is an attribute without a value; null, undefined and false are left out.
export function el(name, ...rest) {
	const attributes = rest[0]?.constructor === Object ? rest.shift() : {};
	const node = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (typeof value === "function") node.addEventListener(key, value);
		else if (value != null && value !== false) node.setAttribute(key, value === true ? "" : value);
	}
	node.append(...rest.flat(Infinity).filter((child) => child != null && child !== false));
	return node;
}

export function prose(text = "") {
	return text.split(/\n\s*\n/).filter(Boolean).map((paragraph) => el("p", inline(paragraph)));
}

// Return a text as nodes, with what stands between backticks as code.
export function inline(text) {
	return text.split("`").map((part, index) => (index % 2 ? el("code", part) : part));
}

export const button = (label, click, attributes = {}) => el("button", { type: "button", click, ...attributes }, label);

// Return a button that copies the text that `source` returns, and says so.
export function copyButton(label, source) {
	const copy = async ({ target }) => {
		const done = await navigator.clipboard?.writeText(source()).then(() => true, () => false);
		target.textContent = done ? "Copied" : "Not allowed"; // the clipboard needs https or localhost
		setTimeout(() => (target.textContent = label), 1500);
	};
	return button(label, copy, { class: "small" });
}
