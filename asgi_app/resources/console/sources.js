// What a document offers to read and to write: its tables, and statements of the application's own.

import { el } from "./dom.js";
import { isSpellable } from "./field.js";
import { Form } from "./form.js";
import { textOf } from "./json.js";
import { link } from "./links.js";

export const PAGE_ROWS = 50;

class Source {
	// `operations` are those of the source, `facts` what the document says of its table.
	constructor(document, name, operations, facts) {
		Object.assign(this, { document, name, operations, facts });
	}

	// The views that the menu and the tabs lead to: the `title`, the `operation` behind it, and whether filters apply.
	get views() {
		const { browse, stream, create } = this;
		const all = {
			rows: { title: "Rows", operation: browse, isFiltered: true },
			stream: { title: "Stream", operation: stream, isFiltered: true },
			about: { title: "Schema", operation: this.facts.keyspace },
			new: { title: this.newTitle, operation: create },
		};
		return Object.fromEntries(Object.entries(all).filter(([, { operation }]) => operation));
	}

	// Rows have no address and no files, unless a source says so.
	addressOf() {}

	exportAs() {}

	get home() {
		return link(Object.keys(this.views)[0], this.name);
	}

	// Return the request of an operation. `pairs` are texts of its parameters, by their names.
	request({ operation, pairs = [], headers = [] }) {
		const form = new Form(this.document, operation, pairs.map(([name]) => name));
		form.enter(pairs);
		return { ...form.request(), headers };
	}
}

// A statement of the application's own. Its name is its address, as no table's is.
class Statement extends Source {
	constructor(document, operation) {
		super(document, `${operation.method} ${operation.path}`, [operation], { columns: [] });
		this.keys = [];
		this.newTitle = "Run";
		const isRead = operation.method === "GET";
		this.browse = isRead && operation;
		this.stream = isRead && isStream(document, operation) && operation;
		this.create = !isRead && operation;
		this.cql = operation.raw["x-cassandra"].cql;
	}

	get summary() {
		return el("code", this.cql);
	}
}

class Table extends Source {
	constructor(document, { name, description, table, operations }) {
		super(document, name, operations, table);
		this.description = description;
		this.keys = [...table.partition_key, ...table.clustering.map((column) => column.name)];
		this.isCounter = table.columns.some(({ type }) => type === "counter");
		this.newTitle = this.isCounter ? "New counters" : "New row";
		this.stream = this.#plain("stream") ?? this.#all("stream")[0];
		// The operation that shows rows page by page; a table without one may still be streamed.
		this.browse = this.#plain("pages") ?? this.#plain("list") ?? this.stream;
		this.search = this.#plain("search");
		this.create = this.#plain("create") ?? (this.isCounter && this.#plain("change"));
		this.canRead = this.#all("read").length > 0;
	}

	get summary() {
		return el("span", { class: "quiet" }, el("code", this.fullName), " · primary key ", el("code", primaryKey(this.facts)));
	}

	get fullName() {
		return `${this.facts.keyspace}.${this.facts.table}`;
	}

	exportAs(format) {
		return this.#all("export").find(({ path }) => path.endsWith(`.${format}`));
	}

	// Return the pairs of a row's key, or null if it has not all of it, as static columns alone.
	keyOf(row) {
		const pairs = this.keys.map((name) => [name, row[name]]);
		return pairs.every(([, value]) => value != null) ? pairs.map(([name, value]) => [name, textOf(value)]) : null;
	}

	// Return the address of a row's view, of its partition's where there are only static columns, or undefined.
	addressOf(row) {
		const key = this.canRead && this.keyOf(row);
		if (key) return link("row", this.name, key);
		const partition = this.partitionOf(row);
		return partition && link("partition", this.name, partition);
	}

	// Return the pairs of a row's partition, if something may be done with all of it.
	partitionOf(row) {
		const pairs = this.facts.partition_key.map((name) => [name, textOf(row[name])]);
		const isServed = ["change_partition", "delete_prefix"].some((kind) => this.ofPrefix(kind, new Map(pairs)).length);
		return isServed ? pairs : undefined;
	}

	// Return the operation of one row that has this kind, and the pairs of its parameters, or null. `key` has texts by column.
	// A key that no path can spell goes into the query, or nowhere.
	ofRow(kind, key) {
		const all = this.#below(kind, key);
		return all.find(({ inPath, isSpelled }) => inPath && isSpelled) ?? all.find(({ inPath }) => !inPath) ?? null;
	}

	// Return the operations of this kind on the rows below a part of the key, the shortest part first, with their pairs.
	ofPrefix(kind, key) {
		return this.#below(kind, key).filter(({ isSpelled }) => isSpelled);
	}

	#below(kind, key) {
		return this.#all(kind).map((operation) => {
			const names = [...operation.path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name);
			const columns = names.length ? this.keys.slice(0, names.length) : this.keys;
			const pairs = columns.map((column, index) => [names[index] ?? column, key.get(column) ?? ""]);
			return { operation, pairs, inPath: names.length > 0, isSpelled: pairs.every(([, text], index) => isSpellable(text, !index)) };
		});
	}

	#all(kind) {
		return this.operations.filter(({ raw }) => raw["x-cassandra"]?.operation === kind);
	}

	#plain(kind) {
		return this.#all(kind).find(({ path }) => !path.includes("{"));
	}
}

// Return the tables and statements of a document by their names.
export function sourcesOf(document) {
	const served = [...document.resources.values()].filter(({ table }) => table);
	const own = [...document.operations.values()].filter(({ raw }) => raw["x-cassandra"]?.operation === "query");
	const all = [...served.map((resource) => new Table(document, resource)), ...own.map((operation) => new Statement(document, operation))];
	return new Map(all.map((source) => [source.name, source]));
}

// Return whether an operation can answer with one row in each line.
export const isStream = (document, operation) =>
	document.answersOf(operation).some(([, { content = {} }]) => "application/x-ndjson" in content);

// Return the primary key as in CQL, with the order of each clustering column that is not ascending.
function primaryKey({ partition_key: partition, clustering }) {
	const first = partition.length > 1 ? `(${partition.join(", ")})` : partition.join();
	const rest = clustering.map(({ name, order }) => (order === "desc" ? `${name} DESC` : name));
	return `(${[first, ...rest].join(", ")})`;
}
