// The first view, and that of one resource: its table and its operations.

import { el, prose } from "./dom.js";
import { badge, operationLink, resourceLink } from "./links.js";
import { base } from "./service.js";

export function overview({ raw: { info }, resources }) {
	const served = [...resources.values()];
	const others = served.filter(({ table }) => !table);
	const document = el("a", { href: new URL("openapi.json", base).href }, "openapi.json");
	return el(
		"article",
		heading(info.title, info.description ?? info.summary),
		facts({ Version: info.version, Address: el("code", base.href), Document: document }),
		el("section", el("h2", "Tables"), tableOfTables(served.filter(({ table }) => table))),
		others.length > 0 && el("section", el("h2", "Other operations"), others.map(operationsOf)),
	);
}

export function resourceView({ name, description, table, operations }) {
	return el("article", heading(name, description), table && tableView(table), el("section", el("h2", "Operations"), list(operations)));
}

function tableOfTables(resources) {
	if (!resources.length) return el("p", { class: "quiet" }, "This service serves no table.");
	const rows = resources.map(({ name, table }) => [el("a", { href: resourceLink(name) }, name), nameOf(table), keyOf(table), table.writes]);
	return scrolling("Tables", ["Resource", "Table", "Primary key", "Writes"], rows);
}

function tableView(table) {
	const rows = table.columns.map(({ name, type, kind }) => {
		const indexes = table.indexes.filter(({ column }) => column === name).map((index) => `${index.name}, ${index.kind}`);
		return [el("code", name), el("code", type), kind.replace("_", " "), indexes.join("; ")];
	});
	return el(
		"section",
		el("h2", "Table"),
		facts({ Name: nameOf(table), "Primary key": keyOf(table), Writes: table.writes }),
		scrolling("Columns", ["Column", "CQL type", "Kind", "Index"], rows),
	);
}

const nameOf = ({ keyspace, table }) => el("code", `${keyspace}.${table}`);

// Return the primary key as in CQL, with the order of each clustering column that is not ascending.
function keyOf({ partition_key: partition, clustering }) {
	const first = partition.length > 1 ? `(${partition.join(", ")})` : partition.join();
	const rest = clustering.map(({ name, order }) => (order === "desc" ? `${name} DESC` : name));
	return el("code", `(${[first, ...rest].join(", ")})`);
}

function operationsOf({ name, description, operations }) {
	return el("section", el("h3", el("a", { href: resourceLink(name) }, name)), prose(description), list(operations));
}

function list(operations) {
	const items = operations.map(({ id, method, path, raw }) =>
		el("li", el("a", { href: operationLink(id) }, badge(method), el("code", path)), el("span", raw.summary)),
	);
	return el("ul", { class: "operations" }, items);
}

function scrolling(label, head, rows) {
	const cells = (row) => row.map((cell, index) => (index ? el("td", cell) : el("th", { scope: "row" }, cell)));
	const table = el(
		"table",
		el("thead", el("tr", head.map((text) => el("th", { scope: "col" }, text)))),
		el("tbody", rows.map((row) => el("tr", cells(row)))),
	);
	return el("div", { class: "scrolling", tabindex: 0, role: "region", "aria-label": label }, table);
}

const heading = (title, text) => el("header", el("h1", { tabindex: -1 }, title), prose(text));

const facts = (values) =>
	el("dl", { class: "facts" }, Object.entries(values).map(([name, value]) => el("div", el("dt", name), el("dd", value))));
