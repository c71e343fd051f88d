// An OpenAPI document: operations by resource, their tables, the keys that they need.

import { segmentsOf } from "./json.js";
import { askForKey } from "./keys.js";
import { base, keyFor, send, setKey } from "./service.js";

const KEY = { purpose: "document", title: "API key or token of this service", variable: "API_KEY" };
const WAYS = [["X-API-Key", ""], ["Authorization", "Bearer "]].map(([header, prefix]) => ({ ...KEY, header, prefix }));
const METHODS = ["get", "post", "put", "patch", "delete"];

export class Document {
	// `access` is the credential that it was had with, or null.
	constructor(raw, access = null) {
		this.raw = raw;
		this.access = access;
		this.tables = raw["x-cassandra-tables"] ?? {};
		this.operations = new Map();
		this.resources = new Map(raw.tags.map((tag) => [tag.name, { ...tag, operations: [] }]));
		for (const [path, item] of Object.entries(raw.paths)) {
			for (const method of METHODS) if (item[method]) this.#add(path, item, method);
		}
	}

	// Return a node without references: what it refers to, with the members that stand beside the reference.
	resolve(node) {
		while (node?.$ref) {
			const { $ref, ...beside } = node;
			const path = segmentsOf(decodeURIComponent($ref));
			node = { ...path.reduce((found, name) => found[name], this.raw), ...beside };
		}
		return node;
	}

	// Return the parameters of an operation, with those of its path, unless it replaces them.
	parametersOf({ raw, shared }) {
		const all = [...shared, ...(raw.parameters ?? [])].map((each) => this.resolve(each));
		return [...new Map(all.map((each) => [`${each.in} ${each.name}`, each])).values()];
	}

	answersOf({ raw }) {
		return Object.entries(raw.responses).map(([status, answer]) => [status, this.resolve(answer)]);
	}

	// Return the credential that an operation needs, or null: that of the document where it describes no keys. A key is sent
	// as X-API-Key if it may be, since a proxy may use Authorization.
	credentialOf({ raw }) {
		const security = raw.security ?? this.raw.security;
		if (!raw.security && !security.length) return this.access;
		const ids = security.flatMap(Object.keys).sort();
		const ways = ids.map((id) => this.#way(id)).filter(Boolean);
		const way = ways.find(({ header }) => header === this.access?.header) ?? ways.find(({ prefix }) => !prefix) ?? ways[0];
		return way ? { ...way, purpose: ids.join(" or ") } : null;
	}

	tableOf({ raw }) {
		return this.tables[raw["x-cassandra"]?.table];
	}

	#add(path, item, method) {
		const raw = item[method];
		const { operationId: id, tags: [resource] } = raw;
		const operation = { id, method: method.toUpperCase(), path, resource, raw, shared: item.parameters ?? [] };
		this.operations.set(id, operation);
		this.resources.get(resource).operations.push(operation);
		this.resources.get(resource).table ??= this.tableOf(operation);
	}

	// Return how the key of a security scheme is sent.
	#way(id) {
		const { type, scheme, in: place, name, description: title = id } = this.resolve(this.raw.components.securitySchemes[id]);
		const variable = /admin/i.test(id) ? "ADMIN_TOKEN" : "API_KEY";
		if (type === "apiKey" && place === "header") return { title, variable, header: name, prefix: "" };
		return scheme === "bearer" ? { title, variable, header: "Authorization", prefix: "Bearer " } : null;
	}
}

// Load the document with a credential or null. Asks the user for a key while it needs one.
export async function loadDocument(access) {
	let response = await fetchWith(access);
	while (response.status === 401 || (access && response.status === 403)) {
		const { detail } = await response.json().catch(() => ({}));
		if (!(await askForKey(WAYS[0], access && detail))) throw new Error("The description of this service needs a key.");
		for (access of WAYS) {
			response = await fetchWith(access);
			if (response.status !== 401) break;
		}
	}
	if (!response.ok) throw new Error(`openapi.json: ${response.status} ${response.statusText}`);
	const loaded = new Document(await response.json(), access);
	const usual = loaded.credentialOf({ raw: {} });
	if (access && usual) setKey(usual.purpose, keyFor(usual.purpose) || keyFor(access.purpose));
	return loaded;
}

const fetchWith = (credential) => send({ method: "GET", url: new URL("openapi.json", base).href, credential });
