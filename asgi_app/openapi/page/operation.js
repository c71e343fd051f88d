// The view of one operation: what it does, its form, the request as text, and the answer.

import { Answer, valueOf } from "./answer.js";
import { curl } from "./curl.js";
import { button, copyButton, el, prose } from "./dom.js";
import { fillExamples } from "./examples.js";
import { Form, isSend } from "./form.js";
import { httpx } from "./httpx.js";
import { textOf } from "./json.js";
import { askForKey } from "./keys.js";
import { badge, resourceLink } from "./links.js";
import { nextQuery } from "./service.js";

const LANGUAGES = { curl, "Python httpx": httpx };

export class OperationView {
	constructor(document, operation, open) {
		Object.assign(this, { document, operation, open });
		this.facts = operation.raw["x-cassandra"] ?? {};
		this.form = new Form(document, operation);
		this.answer = new Answer((response, text) => this.#actions(response, text));
		this.snippet = el("pre", { tabindex: 0, role: "region", "aria-label": "The request as text" });
		const result = el("section", { class: "result" }, this.#request(), this.answer.element);
		this.element = el("article", this.#head(), el("section", { class: "columns" }, this.#form(), result));
		this.#preview();
	}

	fill(values) {
		this.form.enter(values.map(([name, value]) => [name, textOf(value)]));
		this.#preview();
	}

	#head() {
		const { method, path, id, resource, raw } = this.operation;
		const { cql } = this.facts;
		return el(
			"header",
			el("h1", { tabindex: -1 }, raw.summary),
			el("p", { class: "address" }, badge(method), el("code", path)),
			prose(raw.description),
			cql && el("pre", { tabindex: 0, role: "region", "aria-label": "CQL" }, cql),
			el("p", { class: "quiet" }, "Resource ", el("a", { href: resourceLink(resource) }, resource), ` · operation ${id}`),
		);
	}

	#form() {
		const { fields, element, credential } = this.form;
		const submit = (event) => this.#submit(event);
		const listeners = { submit, input: () => this.#preview(), keydown: (event) => isSend(event) && submit(event) };
		const buttons = [
			el("button", { class: "primary" }, "Send"),
			fields.length > 0 && button("Fill in examples", () => this.#fillExamples()),
			credential && button("Key …", () => askForKey(credential)),
		];
		const bar = el("div", { class: "bar" }, buttons);
		return el("form", { "aria-label": "Request", ...listeners }, element, bar, this.#answers());
	}

	#request() {
		const options = Object.keys(LANGUAGES).map((name) => el("option", name));
		this.language = el("select", { "aria-label": "Language", change: () => this.#preview() }, options);
		const bar = el("div", { class: "bar" }, el("h2", "Request"), this.language, copyButton("Copy", () => this.snippet.textContent));
		return el("section", bar, this.snippet);
	}

	#answers() {
		const all = this.document.answersOf(this.operation);
		const lines = all.map(([status, { description }]) => [el("dt", status), el("dd", description)]);
		return el("details", { class: "group" }, el("summary", "Answers by status"), el("dl", lines));
	}

	#preview(request = this.form.request()) {
		const stream = ["stream", "export"].includes(this.facts.operation);
		this.snippet.textContent = LANGUAGES[this.language.value](request, { stream });
	}

	#fillExamples() {
		fillExamples(this.form);
		this.#preview();
	}

	async #submit(event) {
		event.preventDefault();
		if (this.form.check()) await this.#send(this.form.request());
	}

	async #send(request) {
		this.#preview(request);
		this.form.clear();
		const problem = await this.answer.ask(request);
		if (!problem) return;
		this.answer.list(this.form.fail(problem.errors ?? []));
		const { credential } = this.form;
		if (problem.status === 401 && credential && (await askForKey(credential, problem.detail))) this.#send(request);
	}

	// Return the buttons below an answer: the next page, and linked operations.
	#actions({ status, headers }, text) {
		const query = nextQuery(headers);
		const next = query && button("Next page", () => this.#send(this.form.request(query)), { class: "small" });
		const [, answer] = this.document.answersOf(this.operation).find(([each]) => each === String(status)) ?? [];
		return [next, Object.values(answer?.links ?? {}).map((link) => this.#link(this.document.resolve(link), text))];
	}

	#link({ operationId, parameters = {} }, text) {
		const target = this.document.operations.get(operationId);
		const values = Object.entries(parameters).map(([name, expression]) => [
			name.replace(/^(path|query)\./, ""),
			valueOf(expression, Object.fromEntries(this.form.pairs("path")), text),
		]);
		if (!target || values.some(([, value]) => value == null)) return null;
		return button(`${target.method} ${target.raw.summary}`, () => this.open(target, values), { class: "small" });
	}
}
