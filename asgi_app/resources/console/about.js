// The view of a table's schema: columns, keys, types, indexes, and the statement that creates it.

import { block, facts, scrolling } from "./cells.js";
import { copyButton, el } from "./dom.js";
import { encode } from "./form.js";
import { View } from "./view.js";

export class AboutView extends View {
	constructor(table) {
		super(table, "about");
		const { columns, indexes, writes, cql } = table.facts;
		const rows = columns.map(({ name, type, kind }) => {
			const own = indexes.filter(({ column }) => column === name).map((index) => [index.name, index.kind, index.target].filter(Boolean).join(", "));
			return [el("code", name), el("code", type), kind.replace("_", " "), el("span", { class: "whole" }, own.join("; ") || "–")];
		});
		this.element.append(
			facts({ Writes: writes }),
			el("section", el("h2", "Columns"), scrolling("Columns", ["Column", "CQL type", "Kind", "Index"], rows)),
			cql ? el("section", el("h2", "CREATE TABLE"), block("CREATE TABLE", cql), el("div", copyButton("Copy", () => cql))) : "",
			el("p", el("a", { href: `../docs#resource=${encode(table.name)}` }, "All operations of this table")),
		);
	}
}
