// The views that write: forms of operations, as the document describes them.

import { ask } from "./ask.js";
import { button, el } from "./dom.js";
import { Form, isSend, objectOf } from "./form.js";
import { jsonError, parseExact, textOf } from "./json.js";
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
		const isPart = operation.method === "PATCH";
		this.show(operation, title, el("span", { class: "hint" }, hint), el("a", { href: back }, "Cancel"));
		this.form.enter([...pairs, ...(etag ? [["If-Match", etag]] : [])]);
		for (const field of this.form.parameters) if (field.required && field.text) field.input.readOnly = true;
		for (const field of this.form.body) {
			if (Object.hasOwn(row, field.name)) this.#fill(field, row[field.name]);
			else if (!isPart) field.lack = "is never shown, and would be lost: enter it again, or choose null";
			field.before = { state: field.state, token: field.token };
		}
		Object.assign(this, { isPart, back });
		this.texts.refresh();
	}

	#fill(field, value) {
		if (field.shape.kind === "increment") field.input.placeholder = `now ${textOf(value)}`;
		else field.fill(value);
	}

	// Return the request: of a PATCH only what was changed.
	request() {
		const request = this.form.request();
		return this.isPart ? { ...request, body: objectOf(this.#changes) } : request;
	}

	get #changes() {
		return this.form.body.map((field) => [field.name, this.#changeOf(field)]).filter(([, token]) => token);
	}

	// Return what a PATCH has for a field, "" if it was not changed. An input that was emptied is null. An object is merged,
	// unless it is frozen, so it has only the members that differ.
	#changeOf({ before, state, token, sent, type }) {
		if (state === "absent") return sent || before.state === "absent" ? "" : "null";
		if (state === before.state && token === before.token) return "";
		const isMerged = !type.startsWith("frozen<") && [before.token, token].every((each) => /^\s*\{/.test(each) && !jsonError(each));
		return isMerged ? difference(before.token, token) : token;
	}

	mayBeSent() {
		const isSame = this.isPart && !this.#changes.length;
		if (isSame) this.tell("note", "Nothing was changed.");
		return !isSame;
	}

	done() {
		go(this.back);
	}
}

// Return what a merge makes of one object the other, both as JSON, with null for what is gone; "" if they are the same.
function difference(before, now) {
	const [old, own] = [before, now].map((text) => new Map(Object.entries(parseExact(text))));
	const valueIn = (object, name) => JSON.stringify(object.get(name) ?? null);
	const names = [...new Map([...old, ...own]).keys()].filter((name) => valueIn(old, name) !== valueIn(own, name));
	return names.length ? objectOf(names.map((name) => [name, valueIn(own, name)])) : "";
}

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

// Changes the static columns of a partition, and deletes rows below a part of the key.
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
