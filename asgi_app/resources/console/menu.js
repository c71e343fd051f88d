// The list of tables and statements, and the search in it.

import { el } from "./dom.js";

export class Menu {
	constructor(sources) {
		this.links = new Map(sources.map((source) => [source.name, el("a", { href: source.home }, source.name)]));
		this.overview = el("a", { href: "#/" }, "Overview");
		this.count = el("p", { class: "hint", "aria-live": "polite" });
		this.search = el("input", { type: "search", id: "search", input: () => this.#look() });
		this.items = [...this.links].map(([name, link]) => [name.toLowerCase(), el("li", link)]);
		const list = el("ul", this.items.map(([, item]) => item));
		this.element = [el("ul", el("li", this.overview)), el("label", { for: "search" }, "Search tables"), this.search, this.count, list];
	}

	// Mark what is shown: a table or statement by its name, or the overview.
	mark(name) {
		if (this.marked) this.marked.ariaCurrent = null;
		this.marked = this.links.get(name) ?? this.overview;
		this.marked.ariaCurrent = "page";
	}

	#look() {
		const wanted = this.search.value.toLowerCase();
		for (const [name, item] of this.items) item.hidden = !name.includes(wanted);
		this.count.textContent = wanted && `${this.items.filter(([, item]) => !item.hidden).length} found`;
	}
}
