// The views that create a row and change one: a form of the operation, as the document describes it.

import { ask, problemOf } from "./ask.js";
import { button, el } from "./dom.js";
import { Form } from "./form.js";
import { attempt, failure, head } from "./head.js";
import { parseExact } from "./json.js";
import { link } from "./links.js";
import { editOf, readRow } from "./row.js";
import { asRequest, cqlOf } from "./snippet.js";

class EditView {
	constructor(table, shown) {
		this.table = table;
		this.controller = new AbortController();
		this.body = el("section");
		this.element = el("article", head(table, shown), this.body);
	}

	leave() {
		this.controller.abort();
	}

	// Show the form of an operation. `more` are nodes below its fields, `back` is the address that Cancel leads to.
	show(operation, title, back, ...more) {
		this.form = new Form(this.table.document, operation);
		this.wrong = el("div");
		this.texts = asRequest("As a request", () => this.request(), cqlOf(operation));
		const form = el(
			"form",
			{
				"aria-label": title,
				submit: (event) => this.#submit(event),
				input: () => this.texts.refresh(),
				keydown: (event) => event.key === "Enter" && event.ctrlKey && this.#submit(event),
			},
			this.form.element,
			this.wrong,
			el("div", { class: "bar" }, el("button", { class: "primary" }, "Save"), more, el("a", { href: back }, "Cancel")),
		);
		this.body.replaceChildren(el("h2", title), form, this.texts);
	}

	request() {
		return this.form.request();
	}

	async #submit(event) {
		event.preventDefault();
		this.wrong.replaceChildren();
		if (!this.form.check() || !this.mayBeSent()) return;
		const save = async () => {
			const response = await ask(this.request());
			const problem = await problemOf(response);
			if (problem) this.#fail(problem);
			else await this.done(response);
		};
		await attempt(this.wrong, null, save, "It is unknown whether this was saved.");
	}

	#fail(problem) {
		this.form.clear();
		this.wrong.replaceChildren(failure({ ...problem, errors: this.form.fail(problem.errors) }));
	}
}

export class CreateView extends EditView {
	constructor(table) {
		super(table, "new");
		const fill = button("Fill in examples", () => {
			this.form.fillExamples();
			this.texts.refresh();
		});
		if (table.create) this.show(table.create, "New row", link("rows", table.name), fill);
		else this.body.append(el("p", "Rows of this table cannot be created here."));
	}

	mayBeSent() {
		return true;
	}

	// Show the row that was made, if the answer has its key.
	async done(response) {
		const text = await response.text();
		const row = text && parseExact(text);
		const isWhole = row && this.table.canRead && this.table.keys.every((name) => row[name] != null);
		location.hash = isWhole ? link("row", this.table.name, this.table.keysOf(row)) : link("rows", this.table.name);
	}
}

export class ChangeView extends EditView {
	constructor(table, pairs) {
		super(table, "edit");
		this.key = new Map(pairs);
		this.edit = editOf(table, this.key);
		if (this.edit && table.canRead) this.#load();
		else this.body.append(el("p", "Rows of this table cannot be changed here."));
	}

	get isPart() {
		return this.edit.operation.raw["x-cassandra"].operation === "change";
	}

	async #load() {
		const { signal } = this.controller;
		await attempt(this.body, signal, async () => {
			const { row, problem, etag } = await readRow(this.table, this.key, signal);
			if (problem) this.body.replaceChildren(failure(problem));
			else this.#fill(row, etag);
		});
	}

	#fill(row, etag) {
		const { operation, pairs } = this.edit;
		const hint = this.isPart ? "Only what you change is sent." : "All columns of the form are written.";
		this.show(operation, "Edit row", link("row", this.table.name, [...this.key]), el("span", { class: "hint" }, hint));
		this.form.fill({ ...Object.fromEntries(pairs), ...(etag && { "If-Match": etag }) });
		for (const field of this.form.parameters) if (field.required && field.text) field.input.readOnly = true;
		const counters = this.table.facts.columns.filter(({ type }) => type === "counter").map(({ name }) => name);
		for (const field of this.form.body) if (field.name in row && !counters.includes(field.name)) field.fill(row[field.name]);
		this.before = new Map(this.form.body.map((field) => [field, [field.state, field.token].join()]));
		this.texts.refresh();
	}

	// Return the request: of a PATCH only what was changed.
	request() {
		const request = this.form.request();
		if (!this.isPart || !this.before) return request;
		const members = this.#changed.map(({ name, token }) => `${JSON.stringify(name)}: ${token}`);
		return { ...request, body: `{${members.join(", ")}}` };
	}

	get #changed() {
		return this.form.body.filter((field) => field.state !== "absent" && this.before.get(field) !== [field.state, field.token].join());
	}

	// Say at their fields which values were emptied: whether null is meant is for the user to say.
	mayBeSent() {
		const emptied = this.form.body.filter((field) => field.state === "absent" && !field.mayBeEmpty && this.before.get(field).startsWith("value"));
		for (const field of emptied) field.fail("is empty: enter a value, or choose null");
		emptied[0]?.show();
		const isSame = this.isPart && !emptied.length && !this.#changed.length;
		if (isSame) this.wrong.replaceChildren(el("p", { class: "note", role: "alert" }, "Nothing was changed."));
		return !emptied.length && !isSame;
	}

	async done() {
		location.hash = link("row", this.table.name, [...this.key]);
	}
}
