/** An OpenAPI 3.1 document: its operations by resource, the tables that they serve, the keys that they need. */

import { segmentsOf } from "./json.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const OTHERS = "other";

export class Document {
  /** `access` is the credential that the document itself was had with, or null. */
  constructor(raw, access = null) {
    this.raw = raw;
    this.access = access;
    this.tables = raw["x-cassandra-tables"] ?? {};
    this.operations = new Map(this.#list().map((operation) => [operation.id, operation]));
    this.resources = this.#byResource();
    this.credentials = this.#credentials();
  }

  /** Return a node without references: what it refers to, with the members that stand beside the reference. */
  resolve(node) {
    for (let hops = 0; node?.$ref && hops < 20; hops += 1) {
      const { $ref, ...beside } = node;
      const path = segmentsOf(decodeURIComponent($ref));
      node = { ...path.reduce((found, name) => found?.[name], this.raw), ...beside };
    }
    return node;
  }

  /** Return the parameters of an operation, with those of its path, unless it replaces them. */
  parametersOf({ raw, pathItem }) {
    const all = [...(pathItem.parameters ?? []), ...(raw.parameters ?? [])].map((each) => this.resolve(each));
    return [...new Map(all.map((parameter) => [`${parameter.in} ${parameter.name}`, parameter])).values()];
  }

  /** Return the credential that an operation needs, or null. */
  credentialOf({ raw }) {
    const security = raw.security ?? this.raw.security;
    return security ? (this.credentials.get(purposeOf(security)) ?? null) : this.access;
  }

  /** Return the facts of the table that an operation serves, or undefined. */
  tableOf({ raw }) {
    return this.tables[raw["x-cassandra"]?.table];
  }

  #list() {
    return Object.entries(this.raw.paths ?? {}).flatMap(([path, pathItem]) =>
      METHODS.filter((method) => pathItem[method]).map((method) => {
        const raw = pathItem[method];
        return {
          id: raw.operationId ?? `${method} ${path}`,
          method: method.toUpperCase(),
          resource: raw.tags?.[0] ?? OTHERS,
          path,
          pathItem,
          raw,
        };
      }),
    );
  }

  #byResource() {
    const known = (this.raw.tags ?? []).map(({ name, description }) => [name, { name, description, operations: [] }]);
    const resources = new Map(known);
    for (const operation of this.operations.values()) {
      const name = operation.resource;
      if (!resources.has(name)) resources.set(name, { name, operations: [] });
      resources.get(name).operations.push(operation);
      resources.get(name).table ??= this.tableOf(operation);
    }
    return new Map([...resources].filter(([, { operations }]) => operations.length));
  }

  /** Return a credential for each set of alternatives: X-API-Key if it is one, since a proxy may use Authorization. */
  #credentials() {
    const found = new Map();
    const asked = [this.raw.security, ...[...this.operations.values()].map(({ raw }) => raw.security)];
    for (const security of asked) {
      const purpose = purposeOf(security);
      if (!purpose || found.has(purpose)) continue;
      const ways = security.flatMap(Object.keys).map((id) => this.#way(id)).filter(Boolean);
      const way = ways.find(({ header }) => header === this.access?.header) ?? ways.find(({ prefix }) => !prefix) ?? ways[0];
      if (way) found.set(purpose, { ...way, purpose, variable: found.size ? way.variable : "API_KEY" });
    }
    return found;
  }

  #way(id) {
    const scheme = this.resolve(this.raw.components?.securitySchemes?.[id]) ?? {};
    const variable = id.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replace(/\W/g, "_").toUpperCase();
    const about = { title: scheme.description ?? id, variable };
    if (scheme.type === "apiKey" && scheme.in === "header") return { ...about, header: scheme.name, prefix: "" };
    const isBearer = scheme.type === "http" && scheme.scheme.toLowerCase() === "bearer";
    return isBearer ? { ...about, header: "Authorization", prefix: "Bearer " } : null;
  }
}

/** Return a name for a list of alternative credentials; "" if none is needed. */
function purposeOf(security) {
  return (security ?? []).flatMap(Object.keys).sort().join(" or ");
}
