// The head of each view of a table: its name, and the ways to its other views.

import { el, prose } from "./dom.js";
import { link } from "./links.js";
import { primaryKey } from "./tables.js";

// Return the head of a view. `shown` is the view, `pairs` are the filters that the views of rows share.
export function head(table, shown, pairs = []) {
	const filters = pairs.filter(([name]) => name !== "page_state");
	const ways = [
		["Rows", table.browse && link("rows", table.name, filters), "rows"],
		["Stream", table.stream && link("stream", table.name, filters), "stream"],
		["Schema", link("about", table.name), "about"],
		["New row", table.create && link("new", table.name), "new"],
	];
	const items = ways.filter(([, href]) => href).map(([text, href, view]) =>
		el("a", { href, "aria-current": view === shown && "page" }, text),
	);
	return el(
		"header",
		el("h1", { tabindex: -1 }, table.name),
		el("p", { class: "quiet" }, el("code", table.fullName), " · primary key ", el("code", primaryKey(table.facts))),
		shown === "about" && prose(table.description),
		el("div", { class: "tabs", role: "group", "aria-label": "Views of the table" }, items),
	);
}

// Return a paragraph that says what went wrong, read out at once by screen readers.
export function failure({ title, detail, errors = [] }) {
	const lines = errors.map(({ field, message, usable }) =>
		el("li", el("code", field), ` ${message}${usable?.length ? `; usable: ${usable.slice(0, 20).join(", ")}` : ""}`),
	);
	return el("div", { class: "failure", role: "alert" }, el("p", el("strong", title), ` ${detail}`), lines.length > 0 && el("ul", lines));
}

// Run what reads or writes, and show at `place` that there was no answer. A view that was left shows nothing.
export async function attempt(place, signal, run, more = "") {
	try {
		await run();
	} catch ({ message }) {
		if (!signal?.aborted) place.replaceChildren(failure({ title: "No answer.", detail: `${message}. ${more}` }));
	}
}
