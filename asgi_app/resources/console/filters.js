// The filters of a view of rows: what the table allows, one at a time, and those that are set.

import { button, el } from "./dom.js";
import { namesIn } from "./tables.js";

const WORDS = {
	"": "is",
	gt: "is greater than",
	gte: "is at least",
	lt: "is less than",
	lte: "is at most",
	in: "is one of",
	contains: "contains",
	contains_key: "has the key",
};

export class Filters {
	// `pairs` are those of the address; `go` shows the view with others.
	constructor(table, operation, pairs, go) {
		this.places = namesIn(operation);
		this.pairs = pairs.filter(([name]) => name !== "page_state");
		this.all = table.filtersOf(operation);
		this.go = go;
		this.set = this.all.filter(({ name }) => this.pairs.some(([other]) => other === name));
		this.element = el("form", { class: "filters", "aria-label": "Filters", submit: (event) => this.#submit(event) }, this.#fields(), this.#chips());
	}

	// Whether the address has a value for each name in the path.
	get isComplete() {
		return this.places.every((name) => this.#valueOf(name));
	}

	#valueOf(name) {
		return this.pairs.find(([other]) => other === name)?.[1] ?? "";
	}

	#fields() {
		this.inputs = new Map(this.places.map((name) => [name, el("input", { id: `path-${name}`, required: true, value: this.#valueOf(name), autocomplete: "off" })]));
		const places = [...this.inputs].map(([name, input]) => el("div", el("label", { for: input.id }, name), input));
		if (!this.all.length && !places.length) return null;
		return el("div", { class: "bar" }, places, this.all.length > 0 && this.#choice(), el("button", { class: "small" }, places.length ? "Show rows" : "Add filter"));
	}

	#choice() {
		const columns = [...new Set(this.all.map(({ column }) => column))];
		this.column = el("select", { "aria-label": "Column", change: () => this.#fill() }, columns.map((name) => el("option", name)));
		this.operator = el("select", { "aria-label": "Comparison", change: () => this.#hint() });
		this.value = el("input", { "aria-label": "Value", autocomplete: "off", spellcheck: "false" });
		this.#fill();
		return [this.column, this.operator, this.value];
	}

	// Offer the comparisons of the column that is chosen.
	#fill() {
		const own = this.all.filter(({ column }) => column === this.column.value);
		this.operator.replaceChildren(...own.map(({ name, operator }) => el("option", { value: name }, WORDS[operator] ?? operator)));
		this.#hint();
	}

	#hint() {
		this.value.placeholder = this.all.find(({ name }) => name === this.operator.value).description ?? "";
	}

	#chips() {
		const named = this.pairs.filter(([name]) => !this.places.includes(name));
		if (!named.length) return null;
		const chips = named.map((pair) => {
			const { column = pair[0], operator = "" } = this.all.find(({ name }) => name === pair[0]) ?? {};
			const text = `${column} ${WORDS[operator] ?? operator} ${pair[1]}`;
			const remove = () => this.go(this.pairs.filter((each) => each !== pair));
			return el("li", el("span", text), button("×", remove, { class: "small", "aria-label": `Remove the filter ${text}` }));
		});
		return el("ul", { class: "chips", "aria-label": "Filters that are set" }, chips);
	}

	// Go to the rows of the path, with the filter that was entered: beside those of its name if they are a list.
	#submit(event) {
		event.preventDefault();
		const inPath = [...this.inputs].map(([name, { value }]) => [name, value]);
		const others = this.pairs.filter(([name]) => !this.places.includes(name));
		const [name, value] = [this.operator?.value, this.value?.value];
		if (!value) return this.go([...inPath, ...others]);
		const kept = others.filter(([other]) => other !== name || name.endsWith(".in"));
		this.go([...inPath, ...kept, [name, value]]);
	}
}
