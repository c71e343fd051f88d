// What views have in common: their head, and requests that end with them.

import { Problem } from "./ask.js";
import { el, prose } from "./dom.js";
import { link } from "./links.js";

export class View {
	// `shown` is the name of the view, `pairs` are the filters that the views of rows share.
	constructor(source, shown, pairs) {
		this.source = source;
		this.controller = new AbortController();
		this.status = el("p", { class: "status quiet", role: "status" });
		this.element = el("article", source && head(source, shown, pairs));
	}

	leave() {
		this.controller.abort();
	}

	// Say how it is, once: it would be read out again.
	say(name, text) {
		if (this.status.textContent === text) return;
		this.status.className = `status ${name}`;
		this.status.textContent = text;
	}

	// Run what reads or writes, once at a time, and `fail` with the reason. A view that was left shows nothing.
	async attempt(run, more = "") {
		if (this.isBusy) return;
		this.isBusy = true;
		const { signal } = this.controller;
		try {
			await run(signal);
		} catch (error) {
			if (!signal.aborted) this.fail(failureOf(error, more));
		}
		this.isBusy = false;
	}
}

// Return the name of a table or statement, and the ways to its views.
function head(source, shown, pairs = []) {
	const filters = pairs.filter(([name]) => !/^(page_state$|near:)/.test(name));
	const way = ([view, { title, isFiltered }]) =>
		el("a", { href: link(view, source.name, isFiltered ? filters : []), "aria-current": view === shown && "page" }, title);
	const ways = Object.entries(source.views).map(way);
	return el(
		"header",
		el("h1", { tabindex: -1 }, source.name),
		el("p", source.summary),
		shown === "about" && prose(source.description),
		ways.length > 1 && el("div", { class: "tabs", role: "group", "aria-label": "Views of the table" }, ways),
	);
}

// Return what a request failed with: what the service says, or that there is no answer.
export function failureOf(error, more = "") {
	return error instanceof Problem ? error : { title: "No answer.", detail: `${error.message}. ${more}`, errors: [] };
}

// Return what went wrong, read out at once by screen readers.
export function failure({ title, detail, errors }) {
	const lines = errors.map(({ field, message, usable }) =>
		el("li", el("code", field), ` ${message}${usable?.length ? `; usable: ${usable.slice(0, 20).join(", ")}` : ""}`),
	);
	return el("div", { class: "failure", role: "alert" }, el("p", el("strong", title), ` ${detail}`), lines.length > 0 && el("ul", lines));
}
