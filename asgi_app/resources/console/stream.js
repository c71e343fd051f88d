// The view of a stream: how fast it is, its last rows, and how many streams the service has open.

import { ask, metricsRequest, problemOf } from "./ask.js";
import { headings, isNothing, short } from "./cells.js";
import { filtered } from "./cql.js";
import { button, el } from "./dom.js";
import { Filters } from "./filters.js";
import { failure, head } from "./head.js";
import { link } from "./links.js";
import { send } from "./service.js";
import { asRequest, cqlOf } from "./snippet.js";
import { Tail } from "./tail.js";

const SHOWN = 100;
const DRAW_EVERY = 250; // milliseconds: four times a second
const ASK_EVERY = 1000;
const MOST_AT_ONCE = 12; // milliseconds of work before the tab may do something else

const FACTS = ["Rows", "Rows/s", "Bytes", "Bytes/s", "First byte", "Seconds", "open_streams"];

export class StreamView {
	constructor(table, pairs) {
		Object.assign(this, { table, operation: table.stream });
		this.filters = new Filters(table, table.stream, pairs, (others) => (location.hash = link("stream", table.name, others)));
		this.start = button("Start", () => this.#run(), { class: "primary" });
		this.stop = button("Stop", () => this.controller?.abort(), { disabled: true });
		this.status = el("p", { class: "status quiet", role: "status" }, this.filters.isComplete ? "Not started" : `Enter a value for ${this.filters.places.join(", ")}.`);
		this.start.disabled = !this.filters.isComplete;
		this.wrong = el("div");
		this.values = new Map(FACTS.map((name) => [name, el("dd", "–")]));
		this.rows = new LastRows(table);
		this.element = el(
			"article",
			head(table, "stream", pairs),
			this.filters.element,
			el("div", { class: "bar" }, this.start, this.stop, this.status),
			this.wrong,
			el("dl", { class: "facts figures" }, [...this.values].map(([name, value]) => el("div", el("dt", name), value))),
			this.rows.element,
			asRequest("This stream as a request", () => this.request, filtered(cqlOf(table.stream), this.filters.set), { stream: true }),
		);
	}

	leave() {
		this.controller?.abort();
		clearInterval(this.asking);
	}

	get request() {
		return this.table.request(this.operation, this.filters.pairs, [["Accept", "application/x-ndjson"]]);
	}

	async #run() {
		const controller = (this.controller = new AbortController());
		this.start.disabled = true;
		this.stop.disabled = false;
		this.tail = new Tail();
		this.wrong.replaceChildren();
		this.#say("quiet", "Waiting for the first byte …");
		clearInterval(this.asking);
		this.asking = setInterval(() => this.#askOpen(), ASK_EVERY);
		this.begun = performance.now();
		this.first = null;
		this.drawing = setInterval(() => this.#draw(), DRAW_EVERY);
		try {
			const response = await ask(this.request, controller.signal);
			const problem = await problemOf(response);
			if (problem) this.#fail(problem);
			else await this.#read(response);
		} catch (error) {
			if (controller.signal.aborted) this.#say("quiet", "Stopped");
			else this.#fail({ title: "The stream broke off.", detail: this.first === null ? error.message : "The rows are not all." });
		}
		this.#end();
	}

	async #read(response) {
		const reader = response.body.getReader();
		let since = performance.now();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) break;
			if (this.first === null) this.#say("quiet", "Streaming …");
			this.first ??= performance.now() - this.begun;
			this.tail.add(value);
			if (performance.now() - since < MOST_AT_ONCE) continue;
			await pause();
			since = performance.now();
		}
		this.#say("ok", "Complete: all rows have come");
	}

	#fail(problem) {
		this.#say("failed", "Failed");
		this.wrong.replaceChildren(failure(problem));
	}

	// Show the last state, and follow how many streams are open until the service has closed this one.
	#end() {
		clearInterval(this.drawing);
		this.#draw();
		this.start.disabled = false;
		this.stop.disabled = true;
		this.#askOpen();
		setTimeout(() => this.stop.disabled && clearInterval(this.asking), 10 * ASK_EVERY);
	}

	#draw() {
		const seconds = (performance.now() - this.begun) / 1000;
		const { rows, bytes } = this.tail;
		this.#set({
			Rows: rows.toLocaleString("en"),
			"Rows/s": Math.round(rows / seconds).toLocaleString("en"),
			Bytes: size(bytes),
			"Bytes/s": size(bytes / seconds),
			"First byte": this.first === null ? "–" : `${Math.round(this.first)} ms`,
			Seconds: seconds.toFixed(1),
		});
		this.rows.draw(this.tail.lines(SHOWN));
	}

	async #askOpen() {
		const response = await send(metricsRequest(this.table.document, "application/json")).catch(() => null);
		this.#set({ open_streams: response?.ok ? (await response.json()).open_streams : "not known" });
	}

	#set(values) {
		for (const [name, text] of Object.entries(values)) this.values.get(name).textContent = text;
	}

	#say(name, text) {
		this.status.className = `status ${name}`;
		this.status.textContent = text;
	}
}

// The last rows as a plain table. Its cells are made once and filled again.
class LastRows {
	constructor(table) {
		this.table = table;
		this.head = el("thead");
		this.body = el("tbody");
		this.cells = [];
		this.element = el("div", { class: "scrolling last", tabindex: 0, role: "region", "aria-label": "Last rows", hidden: true }, el("table", this.head, this.body));
	}

	draw(lines) {
		const rows = lines.map(parsed).filter(Boolean);
		if (!rows.length) return;
		this.names ??= this.#begin(Object.keys(rows[0]));
		while (this.cells.length < rows.length) this.#add();
		rows.reverse().forEach((row, index) => this.names.forEach((name, column) => write(this.cells[index][column], row[name])));
	}

	#begin(names) {
		this.head.append(el("tr", headings(this.table.facts, names).map((content) => el("th", { scope: "col" }, content))));
		this.element.hidden = false;
		return names;
	}

	#add() {
		const cells = this.names.map(() => el("td"));
		this.cells.push(cells);
		this.body.append(el("tr", cells));
	}
}

function write(cell, value) {
	cell.textContent = short(value);
	cell.className = isNothing(value) ? "nothing" : "";
}

function parsed(line) {
	try {
		return JSON.parse(line);
	} catch {
		return null; // the beginning of the line was not kept
	}
}

// Let the tab do something else: answer a key, draw.
const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));

const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
