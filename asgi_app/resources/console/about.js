// The view of a table's schema: columns, keys, types, indexes, and the statement that makes it.

import { block, facts, scrolling } from "./cells.js";
import { createTable } from "./cql.js";
import { copyButton, el } from "./dom.js";
import { encode } from "./form.js";
import { head } from "./head.js";

export class AboutView {
	constructor(table) {
		const { columns, indexes, writes } = table.facts;
		const rows = columns.map(({ name, type, kind }) => {
			const own = indexes.filter(({ column }) => column === name).map((index) => [index.name, index.kind, index.target].filter(Boolean).join(", "));
			return [el("code", name), el("code", type), kind.replace("_", " "), own.join("; ") || "–"];
		});
		const cql = createTable(table.facts);
		this.element = el(
			"article",
			head(table, "about"),
			facts({ Writes: writes }),
			el("section", el("h2", "Columns"), scrolling("Columns", ["Column", "CQL type", "Kind", "Index"], rows)),
			el(
				"section",
				el("div", { class: "bar" }, el("h2", "CREATE TABLE"), copyButton("Copy", () => cql)),
				block("CREATE TABLE", cql),
				el("p", { class: "hint" }, "As this service describes the table: its options and user types are not part of it."),
			),
			el("p", el("a", { href: `../docs#resource=${encode(table.name)}` }, "All operations of this table")),
		);
	}
}
