// The form of an operation: its fields, and the request that they make.

import { el } from "./dom.js";
import { Field } from "./field.js";
import { segmentsOf } from "./json.js";
import { boundsOf, shapeOf, typeName } from "./schema.js";
import { base } from "./service.js";

const UNITS = { json: "JSON", increment: "is added to the counter; a negative number is taken away" };

export class Form {
	// `wanted` are the names of the parameters that get a field, if not all do.
	constructor(document, operation, wanted) {
		Object.assign(this, { document, operation });
		this.credential = document.credentialOf(operation);
		this.columns = new Map((document.tableOf(operation)?.columns ?? []).map(({ name, type }) => [name, type]));
		const parameters = document.parametersOf(operation).filter(({ name }) => !wanted || wanted.includes(name));
		this.parameters = parameters.map((parameter) => this.field(parameter));
		const [content] = Object.entries(document.resolve(operation.raw.requestBody)?.content ?? {});
		this.contentType = content?.[0];
		this.body = content ? this.#members(content[1].schema) : [];
		this.fields = [...this.parameters, ...this.body];
	}

	// Return the request that the form describes. `query` replaces its own, as a link to the next page does.
	request(query = queryOf(this.pairs("query"))) {
		const { credential, contentType, operation: { method, path } } = this;
		const values = new Map(this.pairs("path"));
		const filled = path.slice(1).replace(/\{([^}]*)\}/g, (_, name) => encode(values.get(name) ?? ""));
		const headers = [...this.pairs("header"), ...(contentType ? [["Content-Type", contentType]] : [])];
		return { method, url: base.href + filled + (query && `?${query}`), headers, body: this.#bodyText(), credential };
	}

	// Return the parameters of a group that are sent, as pairs of a name and a text.
	pairs(wanted) {
		const sent = this.fields.filter(({ group, state }) => group === wanted && state === "value");
		return sent.flatMap(({ name, values }) => values.map((value) => [name, value]));
	}

	clear() {
		for (const field of this.fields) field.clear();
	}

	// Show at their fields why values cannot be sent. Returns whether all can be.
	check() {
		this.clear();
		const wrong = this.fields.filter(({ problem }) => problem);
		for (const field of wrong) field.fail(field.problem);
		wrong[0]?.show();
		return !wrong.length;
	}

	// Show errors of the service at their fields. Returns those that no field stands for.
	fail(errors) {
		const fields = errors.map(({ field }) => this.#at(field));
		fields.forEach((field, index) => {
			const { field: place, message } = errors[index];
			field?.fail(field.group === "body" && place !== field.place ? `${place}: ${message}` : message);
		});
		fields.find(Boolean)?.show();
		return errors.filter((_, index) => !fields[index]);
	}

	// Enter the texts of parameters.
	enter(pairs) {
		for (const field of this.parameters) {
			const texts = pairs.filter(([name]) => name === field.name).map(([, text]) => text);
			if (texts.length) field.enter(texts);
		}
	}

	// Return the field of a parameter. Options are those of `Field`.
	field({ name, in: group, required, description, schema, content, explode }, options) {
		const described = schema ?? Object.values(content)[0].schema;
		const isList = shapeOf(this.document, described).types.has("array") && !content;
		const separator = explode === false && ",";
		const column = this.#columnOf(name);
		const { path, resource } = this.operation;
		const isFirst = this.columns.size > 0 && path.startsWith(`/${resource}/{${name}}`);
		return this.#field(`${group}.${name}`, name, described, { group, required, description, column, isList, separator, isFirst, ...options });
	}

	// Return the fields of the body: one for each member of an object, else one for all of it.
	#members(schema) {
		const { properties, required = [] } = shapeOf(this.document, schema).schema;
		if (!properties) return [this.#field("", "body", schema, { required: true })];
		return Object.entries(properties).map(([name, member]) => this.member(name, member, { required: required.includes(name) }));
	}

	member(name, schema, options) {
		const place = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
		return this.#field(place, name, schema, { column: this.columns.get(name), ...options });
	}

	// Return the field of a schema. `column` is the CQL type of its column, if it has one.
	#field(place, name, schema, { column, ...options }) {
		const shape = shapeOf(this.document, schema);
		const unit = options.isList ? "one value in each line, as JSON if it is empty or has several lines" : UNITS[shape.kind];
		return new Field({
			group: "body",
			place,
			name,
			shape,
			schema,
			type: column ?? typeName(this.document, shape),
			hint: [unit, boundsOf(shape)].filter(Boolean).join(", "),
			...options,
			description: options.description ?? shape.schema.description,
		});
	}

	#columnOf(name) {
		return this.columns.get(name) ?? this.columns.get(name.replace(/\.[a-z_]+$/, ""));
	}

	get element() {
		const of = (wanted) => this.parameters.filter((field) => field.group === wanted);
		const isFilter = ({ name, required }) => !required && this.#columnOf(name);
		const filters = of("query").filter(isFilter);
		const headers = of("header");
		return el(
			"div",
			group("Path", of("path")),
			group("Query", of("query").filter((field) => !isFilter(field))),
			group("Filters", filters, filters.length > 6),
			group("Body", this.body),
			group("Headers", headers, headers.every(({ required }) => !required)),
		);
	}

	#bodyText() {
		if (!this.contentType) return undefined;
		if (this.body[0]?.place === "") return this.body[0].token;
		return objectOf(this.body.filter(({ state }) => state !== "absent").map(({ name, token }) => [name, token]));
	}

	// Return the field at the place that an error names; for a place within a member of the body, the member's.
	#at(place) {
		const inHeader = place.startsWith("header.");
		const isSame = (field) => field.place === place || (inHeader && field.place.toLowerCase() === place.toLowerCase());
		const isAround = (field) => field.group === "body" && (field.place === "" || field.name === segmentsOf(place)[0]);
		return this.fields.find(/^(\/|$)/.test(place) ? isAround : isSame);
	}
}

// Return the JSON of an object, from pairs of a name and JSON.
export const objectOf = (pairs) => `{${pairs.map(([name, token]) => `${JSON.stringify(name)}: ${token}`).join(", ")}}`;

// Return whether a key sends a form: Ctrl+Enter does everywhere, Enter in texts that are usually one line.
export function isSend({ key, ctrlKey, metaKey, shiftKey, isComposing, target }) {
	return key === "Enter" && !isComposing && (ctrlKey || metaKey || (!shiftKey && target.matches(".line")));
}

export const encode = (text) => encodeURIComponent(text.toWellFormed?.() ?? text);

export const queryOf = (pairs) => pairs.map((pair) => pair.map(encode).join("=")).join("&");

function group(name, fields, isFolded) {
	if (!fields.length) return null;
	const all = fields.map(({ element }) => element);
	if (isFolded) return el("details", { class: "group" }, el("summary", `${name} (${fields.length})`), all);
	return el("fieldset", el("legend", name), all);
}
