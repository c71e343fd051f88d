// The list of operations by resource, and the search in it. A resource is filled in when it is opened.

import { el } from "./dom.js";
import { badge, operationLink, resourceLink } from "./links.js";

const MOST_FOUND = 100;

export class Menu {
	constructor(document) {
		this.operations = [...document.operations.values()].map((operation) => ({ operation, text: textOf(operation) }));
		this.groups = new Map([...document.resources.values()].map((resource) => [resource.name, groupOf(resource)]));
		this.count = el("p", { class: "hint", "aria-live": "polite" });
		this.found = el("ul");
		this.all = el("div", [...this.groups.values()].map(({ element }) => element));
		this.search = el("input", { type: "search", id: "search", placeholder: "path, summary or method", input: () => this.#look() });
		this.element = [el("label", { for: "search" }, "Search operations"), this.search, this.count, this.found, this.all];
	}

	// Mark what is shown, an operation or a resource, and open its resource.
	mark(resource, id) {
		const group = this.groups.get(resource);
		if (group) group.element.open = true;
		group?.fill();
		this.all.querySelector("[aria-current]")?.removeAttribute("aria-current");
		const hash = id ? operationLink(id) : resourceLink(resource);
		const link = [...this.all.querySelectorAll("a")].find((each) => each.hash === hash);
		link?.setAttribute("aria-current", "page");
		link?.scrollIntoView({ block: "nearest" });
	}

	#look() {
		const words = this.search.value.toLowerCase().match(/\S+/g) ?? [];
		const found = this.operations.filter(({ text }) => words.every((word) => text.includes(word)));
		const shown = found.slice(0, MOST_FOUND).map(({ operation }) => item(operation, operation.path));
		const more = found.length > MOST_FOUND ? `, the first ${MOST_FOUND} are shown` : "";
		this.all.hidden = words.length > 0;
		this.count.textContent = words.length ? `${found.length} found${more}` : "";
		this.found.replaceChildren(...(words.length ? shown : []));
	}
}

function groupOf({ name, operations }) {
	const list = el("ul");
	const fill = () => {
		if (list.childElementCount) return;
		list.append(el("li", el("a", { href: resourceLink(name) }, "About this resource")));
		list.append(...operations.map((operation) => item(operation, operation.raw.summary)));
	};
	return { fill, element: el("details", { toggle: fill }, el("summary", name), list) };
}

function item({ id, method, path }, text) {
	const title = `${method} ${path}`;
	return el("li", el("a", { href: operationLink(id), title }, badge(method), el("span", text)));
}

const textOf = ({ id, method, path, raw }) => `${method} ${path} ${id} ${raw.summary}`.toLowerCase();
