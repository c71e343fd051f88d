// The view of a stream: how fast it is, its last rows, and how many streams the service has open.

import { ask, metricsRequest } from "./ask.js";
import { facts, rowsTable } from "./cells.js";
import { filtered } from "./cql.js";
import { button, el } from "./dom.js";
import { Filters } from "./filters.js";
import { parseExact } from "./json.js";
import { send } from "./service.js";
import { asRequest, cqlOf } from "./snippet.js";
import { Tail } from "./tail.js";
import { View, failure, failureOf } from "./view.js";

const SHOWN = 100;
const DRAW_EVERY = 250; // milliseconds: four times a second
const ASK_EVERY = 1000;
const MOST_AT_ONCE = 12; // milliseconds of work before the tab may do something else

const FACTS = ["Rows", "Rows/s", "Bytes", "Bytes/s", "First byte", "Seconds", "open_streams"];

export class StreamView extends View {
	constructor(source, pairs) {
		super(source, "stream", pairs);
		this.filters = new Filters(source, source.stream, pairs, "stream");
		this.start = button("Start", () => this.#run(), { class: "primary" });
		this.stop = button("Stop", () => this.controller.abort(), { disabled: true });
		this.say("quiet", "Not started");
		this.wrong = el("div");
		this.values = Object.fromEntries(FACTS.map((name) => [name, el("span", "–")]));
		this.rows = el("div", { class: "last" });
		this.element.append(
			this.filters.element,
			el("div", { class: "bar" }, this.start, this.stop, this.status),
			this.wrong,
			el("div", { class: "figures" }, facts(this.values)),
			this.rows,
			asRequest("This stream as a request", () => this.request, filtered(cqlOf(source.stream), this.filters.relations), { stream: true }),
		);
	}

	leave() {
		super.leave();
		clearInterval(this.asking);
	}

	get request() {
		return { ...this.filters.request([]), headers: [["Accept", "application/x-ndjson"]] };
	}

	async #run() {
		if (!this.filters.check()) return;
		const { signal } = (this.controller = new AbortController());
		this.#begin();
		try {
			await this.tail.read(await ask(this.request, signal), () => this.#goOn());
			this.say("ok", "Complete: all rows have come");
		} catch (error) {
			if (signal.aborted) this.say("quiet", "Stopped");
			else this.#fail(error);
		}
		this.#end();
	}

	#begin() {
		this.start.disabled = true;
		this.stop.disabled = false;
		this.tail = new Tail();
		this.wrong.replaceChildren();
		this.say("quiet", "Waiting for the first byte …");
		clearInterval(this.asking);
		this.asking = setInterval(() => this.#askOpen(), ASK_EVERY);
		this.begun = this.since = performance.now();
		this.first = null;
		this.drawing = setInterval(() => this.#draw(), DRAW_EVERY);
	}

	// Note when the stream has begun, and let the tab do something else now and then.
	async #goOn() {
		if (this.first === null) this.say("quiet", "Streaming …");
		this.first ??= performance.now() - this.begun;
		if (performance.now() - this.since > MOST_AT_ONCE) {
			await pause();
			this.since = performance.now();
		}
		return true;
	}

	// Say why there are no rows, or no more.
	#fail(error) {
		this.say("failed", "Failed");
		const problem = this.first === null ? failureOf(error) : this.tail.failure(error);
		this.wrong.replaceChildren(failure({ ...problem, errors: this.filters.fail(problem.errors) }));
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
		this.#drawRows(this.tail.lines(SHOWN).map(parseExact).reverse());
	}

	// Draw rows in the table that there is, which keeps the place to which it was scrolled.
	#drawRows(rows) {
		if (!rows.length) return;
		const table = rowsTable("Last rows", this.source, rows);
		const body = this.rows.querySelector("tbody");
		if (body) body.replaceWith(table.querySelector("tbody"));
		else this.rows.append(table);
	}

	async #askOpen() {
		const response = await send(metricsRequest(this.source.document, "application/json")).catch(() => null);
		this.#set({ open_streams: response?.ok ? (await response.json()).open_streams : "not known" });
	}

	#set(values) {
		for (const [name, text] of Object.entries(values)) this.values[name].textContent = text;
	}
}

// Let the tab answer a key, or draw.
const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));

const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
