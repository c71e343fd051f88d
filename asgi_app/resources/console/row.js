// The view of one row: all of its values, and what may be done with it.

import { ask, problemOf } from "./ask.js";
import { cell, headings, scrolling, showDialog } from "./cells.js";
import { button, el } from "./dom.js";
import { attempt, failure, head } from "./head.js";
import { parseExact } from "./json.js";
import { link } from "./links.js";
import { asRequest, cqlOf } from "./snippet.js";

export class RowView {
	constructor(table, pairs) {
		this.table = table;
		this.key = new Map(pairs);
		this.controller = new AbortController();
		this.body = el("section", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Reading …"));
		this.element = el("article", head(table, "row"), this.body);
		this.#load();
	}

	leave() {
		this.controller.abort();
	}

	async #load() {
		const { signal } = this.controller;
		await attempt(this.body, signal, async () => {
			const { row, problem, request, etag } = await readRow(this.table, this.key, signal);
			this.body.replaceChildren(...(problem ? [failure(problem)] : this.#show(row, request, etag)));
		});
		this.body.removeAttribute("aria-busy");
	}

	#show(row, request, etag) {
		const { table, key } = this;
		const names = Object.keys(row);
		const columns = headings(table.facts, names);
		const rows = names.map((name, index) => [columns[index], el("div", { class: "whole" }, cell(name, row[name], 500))]);
		const edit = editOf(table, key);
		const actions = [
			edit && el("a", { class: "way", href: link("edit", table.name, [...key]) }, "Edit"),
			table.ofRow("delete", key) && button("Delete …", () => confirmDelete(table, key, etag)),
		];
		return [
			el("div", { class: "bar" }, el("h2", "Row"), el("code", [...key.values()].join(" · ")), actions),
			scrolling("Values", ["Column", "Value"], rows),
			asRequest("This row as a request", () => request, cqlOf(table.ofRow("read", key).operation)),
		];
	}
}

// Return the operation that changes a row, and the values of its parameters: a PATCH, else a PUT, else null.
export const editOf = (table, key) => table.ofRow("change", key) ?? table.ofRow("replace", key);

// Return the row of a key, its ETag and the request, or the problem.
export async function readRow(table, key, signal) {
	const { operation, pairs } = table.ofRow("read", key);
	const request = table.request(operation, pairs);
	const response = await ask(request, signal);
	const problem = await problemOf(response);
	return problem ? { problem } : { row: parseExact(await response.text()), request, etag: response.headers.get("etag") };
}

// Ask whether a row shall be deleted, and delete it: only this version, if it has one.
function confirmDelete(table, key, etag) {
	const { operation, pairs } = table.ofRow("delete", key);
	const request = table.request(operation, pairs, etag ? [["If-Match", etag]] : []);
	const wrong = el("div");
	const remove = async () => {
		const problem = await problemOf(await ask(request));
		if (problem) return wrong.replaceChildren(failure(problem));
		dialog.close();
		location.hash = link("rows", table.name);
	};
	const attempted = () => attempt(wrong, null, remove, "It is unknown whether the row was deleted.");
	const name = el("p", "The row ", el("code", [...key.values()].join(" · ")), ` of ${table.fullName} is deleted for good.`);
	const dialog = showDialog("Delete this row?", name, [asRequest("As a request", () => request, cqlOf(operation)), wrong], [
		button("Delete", attempted, { class: "danger" }),
	]);
}
