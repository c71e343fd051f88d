// An OpenAPI document: operations by resource, their tables, the keys that they need.

import { segmentsOf } from "./json.js";
import { askForKey } from "./keys.js";
import { base, keyFor, send, setKey } from "./service.js";

const KEY = { purpose: "document", title: "API key or token of this service", variable: "API_KEY" };
const WAYS = [["X-API-Key", ""], ["Authorization", "Bearer "]].map(([header, prefix]) => ({ ...KEY, header, prefix }));
const METHODS = ["get", "post", "put", "patch", "delete"];

export class Document {
	// `access` is the credential that the document was had with, or null.
	constructor(raw, access = null) {
		this.raw = raw;
		this.access = access;
		this.tables = raw["x-cassandra-tables"] ?? {};
		this.operations = new Map();
		this.resources = new Map((raw.tags ?? []).map((tag) => [tag.name, { ...tag, operations: [] }]));
		for (const [path, item] of Object.entries(raw.paths)) {
			for (const method of METHODS) if (item[method]) this.#add(path, item, method);
		}
		this.credentials = this.#credentials();
	}

	// Return a node without references: what it refers to, with the members that stand beside the reference.
	resolve(node) {
		for (let hops = 0; node?.$ref && hops < 20; hops += 1) {
			const { $ref, ...beside } = node;
			const path = segmentsOf(decodeURIComponent($ref));
			node = { ...path.reduce((found, name) => found?.[name], this.raw), ...beside };
		}
		return node;
	}

	// Return the parameters of an operation, with those of its path, unless it replaces them.
	parametersOf({ raw, shared }) {
		const all = [...shared, ...(raw.parameters ?? [])].map((each) => this.resolve(each));
		return [...new Map(all.map((each) => [`${each.in} ${each.name}`, each])).values()];
	}

	answersOf({ raw }) {
		return Object.entries(raw.responses ?? {}).map(([status, answer]) => [status, this.resolve(answer)]);
	}

	// Return the credential that an operation needs, or null.
	credentialOf({ raw }) {
		const security = raw.security ?? this.raw.security;
		return security ? (this.credentials.get(purposeOf(security)) ?? null) : this.access;
	}

	tableOf({ raw }) {
		return this.tables[raw["x-cassandra"]?.table];
	}

	#add(path, item, method) {
		const raw = item[method];
		const { operationId: id = `${method} ${path}`, tags: [resource] = ["other"] } = raw;
		const operation = { id, method: method.toUpperCase(), path, resource, raw, shared: item.parameters ?? [] };
		this.operations.set(id, operation);
		if (!this.resources.has(resource)) this.resources.set(resource, { name: resource, operations: [] });
		this.resources.get(resource).operations.push(operation);
		this.resources.get(resource).table ??= this.tableOf(operation);
	}

	// Return a credential for each set of alternatives: X-API-Key if it is one, since a proxy may use Authorization.
	#credentials() {
		const found = new Map();
		for (const { security } of [this.raw, ...[...this.operations.values()].map(({ raw }) => raw)]) {
			const purpose = purposeOf(security);
			if (!purpose || found.has(purpose)) continue;
			const ways = security.flatMap(Object.keys).map((id) => this.#way(id)).filter(Boolean);
			const known = ways.find(({ header }) => header === this.access?.header);
			const way = known ?? ways.find(({ prefix }) => !prefix) ?? ways[0];
			if (way) found.set(purpose, { ...way, purpose });
		}
		return found;
	}

	// Return how the key of a security scheme is sent.
	#way(id) {
		const { type, scheme, in: place, name, description: title = id } = this.resolve(this.raw.components.securitySchemes[id]);
		const variable = /admin/i.test(id) ? "ADMIN_TOKEN" : "API_KEY";
		if (type === "apiKey" && place === "header") return { title, variable, header: name, prefix: "" };
		return scheme === "bearer" ? { title, variable, header: "Authorization", prefix: "Bearer " } : null;
	}
}

function purposeOf(security) {
	return (security ?? []).flatMap(Object.keys).sort().join(" or ");
}

// Load the document of the service with a credential or null. Asks the user for a key while it needs one.
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
	const [first] = loaded.credentials.values();
	if (access && first && !keyFor(first.purpose)) setKey(first.purpose, keyFor(access.purpose));
	return loaded;
}

const fetchWith = (credential) => send({ method: "GET", url: new URL("openapi.json", base).href, credential });
