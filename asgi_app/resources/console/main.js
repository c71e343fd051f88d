// The console: loads the document, and shows the view that the address names.

import { AboutView } from "./about.js";
import { loadDocument } from "./document.js";
import { button, el } from "./dom.js";
import { ChangeView, CreateView } from "./edit.js";
import { placeOf } from "./links.js";
import { Menu } from "./menu.js";
import { OverviewView } from "./overview.js";
import { RowView } from "./row.js";
import { RowsView } from "./rows.js";
import { StreamView } from "./stream.js";
import { Table } from "./tables.js";

const VIEWS = { rows: RowsView, stream: StreamView, about: AboutView, row: RowView, new: CreateView, edit: ChangeView };

const main = document.getElementById("main");
const fold = document.getElementById("fold");
const narrow = matchMedia("(max-width: 60rem)");

let shown = null; // the document, its tables, the menu
let view = null;

async function load() {
	const before = shown?.described.access ?? null;
	shown = null;
	replace({ element: message("Loading …") });
	try {
		const described = await loadDocument(before);
		const served = [...described.resources.values()].filter(({ table }) => table);
		const tables = new Map(served.map((resource) => [resource.name, new Table(described, resource)]));
		shown = { described, tables, menu: new Menu([...tables.keys()]) };
		document.getElementById("menu").replaceChildren(...shown.menu.element);
		document.getElementById("title").textContent = `${described.raw.info.title} console`;
		show();
	} catch (error) {
		replace({ element: message("No description", error.message, button("Try again", load, { class: "primary" })) });
	}
}

function show() {
	if (!shown) return;
	const { name, pairs, view: kind } = placeOf(location.hash);
	const table = shown.tables.get(name);
	replace(viewOf(kind, name, table, pairs));
	shown.menu.mark(table?.name);
	document.title = `${main.querySelector("h1").textContent} · ${shown.described.raw.info.title}`;
	fold.open = !narrow.matches;
	scrollTo(0, 0);
}

function viewOf(kind, name, table, pairs) {
	if (!kind) return new OverviewView(shown.described, [...shown.tables.values()]);
	if (table && VIEWS[kind] && (kind !== "stream" || table.stream)) return new VIEWS[kind](table, pairs);
	return { element: message("Not found", `This service serves nothing of the name ${name || kind}.`) };
}

// Show a view in place of the one before, which ends its requests.
function replace(next) {
	view?.leave?.();
	view = next;
	main.replaceChildren(view.element);
}

const message = (title, text, ...more) => el("article", el("h1", { tabindex: -1 }, title), el("p", text), more);

const focus = () => main.querySelector("h1").focus();

addEventListener("hashchange", () => {
	show();
	focus();
});
document.querySelector(".skip").onclick = (event) => {
	event.preventDefault(); // the address names the view
	focus();
};
narrow.onchange = () => (fold.open = !narrow.matches);
document.getElementById("reload").onclick = load;
load();
