// The view of a table's rows: a page of them, never how many there are. Pages and filters are addresses.

import { ask, problemOf } from "./ask.js";
import { cell, headings, scrolling, short } from "./cells.js";
import { filtered } from "./cql.js";
import { el } from "./dom.js";
import { Filters } from "./filters.js";
import { attempt, failure, head } from "./head.js";
import { parseExact } from "./json.js";
import { link } from "./links.js";
import { nextQuery } from "./service.js";
import { asRequest, asText, cqlOf } from "./snippet.js";
import { curl } from "./snippets.js";
import { PAGE_ROWS } from "./tables.js";

const FILES = ["ndjson", "csv"];
const MOST_BYTES = 4 << 20; // of the beginning of a stream

export class RowsView {
	constructor(table, pairs) {
		Object.assign(this, { table, pairs, operation: table.browse });
		this.controller = new AbortController();
		this.status = el("p", { class: "status quiet", role: "status" });
		this.rows = el("div", { class: "rows" });
		this.next = el("div", { class: "bar" });
		this.element = el("article", head(table, "rows", pairs));
		if (!this.operation) this.element.append(el("p", "Rows of this table can be read only one at a time."));
		else this.#begin();
	}

	leave() {
		this.controller.abort();
	}

	#begin() {
		const { table, operation, pairs } = this;
		this.filters = new Filters(table, operation, pairs, (others) => (location.hash = link("rows", table.name, others)));
		this.element.append(this.filters.element, el("section", this.status, this.rows, this.next));
		if (!this.filters.isComplete) {
			this.status.textContent = `Rows are read by ${this.filters.places.join(", ")}: enter a value.`;
			return;
		}
		this.element.append(el("section", this.#files(), asRequest("This page as a request", () => this.request, filtered(cqlOf(operation), this.filters.set))));
		this.#load();
	}

	get request() {
		const { operation, pairs, table } = this;
		const size = { pages: "fetch_size", list: "limit" }[operation.raw["x-cassandra"].operation];
		const accept = size ? [] : [["Accept", "application/x-ndjson"]];
		return table.request(operation, size ? [...pairs, [size, String(PAGE_ROWS)]] : pairs, accept);
	}

	// Return the ways to all rows that the filters choose, as files: links, or commands where a key is needed.
	#files() {
		const { table, filters } = this;
		const files = FILES.map((format) => [format, table.exportAs(format)]).filter(([, operation]) => operation);
		if (!files.length) return null;
		const request = ([, operation]) => table.request(operation, filters.pairs);
		const links = files.map((file) => el("a", { href: request(file).url, download: `${table.name}.${file[0]}` }, file[0].toUpperCase()));
		const isOpen = files.every((file) => !request(file).credential);
		const texts = files.map((file) => [`${file[0].toUpperCase()} by curl`, () => curl(request(file), { stream: true })]);
		const commands = asText("All of these rows as a file", Object.fromEntries(texts));
		return [isOpen && el("p", { class: "bar" }, "Download all of these rows:", links), commands];
	}

	async #load() {
		const begun = performance.now();
		this.status.textContent = "Reading …";
		const { signal } = this.controller;
		await attempt(this.rows, signal, async () => {
			const response = await ask(this.request, signal);
			const problem = await problemOf(response);
			if (problem) this.#fail(problem);
			else this.#show(await this.#read(response), performance.now() - begun);
		});
		if (this.status.textContent === "Reading …") this.status.textContent = "";
	}

	#fail(problem) {
		const again = problem.errors?.some(({ field }) => field === "query.page_state") && el("a", { href: link("rows", this.table.name, this.filters.pairs) }, "Begin at the first page");
		this.status.textContent = "";
		this.rows.replaceChildren(failure(problem));
		this.next.replaceChildren(again || "");
	}

	// Return the rows of an answer, and the page state of the next page: null if there is none, true if it has no address.
	async #read(response) {
		if (response.headers.get("content-type").startsWith("application/x-ndjson")) return firstRows(response);
		const answer = parseExact(await response.text());
		if (Array.isArray(answer)) return { rows: answer, next: new URLSearchParams(nextQuery(response.headers)).get("page_state") };
		return { rows: Object.values(answer).find(Array.isArray), next: answer.page_state };
	}

	#show({ rows, next }, took) {
		const { table, filters } = this;
		const isFirst = !this.pairs.some(([name]) => name === "page_state");
		const count = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
		const facts = [`${count}${isFirst ? "" : " of a later page"}`, next ? "more follow" : "the last page", `${Math.round(took)} ms`];
		this.status.textContent = rows.length || next ? facts.join(" · ") : "No rows.";
		const names = [...new Set(rows.flatMap(Object.keys))];
		if (rows.length) this.rows.replaceChildren(scrolling("Rows", headings(table.facts, names), rows.map((row) => this.#cells(row, names))));
		this.next.replaceChildren(
			...[
				!isFirst && el("a", { class: "way", href: link("rows", table.name, filters.pairs) }, "First page"),
				typeof next === "string" && el("a", { class: "way", href: link("rows", table.name, [...filters.pairs, ["page_state", next]]) }, "Next page"),
				next === true && el("a", { class: "way", href: link("stream", table.name, filters.pairs) }, "Stream all"),
			].filter(Boolean),
		);
	}

	#cells(row, names) {
		const { table } = this;
		const canOpen = table.canRead && table.keys.every((name) => row[name] != null);
		return names.map((name, index) => {
			if (index || !canOpen) return cell(name, row[name]);
			return el("a", { href: link("row", table.name, table.keysOf(row)), title: "Open the row" }, short(row[name]));
		});
	}
}

// Read the first rows of a stream, and stop it.
async function firstRows(response) {
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	for (;;) {
		const { done, value } = await reader.read();
		text += value ?? "";
		const lines = text.split("\n");
		if (!done && lines.length <= PAGE_ROWS + 1 && text.length < MOST_BYTES) continue;
		await reader.cancel();
		const rows = lines.slice(0, -1).slice(0, PAGE_ROWS).map(parseExact);
		return { rows, next: !done || lines.length > PAGE_ROWS + 1 ? true : null };
	}
}
