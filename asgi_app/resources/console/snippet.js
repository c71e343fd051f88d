// Requests as text that a person can run.

import { block } from "./cells.js";
import { copyButton, el } from "./dom.js";
import { curl, httpx } from "./snippets.js";

let made = 0;

// Return a folded section. `texts` has a function that makes the text for each language.
export function asText(title, texts) {
	const group = `snippet-${(made += 1)}`;
	const shown = block(title);
	let language = Object.keys(texts)[0];
	const refresh = () => (shown.textContent = texts[language]());
	const choice = (name) => {
		const change = () => {
			language = name;
			refresh();
		};
		return el("label", el("input", { type: "radio", name: group, checked: name === language, change }), name);
	};
	const choices = el("div", { class: "choices", role: "group", "aria-label": "Language" }, Object.keys(texts).map(choice));
	const bar = el("div", { class: "bar" }, choices, copyButton("Copy", () => shown.textContent));
	refresh();
	return Object.assign(el("details", { class: "snippet", toggle: refresh }, el("summary", title), bar, shown), { refresh });
}

// Return the section of a request, which `request` returns, and of its `cql`.
export function asRequest(title, request, cql, options) {
	return asText(title, { curl: () => curl(request(), options), "Python httpx": () => httpx(request(), options), CQL: () => cql });
}

export const cqlOf = ({ raw }) => raw["x-cassandra"].cql;
