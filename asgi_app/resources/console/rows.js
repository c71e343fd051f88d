// The view of rows: a page of them, never how many there are. Pages and filters are addresses.

import { ask } from "./ask.js";
import { rowsTable } from "./cells.js";
import { filtered } from "./cql.js";
import { el } from "./dom.js";
import { Filters } from "./filters.js";
import { parseExact } from "./json.js";
import { link } from "./links.js";
import { nextQuery } from "./service.js";
import { asRequest, cqlOf } from "./snippet.js";
import { PAGE_ROWS, isStream } from "./sources.js";
import { Tail } from "./tail.js";
import { View, failure } from "./view.js";

const MOST_BYTES = 4 << 20; // of the beginning of a stream

export class RowsView extends View {
	constructor(source, pairs) {
		super(source, "rows", pairs);
		this.filters = new Filters(source, source.browse, pairs, "rows");
		this.operation = this.filters.near ? source.search : source.browse;
		this.position = pairs.filter(([name]) => name === "page_state");
		this.say("quiet", "Enter what the rows are read by.");
		this.rows = el("div", { class: "rows" });
		this.next = el("div", { class: "bar" });
		this.element.append(this.filters.element, el("section", this.status, this.rows, this.next));
		if (this.filters.isComplete && this.filters.check()) this.#begin();
	}

	#begin() {
		const cql = filtered(cqlOf(this.operation), this.filters.relations);
		this.element.append(el("section", !this.filters.near && this.#files(), asRequest("This page as a request", () => this.request, cql)));
		this.status.textContent = "Reading …";
		this.attempt(async (signal) => {
			const begun = performance.now();
			const response = await ask(this.request, signal);
			this.#show(await this.#read(response, signal), performance.now() - begun);
		});
	}

	// The request of a page. A stream has none, so its beginning is read.
	get request() {
		const { source, operation, filters } = this;
		const names = filters.near ? ["limit"] : source.document.parametersOf(operation).map(({ name }) => name);
		if (isStream(source.document, operation)) return { ...filters.request([]), headers: [["Accept", "application/x-ndjson"]] };
		const size = ["fetch_size", "limit"].find((name) => names.includes(name));
		return filters.request([...(size ? [[size, String(PAGE_ROWS)]] : []), ...this.position]);
	}

	// Return links to all rows that the filters choose, as files. A link sends no key.
	#files() {
		const { source, filters } = this;
		const files = ["ndjson", "csv"].map((format) => [format, source.exportAs(format)]).filter(([, operation]) => operation);
		const links = files.map(([format, operation]) => [format, source.request({ operation, pairs: filters.pairs })]).filter(([, { credential }]) => !credential);
		const anchors = links.map(([format, { url }]) => el("a", { href: url, download: `${source.name}.${format}` }, format.toUpperCase()));
		return anchors.length > 0 && el("p", { class: "bar" }, "Download all of these rows:", anchors);
	}

	fail(problem) {
		const isOld = problem.errors.some(({ field }) => field === "query.page_state");
		const again = isOld && el("a", { href: link("rows", this.source.name, this.filters.pairs) }, "Begin at the first page");
		this.status.textContent = "";
		this.rows.replaceChildren(failure({ ...problem, errors: this.filters.fail(problem.errors) }));
		this.next.replaceChildren(again || "");
	}

	// Return the rows of an answer, and the page state of the next page: null if there is none, true if it has no address.
	// `broken` is why a stream has no more.
	async #read(response, signal) {
		if (response.headers.get("content-type").startsWith("application/x-ndjson")) return firstRows(response, signal);
		const answer = parseExact(await response.text());
		if (Array.isArray(answer)) return { rows: answer, next: new URLSearchParams(nextQuery(response.headers)).get("page_state") };
		if (this.operation.raw["x-cassandra"].operation !== "pages") return { rows: [answer] };
		return { rows: Object.values(answer).find(Array.isArray), next: answer.page_state };
	}

	#show({ rows, next, broken }, took) {
		const { source, filters, position } = this;
		const count = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
		const end = broken ? "broken off" : filters.near ? "the nearest first" : "the last page";
		const facts = [`${count}${position.length ? " of a later page" : ""}`, next ? "more follow" : end, `${Math.round(took)} ms`];
		const none = filters.pairs.length ? "No rows with these values (case counts)." : "No rows.";
		this.status.textContent = rows.length || next || broken ? facts.join(" · ") : none;
		if (broken) this.status.after(failure(broken));
		if (rows.length) this.rows.append(rowsTable("Rows", source, rows));
		const way = (view, text, pairs = []) => el("a", { class: "way", href: link(view, source.name, [...filters.pairs, ...pairs]) }, text);
		const ways = [
			position.length > 0 && way("rows", "First page"),
			typeof next === "string" && way("rows", "Next page", [["page_state", next]]),
			next === true && way("stream", "Stream all"),
		];
		this.next.replaceChildren(...ways.filter(Boolean));
	}
}

// Read the first rows of a stream, and stop it.
async function firstRows(response, signal) {
	const tail = new Tail(Infinity);
	const result = {};
	const isShort = () => tail.rows <= PAGE_ROWS && tail.bytes < MOST_BYTES;
	try {
		await tail.read(response, isShort);
		if (!isShort()) result.next = true;
	} catch (error) {
		if (signal.aborted) throw error;
		result.broken = tail.failure(error);
	}
	return { ...result, rows: tail.lines(Infinity).slice(0, PAGE_ROWS).map(parseExact) };
}
