// The filters of a view of rows, each with its input, and a choice of more.

import { OPERATORS } from "./cql.js";
import { button, el } from "./dom.js";
import { Form, isSend, objectOf, queryOf } from "./form.js";
import { segmentsOf } from "./json.js";
import { go, link } from "./links.js";
import { shapeOf, tokenOf } from "./schema.js";

// Parameters that say how rows are sent, not which rows.
const OTHERS = ["limit", "page_state", "fetch_size", "slice", "select", "format", "parallel"];

export class Filters {
	// `pairs` are those of the address. Filters that are changed lead to the view `shown`.
	constructor(source, operation, pairs, shown) {
		Object.assign(this, { source, shown, pairs: pairs.filter(([name]) => name !== "page_state") });
		this.form = new Form(source.document, operation, []);
		this.offered = this.#offered(operation);
		this.needed = [...this.offered].filter(([, { required }]) => required).map(([name]) => name);
		this.set = new Map();
		this.list = el("div");
		for (const name of new Set([...this.needed, ...this.pairs.map(([other]) => other)])) this.#add(name);
		const send = (event) => isSend(event) && this.#submit(event);
		this.element = el("form", { class: "filters", "aria-label": "Filters", submit: (event) => this.#submit(event), keydown: send }, this.list, this.#bar());
	}

	// Whether the address has all that the operation needs.
	get isComplete() {
		return this.needed.every((name) => this.pairs.some(([other]) => other === name));
	}

	// The field of the vector whose neighbours are searched for.
	get near() {
		return this.form.fields.find(({ group }) => group === "body");
	}

	// The filters that are set on columns, for people who read CQL.
	get relations() {
		return [...this.set.keys()].map((name) => this.offered.get(name)).filter((each) => each?.operator !== undefined);
	}

	// Return the request of the rows. `more` are pairs that say which of them.
	request(more) {
		if (this.near) return this.#search(more);
		return this.form.request(queryOf([...this.form.pairs("query"), ...more]));
	}

	check() {
		return this.form.check();
	}

	// Show errors at the inputs that they name. Returns the others.
	fail(errors) {
		const known = errors.map((error) => ({ ...error, field: placeOf(error.field) }));
		this.form.clear();
		return this.form.fail(known);
	}

	#search(more) {
		const { near, form: { fields }, source: { document, search } } = this;
		const where = fields.filter((field) => field !== near).map((field) => [field.name.replace(/\.eq$/, ""), this.#token(field)]);
		const body = objectOf([["near", objectOf([[near.name, near.token]])], ["where", objectOf(where)], ...more]);
		return { ...new Form(document, search, []).request(), body };
	}

	#token(field) {
		if (!field.isList) return field.token;
		const shape = shapeOf(this.source.document, field.shape.schema.items);
		return `[${field.values.map((value) => tokenOf(shape, value)).join(", ")}]`;
	}

	// Return what an operation can filter by, by the names of pairs. Vectors are compared by a search.
	#offered(operation) {
		const { document, search } = this.source;
		const parameters = document.parametersOf(operation).filter(({ in: place, name }) => place !== "header" && !OTHERS.includes(name));
		const found = parameters.map((parameter) => [parameter.name, { ...this.#words(parameter.name), parameter, required: parameter.required }]);
		const [near] = search && this.shown === "rows" ? new Form(document, search, []).body.filter(({ name }) => name === "near") : [];
		const vectors = Object.entries(near?.shape.schema.properties ?? {});
		return new Map([...found, ...vectors.map(([column, schema]) => [`near:${column}`, { column, operator: "near", label: `${column} ANN OF`, schema }])]);
	}

	// Return the column and the operator of a parameter, and its label.
	#words(name) {
		const columns = this.source.facts.columns.map((each) => each.name).filter((each) => name === each || name.startsWith(`${each}.`));
		const [column] = columns.sort((one, other) => other.length - one.length);
		if (column === undefined) return { label: name };
		const operator = name.slice(column.length + 1).replace(/^eq$/, "");
		return { column, operator, label: `${column} ${OPERATORS[operator] ?? operator}` };
	}

	// Add the input of a filter, with what the address has for it.
	#add(name) {
		const { label, parameter, schema, column, required } = this.offered.get(name) ?? { label: name, parameter: { name, in: "query", schema: { type: "string" } } };
		const options = { label, lack: "is empty", ...(column && { description: "" }) };
		const field = parameter ? this.form.field(parameter, options) : this.form.member(column, schema, options);
		const texts = this.pairs.filter(([other]) => other === name).map(([, text]) => text);
		if (texts.length) field.enter(texts);
		if (field.sent) field.fill(field.text); // the filter is there, so it is sent
		if (!required) field.element.append(button("×", () => this.#remove(name), { class: "remove", "aria-label": `Remove the filter ${label}` }));
		this.set.set(name, field);
		this.form.fields.push(field);
		this.list.append(field.element);
		return field;
	}

	#remove(name) {
		const field = this.set.get(name);
		field.element.remove();
		this.set.delete(name);
		this.form.fields = this.form.fields.filter((each) => each !== field);
		this.#go();
	}

	#bar() {
		const names = [...this.offered.keys()].filter((name) => !this.needed.includes(name));
		const options = names.map((name) => el("option", { value: name }, this.offered.get(name).label));
		const choice = el("select", { "aria-label": "A filter to add" }, options);
		const add = () => (this.set.get(choice.value) ?? this.#add(choice.value)).show();
		const more = names.length > 0 && [choice, button("Add filter", add)];
		const show = el("button", { class: "primary" }, "Show rows");
		return el("div", { class: "bar" }, more, this.shown === "rows" && (more || this.needed.length > 0) && show);
	}

	#submit(event) {
		event.preventDefault();
		if (this.check()) this.#go();
	}

	#go() {
		const pairs = [...this.set].flatMap(([name, field]) => (field.state === "value" ? field.values.map((value) => [name, value]) : []));
		go(link(this.shown, this.source.name, pairs));
	}
}

// Return the place of an error of a search as a list has it.
function placeOf(field) {
	const [first, name] = segmentsOf(field);
	if (first === "where") return `query.${name}`;
	return first === "near" ? field.slice("/near".length) : field;
}
