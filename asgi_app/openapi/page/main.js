// The page /docs: loads the document, and shows the view that the address names.

import { loadDocument } from "./document.js";
import { button, el } from "./dom.js";
import { operationLink, partsOf } from "./links.js";
import { Menu } from "./menu.js";
import { OperationView } from "./operation.js";
import { overview, resourceView } from "./overview.js";

const main = document.getElementById("main");
const fold = document.getElementById("fold");
const narrow = matchMedia("(max-width: 60rem)");

let shown = null; // the document, its menu, and the views of operations, which keep what was entered in them

async function load() {
	const before = shown?.described.access ?? null;
	shown = null;
	main.replaceChildren(message("Loading …"));
	try {
		const described = await loadDocument(before);
		shown = { described, menu: new Menu(described), views: new Map() };
		document.getElementById("menu").replaceChildren(...shown.menu.element);
		document.getElementById("title").textContent = described.raw.info.title;
		show();
	} catch (error) {
		main.replaceChildren(message("No description", error.message, button("Try again", load, { class: "primary" })));
	}
}

function show() {
	if (!shown) return;
	const { described, menu } = shown;
	const [kind, name] = partsOf(location.hash);
	const operation = kind === "operation" && described.operations.get(name);
	const resource = described.resources.get(operation ? operation.resource : name);
	menu.mark(resource?.name, operation?.id);
	main.replaceChildren(elementOf(described, operation, resource, name));
	const { title } = described.raw.info;
	document.title = name ? `${main.querySelector("h1").textContent} · ${title}` : title;
	fold.open = !narrow.matches;
	scrollTo(0, 0);
}

function elementOf(described, operation, resource, name) {
	if (operation) return viewOf(operation).element;
	if (resource) return resourceView(resource);
	return name ? message("Not found", `This service has nothing of the name ${name}.`) : overview(described);
}

function viewOf(operation) {
	const { described, views } = shown;
	if (!views.has(operation)) views.set(operation, new OperationView(described, operation, open));
	return views.get(operation);
}

function open(operation, values) {
	viewOf(operation).fill(values);
	location.hash = operationLink(operation.id);
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
