// The answer to a request, as far as a page can show it, with a button to stop.

import { readBody } from "./body.js";
import { button, el } from "./dom.js";
import { jsonError, parseExact, segmentsOf } from "./json.js";
import { pretty } from "./pretty.js";
import { send } from "./service.js";

const MOST_BYTES = 128 * 1024;

const ENDS = {
	cut: `The answer is longer. The page stopped reading after ${MOST_BYTES / 1024} KiB.`,
	stopped: "Stopped. The answer may be longer.",
	broken: "The connection broke off, so the answer is incomplete.",
};

export class Answer {
	// `actions` makes the buttons below an answer, from the response and its text.
	constructor(actions) {
		this.actions = actions;
		this.status = el("p", { role: "status" });
		this.stop = button("Stop", () => this.controller.abort(), { class: "small", hidden: true });
		this.others = el("ul", { class: "error" });
		this.details = el("section");
		this.body = el("pre", { tabindex: 0, role: "region", "aria-label": "Body of the answer", hidden: true });
		const bar = el("div", { class: "bar" }, el("h2", "Answer"), this.stop);
		this.element = el("section", { class: "answer" }, bar, this.status, this.details, this.body);
		this.#say("quiet", "nothing was sent yet");
	}

	// Send a request and show its answer. Returns the problem document if the answer is one, else null.
	async ask(request) {
		this.controller?.abort();
		const controller = (this.controller = new AbortController());
		const isLast = () => this.controller === controller; // else a later request has taken this one's place
		this.#begin();
		try {
			const begun = performance.now();
			const response = await send(request, controller.signal);
			if (isLast()) this.#say(response.ok ? "ok" : "failed", statusOf(response), "reading …");
			const read = await readBody(response, MOST_BYTES, controller.signal, (text) => isLast() && this.#show(response, text));
			return isLast() ? this.#end(response, read, performance.now() - begun) : null;
		} catch (error) {
			if (isLast()) this.#say("failed", controller.signal.aborted ? "Stopped" : "No answer", error.message);
			return null;
		} finally {
			if (isLast()) this.stop.hidden = true;
		}
	}

	// Show the errors of a problem document that no field stands for.
	list(errors) {
		this.others.replaceChildren(...errors.map(({ field, message }) => el("li", el("code", field), ` ${message}`)));
	}

	#begin() {
		this.stop.hidden = false;
		this.body.hidden = true;
		for (const place of [this.details, this.others]) place.replaceChildren();
		this.#say("quiet", "waiting for the answer …");
	}

	#end(response, { text, bytes, ended }, took) {
		const problem = typeOf(response).startsWith("application/problem+json") && !jsonError(text) ? JSON.parse(text) : null;
		this.#say(response.ok ? "ok" : "failed", statusOf(response), `${Math.round(took)} ms`, `${bytes.toLocaleString("en")} bytes`);
		this.#show(response, text);
		const parts = [
			problem && el("p", { class: "error" }, el("strong", problem.title), ` ${problem.detail ?? ""}`),
			this.others,
			ENDS[ended] && el("p", { class: "note" }, ENDS[ended]),
			bytes > 0 && !text && el("p", { class: "quiet" }, "The body is no text."),
			el("div", { class: "bar" }, this.actions(response, text)),
			headersOf(response),
		];
		this.details.replaceChildren(...parts.filter(Boolean));
		this.status.scrollIntoView({ block: "nearest" });
		return problem;
	}

	#show(response, text) {
		this.body.hidden = !text;
		this.body.textContent = /[/+]json(;|$)/.test(typeOf(response)) ? pretty(text) : text;
	}

	#say(name, ...facts) {
		this.status.className = `status ${name}`;
		this.status.textContent = facts.join(" · ");
	}
}

// Return the value of an expression of OpenAPI's links, for the values in the path and the answer, or undefined.
export function valueOf(expression, pathValues, text) {
	const [, place, name] = /^\$(request\.path\.|response\.body#)(.*)$/s.exec(expression) ?? [];
	if (place === "request.path.") return pathValues[name];
	if (!place || jsonError(text)) return undefined;
	return segmentsOf(name).reduce((found, segment) => found?.[segment], parseExact(text));
}

const typeOf = ({ headers }) => headers.get("content-type") ?? "";

const statusOf = ({ status, statusText }) => `${status} ${statusText}`;

function headersOf({ headers }) {
	const rows = [...headers].map(([name, value]) => el("tr", el("th", { scope: "row" }, name), el("td", value)));
	return el("details", el("summary", `Headers (${rows.length})`), el("table", { class: "headers" }, rows));
}
