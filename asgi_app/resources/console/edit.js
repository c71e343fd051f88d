// The views that write: forms of operations, as the document describes them.

import { ask } from "./ask.js";
import { button, el } from "./dom.js";
import { Form, isSend, member } from "./form.js";
import { parseExact, textOf } from "./json.js";
import { go, link } from "./links.js";
import { confirmDelete, editOf, readRow } from "./row.js";
import { asRequest, cqlOf } from "./snippet.js";
import { View, failure } from "./view.js";

class EditView extends View {
	constructor(source, shown) {
		super(source, shown);
		this.body = el("section");
		this.element.append(this.body);
	}

	// Show the form of an operation. `more` are nodes beside its button.
	show(operation, title, ...more) {
		this.form = new Form(this.source.document, operation);
		this.wrong = el("div");
		this.texts = asRequest("As a request", () => this.request(), cqlOf(operation));
		const form = el(
			"form",
			{
				"aria-label": title,
				submit: (event) => this.#submit(event),
				input: () => this.texts.refresh(),
				keydown: (event) => event.ctrlKey && isSend(event) && this.#submit(event),
			},
			this.form.element,
			this.wrong,
			el("div", { class: "bar" }, el("button", { class: "primary" }, "Save"), more),
		);
		this.body.replaceChildren(el("h2", title), form, this.texts);
	}

	fail(problem) {
		this.form?.clear();
		const place = this.wrong ?? this.body;
		place.replaceChildren(failure({ ...problem, errors: this.form?.fail(problem.errors) ?? problem.errors }));
	}

	tell(name, text) {
		this.wrong.replaceChildren(el("p", { class: name, role: "alert" }, text));
	}

	request() {
		return this.form.request();
	}

	mayBeSent() {
		return true;
	}

	#submit(event) {
		event.preventDefault();
		this.wrong.replaceChildren();
		if (!this.form.check() || !this.mayBeSent()) return;
		const save = async (signal) => {
			this.tell("quiet", "Saving …");
			const text = await (await ask(this.request())).text();
			if (!signal.aborted) this.done(text);
		};
		this.attempt(save, "It is unknown whether this was saved.");
	}
}

// Creates a row, begins counters, or runs a statement that writes.
export class CreateView extends EditView {
	constructor(source) {
		super(source, "new");
		const { title, operation } = source.views.new;
		this.show(operation, title);
	}

	// Show the row that was made, if the service shows rows: its key is in the answer, or else in the form.
	done(text) {
		const { source, form } = this;
		const row = text ? parseExact(text) : Object.fromEntries(form.parameters.map(({ name, text: value }) => [name, value]));
		const key = source.canRead && source.keyOf(row);
		if (key) go(link("row", source.name, key));
		else this.tell("ok", "Done.");
	}
}

// Changes columns whose values are known.
class ChangeView extends EditView {
	// Show the form of an operation on what `pairs` name, filled with a row.
	fill({ operation, pairs }, title, row, hint, back, etag) {
		this.isPart = operation.method === "PATCH";
		this.show(operation, title, el("span", { class: "hint" }, hint), el("a", { href: back }, "Cancel"));
		this.form.enter([...pairs, ...(etag ? [["If-Match", etag]] : [])]);
		for (const field of this.form.parameters) if (field.required && field.text) field.input.readOnly = true;
		for (const field of this.form.body) if (field.name in row) this.#fill(field, row[field.name]);
		this.before = new Map(this.form.body.map((field) => [field, tokenOf(field)]));
		this.back = back;
		this.texts.refresh();
	}

	#fill(field, value) {
		if (field.shape.kind === "increment") field.input.placeholder = `now ${textOf(value)}`;
		else field.fill(value);
	}

	// Return the request: of a PATCH only what was changed. An input that was emptied is null.
	request() {
		const request = this.form.request();
		if (!this.isPart || !this.before) return request;
		const members = this.#changed.map((field) => member(field.name, field.state === "absent" ? "null" : field.token));
		return { ...request, body: `{${members.join(", ")}}` };
	}

	get #changed() {
		return this.form.body.filter((field) => this.before.get(field) !== tokenOf(field) && (field.state !== "absent" || !field.sent));
	}

	mayBeSent() {
		const isSame = this.isPart && !this.#changed.length;
		if (isSame) this.tell("note", "Nothing was changed.");
		return !isSame;
	}

	done() {
		go(this.back);
	}
}

const tokenOf = ({ state, token }) => `${state},${token}`;

export class RowEditView extends ChangeView {
	constructor(table, pairs) {
		super(table, "edit");
		const key = new Map(pairs);
		const edit = editOf(table, key);
		const load = async (signal) => {
			const { row, etag } = await readRow(table, key, signal);
			const title = table.isCounter ? "Change counters" : "Edit row";
			const hint = edit.operation.method === "PATCH" ? "Only what you change is sent." : "All columns of the form are written.";
			this.fill(edit, title, row, hint, link("row", table.name, pairs), etag);
		};
		if (edit && table.canRead) this.attempt(load);
		else this.body.append(el("p", "Rows of this table cannot be changed here."));
	}
}

// Shows what may be done with a partition: change its static columns, and delete rows below a part of the key.
export class PartitionView extends ChangeView {
	constructor(table, pairs) {
		super(table, "partition");
		const key = new Map(pairs);
		const removals = table.ofPrefix("delete_prefix", key).map((removal) => {
			const values = removal.pairs.map(([, value]) => value);
			return el("p", button(`Delete all of ${values.join(" · ")} …`, () => confirmDelete(table, removal, "these rows", values)));
		});
		if (removals.length) this.element.append(el("section", el("h2", "Delete rows"), removals));
		const [change] = table.ofPrefix("change_partition", key);
		if (change) this.attempt((signal) => this.#load(change, key, signal));
	}

	// Fill the form with the static columns, as the first row of the partition has them.
	async #load(change, key, signal) {
		const { source: table } = this;
		const list = table.ofPrefix("list", key).find(({ pairs }) => pairs.length === change.pairs.length);
		const rows = list ? parseExact(await (await ask(table.request(list), signal)).text()) : [];
		this.fill(change, "Static columns", rows[0] ?? {}, "They belong to all rows of the partition.", link("rows", table.name, change.pairs.map(([, value], index) => [table.keys[index], value])));
	}
}
