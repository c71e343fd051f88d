// The view of one row: all of its values, and what may be done with it and with its partition.

import { ask } from "./ask.js";
import { cell, headings, scrolling, short, showDialog } from "./cells.js";
import { button, el } from "./dom.js";
import { parseExact } from "./json.js";
import { go, link } from "./links.js";
import { asRequest, cqlOf } from "./snippet.js";
import { View, failure } from "./view.js";

export class RowView extends View {
	constructor(table, pairs) {
		super(table, "row");
		this.key = new Map(pairs);
		this.body = el("section", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Reading …"));
		this.element.append(this.body);
		const read = async (signal) => this.#show(await readRow(table, this.key, signal));
		this.attempt(read).then(() => this.body.removeAttribute("aria-busy"));
	}

	fail(problem) {
		this.body.replaceChildren(failure(problem));
	}

	#show({ row, request, cql, etag }) {
		const { source: table, key } = this;
		const names = Object.keys(row);
		const columns = headings(table.facts, names);
		const rows = names.map((name, index) => [columns[index], el("div", { class: "whole" }, cell(name, row[name], 500))]);
		const removal = table.ofRow("delete", key);
		const headers = etag ? [["If-Match", etag]] : [];
		const partition = table.partitionOf(row);
		const actions = [
			editOf(table, key) && el("a", { class: "way", href: link("edit", table.name, [...key]) }, table.isCounter ? "Change counters" : "Edit"),
			removal && button("Delete …", () => confirmDelete(table, { ...removal, headers }, "this row", key.values())),
			partition && el("a", { class: "way", href: link("partition", table.name, [...key]) }, "Partition"),
		];
		this.body.replaceChildren(
			el("div", { class: "bar" }, el("h2", "Row"), el("code", [...key.values()].map((text) => short(text)).join(" · ")), actions),
			scrolling("Values", ["Column", "Value"], rows),
			asRequest("This row as a request", () => request, cql),
		);
	}
}

// Return the operation that changes a row, and its pairs: a PATCH, else a PUT, else null.
export const editOf = (table, key) => table.ofRow("change", key) ?? table.ofRow("replace", key);

// Return the row of a key, its ETag, the request and its CQL.
export async function readRow(table, key, signal) {
	const read = table.ofRow("read", key);
	const request = table.request(read);
	const response = await ask(request, signal);
	return { row: parseExact(await response.text()), request, cql: cqlOf(read.operation), etag: response.headers.get("etag") };
}

// Ask whether to delete `what` has these `values` of the key: "this row", or "these rows".
export function confirmDelete(table, removal, what, values) {
	const request = table.request(removal);
	const wrong = el("div");
	const fail = (problem) => wrong.replaceChildren(failure(problem));
	const remove = async () => {
		await ask(request);
		if (!dialog.open) return;
		dialog.close();
		go(link("rows", table.name));
	};
	const view = Object.assign(new View(), { fail });
	const attempt = () => view.attempt(remove, "It is unknown whether this was done.");
	const name = el("p", el("code", [...values].join(" · ")), ` of ${table.fullName}: it cannot be undone.`);
	const dialog = showDialog(`Delete ${what}?`, name, [asRequest("As a request", () => request, cqlOf(removal.operation)), wrong], [
		button("Delete", attempt, { class: "danger" }),
	]);
}
