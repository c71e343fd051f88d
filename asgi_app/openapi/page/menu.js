/** The list of all operations by resource, and the search in it. Resources are filled in when they are opened. */

import { el } from "./dom.js";
import { badge, operationLink, resourceLink } from "./links.js";

const MOST_FOUND = 100;

export class Menu {
  constructor(document) {
    this.operations = [...document.operations.values()].map((operation) => ({ operation, text: textOf(operation) }));
    this.groups = [...document.resources.values()].map(groupOf);
    this.found = el("div", { "aria-live": "polite" });
    this.all = el("div", {}, this.groups.map(({ element }) => element));
    this.search = el("input", {
      type: "search",
      id: "search",
      placeholder: "path, summary or method",
      autocomplete: "off",
      input: () => this.#look(),
    });
    this.element = [el("label", { for: "search" }, "Search operations"), this.search, this.found, this.all];
  }

  /** Mark the operation or resource that is shown, and open its resource. */
  mark(resource, id) {
    for (const { name, element, fill } of this.groups) {
      if (name === resource) {
        fill();
        element.open = true;
      }
    }
    for (const link of this.all.querySelectorAll("a")) {
      const isShown = link.hash === (id ? operationLink(id) : resourceLink(resource ?? ""));
      if (isShown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #look() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.all.hidden = words.length > 0;
    if (!words.length) return this.found.replaceChildren();
    const found = this.operations.filter(({ text }) => words.every((word) => text.includes(word)));
    const shown = found.slice(0, MOST_FOUND).map(({ operation }) => item(operation, operation.path));
    const more = found.length > MOST_FOUND ? `, the first ${MOST_FOUND} are shown` : "";
    const count = el("p", { class: "quiet" }, `${found.length} found${more}`);
    return this.found.replaceChildren(count, el("ul", {}, shown));
  }
}

function groupOf({ name, operations }) {
  const list = el("ul", {});
  const fill = () => {
    if (list.childElementCount) return;
    const overview = el("li", {}, el("a", { href: resourceLink(name) }, "About ", el("strong", {}, name)));
    list.append(overview, ...operations.map((operation) => item(operation, operation.raw.summary ?? operation.id)));
  };
  const element = el("details", { toggle: fill }, el("summary", {}, name), list);
  return { name, element, fill };
}

function item({ id, method, path }, text) {
  return el("li", {}, el("a", { href: operationLink(id), title: `${method} ${path}` }, badge(method), el("span", {}, text)));
}

const textOf = ({ id, method, path, raw }) => `${method} ${path} ${id} ${raw.summary ?? ""}`.toLowerCase();
