// The tables of a document, and the requests that read and write them.

import { encode } from "./form.js";
import { queryOf } from "./links.js";
import { base } from "./service.js";

// Parameters that say how rows are sent, not which rows.
const OTHERS = ["limit", "page_state", "fetch_size", "slice", "select", "format", "parallel"];

export const PAGE_ROWS = 50;

export class Table {
	constructor(document, { name, description, table, operations }) {
		Object.assign(this, { document, name, description, facts: table, operations });
		this.keys = [...table.partition_key, ...table.clustering.map((column) => column.name)];
		// The operation that shows rows page by page; a table without one may still be streamed.
		this.browse = this.#plain("pages") ?? this.#plain("list") ?? this.stream;
	}

	get stream() {
		return this.#plain("stream") ?? this.#all("stream")[0];
	}

	get create() {
		return this.#plain("create");
	}

	get canRead() {
		return this.#all("read").length > 0;
	}

	get fullName() {
		return `${this.facts.keyspace}.${this.facts.table}`;
	}

	exportAs(format) {
		return this.#all("export").find(({ path }) => path.endsWith(`.${format}`));
	}

	keysOf(row) {
		return this.keys.map((name) => [name, textOf(row[name])]);
	}

	// Return the operation of one row that has this kind, and the values of its parameters, or null. `key` has the texts
	// of the key by column. Keys that no path can spell go into the query.
	ofRow(kind, key) {
		const values = this.keys.map((name) => key.get(name) ?? "");
		const [byPath, byQuery] = [true, false].map((inPath) =>
			this.#all(kind).find(({ path }) => path.includes("{") === inPath),
		);
		const isSpellable = values.every((value) => !/^\.{0,2}$/.test(value));
		const operation = isSpellable ? (byPath ?? byQuery) : (byQuery ?? byPath);
		if (!operation) return null;
		const names = namesIn(operation);
		return { operation, pairs: values.map((value, index) => [names[index] ?? this.keys[index], value]) };
	}

	// Return the filters of an operation, and what else chooses and orders rows.
	filtersOf(operation) {
		const chosen = this.document.parametersOf(operation).filter(({ in: place, name }) => place === "query" && !OTHERS.includes(name));
		return chosen.map(({ name, description }) => ({ name, description, ...this.#columnOf(name) }));
	}

	// Return a request. Pairs that the path names go there, the others into the query.
	request(operation, pairs = [], headers = []) {
		const values = new Map(pairs);
		const inPath = namesIn(operation);
		const path = operation.path.slice(1).replace(/\{([^}]*)\}/g, (_, name) => encode(values.get(name) ?? ""));
		const query = queryOf(pairs.filter(([name]) => !inPath.includes(name)));
		const credential = this.document.credentialOf(operation);
		return { method: operation.method, url: base.href + path + (query && `?${query}`), headers, credential };
	}

	#all(kind) {
		return this.operations.filter(({ raw }) => raw["x-cassandra"]?.operation === kind);
	}

	#plain(kind) {
		return this.#all(kind).find(({ path }) => !path.includes("{"));
	}

	#columnOf(name) {
		const columns = this.facts.columns.filter((each) => name === each.name || name.startsWith(`${each.name}.`));
		const [{ name: column } = { name }] = columns.sort((one, other) => other.name.length - one.name.length);
		return { column, operator: columns.length ? name.slice(column.length + 1) : "=", isColumn: columns.length > 0 };
	}
}

// Return the names in braces in the path of an operation.
export const namesIn = ({ path }) => [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name);

// Return a value as a parameter has it: a text as it is, anything else as JSON.
export const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// Return the primary key as in CQL.
export function primaryKey({ partition_key: partition, clustering }, quote = (name) => name) {
	const names = partition.map(quote);
	const first = partition.length > 1 ? `(${names.join(", ")})` : names.join();
	return `(${[first, ...clustering.map(({ name }) => quote(name))].join(", ")})`;
}
