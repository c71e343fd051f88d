// The list of tables.

import { el } from "./dom.js";
import { link } from "./links.js";

export class Menu {
	constructor(names) {
		this.names = names;
		this.list = el("ul");
		this.count = el("p", { class: "hint", "aria-live": "polite" });
		this.search = el("input", { type: "search", id: "search", input: () => this.#look() });
		this.element = [
			el("ul", el("li", el("a", { href: "#/" }, "Overview"))),
			el("label", { for: "search" }, "Search tables"),
			this.search,
			this.count,
			this.list,
		];
		this.#look();
	}

	mark(name) {
		this.shown = name;
		for (const each of [...this.element, this.list].flatMap((part) => [...part.querySelectorAll("a")])) {
			const isShown = each.hash === "#/" ? !name : each.textContent === name;
			each.ariaCurrent = isShown ? "page" : null;
		}
	}

	#look() {
		const wanted = this.search.value.toLowerCase();
		const found = this.names.filter((name) => name.toLowerCase().includes(wanted));
		this.list.replaceChildren(...found.map((name) => el("li", el("a", { href: link("rows", name) }, name))));
		this.count.textContent = wanted && `${found.length} found`;
		this.mark(this.shown);
	}
}
