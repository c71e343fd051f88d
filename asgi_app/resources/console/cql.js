// Tables and queries in CQL.

import { primaryKey } from "./tables.js";

const OPERATORS = { "": "=", gt: ">", gte: ">=", lt: "<", lte: "<=", in: "IN", contains: "CONTAINS", contains_key: "CONTAINS KEY" };

const quote = (name) => (/^[a-z][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

// Return the statements that make a table as the document describes it: its user types and options are not in it.
export function createTable({ keyspace, table, partition_key, clustering, columns, indexes }) {
	const name = `${quote(keyspace)}.${quote(table)}`;
	const lines = columns.map((column) => `    ${quote(column.name)} ${column.type}${column.kind === "static" ? " STATIC" : ""},`);
	const order = clustering.map((column) => `${quote(column.name)} ${column.order.toUpperCase()}`).join(", ");
	const isOrdered = clustering.some((column) => column.order === "desc");
	const key = `    PRIMARY KEY ${primaryKey({ partition_key, clustering }, quote)}`;
	const made = `CREATE TABLE ${name} (\n${[...lines, key].join("\n")}\n)${isOrdered ? ` WITH CLUSTERING ORDER BY (${order})` : ""};`;
	return [made, ...indexes.map((index) => createIndex(name, index))].join("\n");
}

function createIndex(table, { name, column, target, kind }) {
	const place = target ? `${target.toUpperCase()}(${quote(column)})` : quote(column);
	return `CREATE INDEX ${name ? `${quote(name)} ` : ""}ON ${table} (${place})${kind === "sai" ? " USING 'sai'" : ""};`;
}

// Return a statement with the filters that are set, as `column`, `operator`.
export function filtered(cql, filters) {
	const relations = filters.filter(({ isColumn }) => isColumn).map(({ column, operator }) => `${quote(column)} ${OPERATORS[operator] ?? operator} ?`);
	return [cql, relations.length && `WHERE ${[...new Set(relations)].join(" AND ")}`].filter(Boolean).join(" ");
}
