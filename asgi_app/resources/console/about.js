// The view of a table's schema: columns, keys, types, indexes, and the statement that makes it.

import { scrolling, facts } from "./cells.js";
import { createTable } from "./cql.js";
import { copyButton, el } from "./dom.js";
import { encode } from "./form.js";
import { head } from "./head.js";

export class AboutView {
	constructor(table) {
		const { columns, indexes, writes, clustering } = table.facts;
		const order = clustering.map(({ name, order: way }) => `${name} ${way === "desc" ? "descending" : "ascending"}`).join(", ");
		const rows = columns.map(({ name, type, kind }) => {
			const own = indexes.filter(({ column }) => column === name).map((index) => [index.name, index.kind, index.target].filter(Boolean).join(", "));
			return [el("code", name), el("code", type), kind.replace("_", " "), own.join("; ") || "–"];
		});
		const cql = createTable(table.facts);
		this.element = el(
			"article",
			head(table, "about"),
			facts({ Table: el("code", table.fullName), Writes: writes, Columns: columns.length, "Order of rows": order || null }),
			el("section", el("h2", "Columns"), scrolling("Columns", ["Column", "CQL type", "Kind", "Index"], rows)),
			el(
				"section",
				el("div", { class: "bar" }, el("h2", "CREATE TABLE"), copyButton("Copy", () => cql)),
				el("pre", { tabindex: 0, role: "region", "aria-label": "CREATE TABLE" }, cql),
				el("p", { class: "hint" }, "As this service describes the table: its options and user types are not part of it."),
			),
			el("p", el("a", { href: `../docs#resource=${encode(table.name)}` }, "All operations of this table")),
		);
	}
}
