// The first view: what the service serves, how it is, and the nodes of Cassandra.

import { metricsRequest, problemOf } from "./ask.js";
import { facts, scrolling } from "./cells.js";
import { el, prose } from "./dom.js";
import { Reading, quantile, rate } from "./metrics.js";
import { base, send } from "./service.js";
import { Sparkline } from "./sparkline.js";
import { View } from "./view.js";

const EVERY = 2000; // milliseconds between two readings
const REQUESTS = "http_request_seconds_bucket";
const LAG = "event_loop_lag_seconds_bucket";

const STATES = [["failed", "down"], ["ok", "up"]];

const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
const milliseconds = (value) => `${number(value * 1000)} ms`;

const CHARTS = [
	["Requests/s", "without probes and this page's own", number, rate("http_requests_total")],
	["Latency p50 / p99", "of requests, streams included", milliseconds, quantile(REQUESTS, 0.5), quantile(REQUESTS, 0.99)],
	["In flight", "without this page's", number, (_, now) => Math.max(0, now.sum("http_requests_in_flight") - 1)],
	["Refused/s", "to protect the service", number, rate("shed_requests_total")],
	["Rows/s", "sent in streams", number, rate("streamed_rows_total")],
	["Event loop lag p99", "how late timers fire", milliseconds, quantile(LAG, 0.99)],
];

export class OverviewView extends View {
	constructor(document, sources) {
		super();
		this.document = document;
		this.say("quiet", "Asking the service …");
		this.facts = el("div");
		this.note = el("div");
		this.charts = CHARTS.map(([title, hint, format, ...reads]) => ({ reads, chart: new Sparkline(title, hint, format, reads.length) }));
		this.nodes = el("div", el("p", { class: "quiet" }, "Not known yet."));
		const { info } = document.raw;
		this.element.append(
			el("header", el("h1", { tabindex: -1 }, info.title), this.status, prose(info.description), this.facts),
			el("section", el("h2", "Now"), this.note, el("div", { class: "tiles" }, this.charts.map(({ chart }) => chart.element))),
			el("section", el("h2", "Nodes of Cassandra"), this.nodes),
			el("section", el("h2", "Tables and statements"), listOf(sources)),
		);
		this.#know(null);
		this.#follow();
	}

	leave() {
		super.leave();
		clearTimeout(this.timer);
	}

	async #follow() {
		if (!document.hidden) await this.#ready().then(() => this.#measure());
		if (!this.controller.signal.aborted) this.timer = setTimeout(() => this.#follow(), EVERY);
	}

	async #ready() {
		try {
			const response = await send({ method: "GET", url: new URL("readyz", base) }, this.#limit());
			const report = await response.json();
			this.say(response.ok ? "ok" : "failed", response.ok ? "Ready" : `Not ready: ${reasons(report)}`);
			this.answered = new Date();
		} catch {
			this.say("failed", `No answer from the service${this.answered ? ` since ${this.answered.toLocaleTimeString("en-GB")}; what is shown is from before` : ""}`);
		}
	}

	async #measure() {
		try {
			const response = await send(metricsRequest(this.document, "text/plain"), this.#limit());
			if (response.ok) this.#show(new Reading(await response.text()));
			else this.#fail(await problemOf(response));
		} catch {
			this.#add(null);
		}
	}

	// A signal that ends a request after a while, or with the view.
	#limit() {
		return AbortSignal.any([this.controller.signal, AbortSignal.timeout(5000)]);
	}

	#fail({ title, detail }) {
		this.#add(null);
		this.note.replaceChildren(el("p", { class: "note" }, `The metrics are not shown: ${title} ${detail}`));
	}

	#show(reading) {
		this.note.replaceChildren();
		this.#add(reading);
		this.#know(reading);
		const rows = [...reading.nodes].map(([node, { up, version, datacenter: center, connections, connections_in_use: used }]) => {
			const [name, word] = STATES[up] ?? ["quiet", "not known"];
			return [el("code", node), el("span", { class: name }, word), version, center, connections, used];
		});
		const heads = ["Node", "State", "Version", "Data centre", "Connections", "In use"];
		this.nodes.replaceChildren(rows.length ? scrolling("Nodes", heads, rows) : "No node is known: the service has not connected yet.");
	}

	// Add a reading to the charts; null where there was no answer.
	#add(reading) {
		const before = this.before;
		this.before = reading;
		if (!before && reading) return; // a rate needs two
		for (const { chart, reads } of this.charts) chart.add(reads.map((read) => reading && read(before, reading)));
	}

	#know(reading) {
		const { info } = this.document.raw;
		const started = reading?.sum("service_start_time_seconds");
		this.facts.replaceChildren(
			facts({
				Version: info.version,
				Address: el("code", base.href),
				"Running since": started ? new Date(started * 1000).toLocaleString("en-GB") : "–",
				"Open streams": reading ? `${number(reading.sum("open_streams"))} of ${number(reading.sum("open_streams_limit"))}` : "–",
			}),
		);
	}
}

function reasons({ draining, connected, missing_tables: missing = [] }) {
	if (draining) return "it is shutting down";
	if (!connected) return "Cassandra does not answer";
	return missing.length ? `tables are missing: ${missing.join(", ")}` : "it does not say why";
}

function listOf(sources) {
	if (!sources.length) return el("p", { class: "quiet" }, "This service serves no table.");
	const rows = sources.map(({ name, home, summary, facts: { writes = "" } }) => [el("a", { href: home }, name), summary, writes]);
	return scrolling("Tables and statements", ["Name", "Table or CQL", "Writes"], rows);
}
