// The frame of a page: it loads the document, and shows the view that the address names.

import { loadDocument } from "./document.js";
import { button, el } from "./dom.js";

const main = document.getElementById("main");
const fold = document.getElementById("fold");
const narrow = matchMedia("(max-width: 60rem)");

export const message = (title, text, ...more) => el("article", el("h1", { tabindex: -1 }, title), el("p", text), more);

// Load the document and follow the address. `open` makes a page of it: its `title`, the nodes of its `menu`, and `view`, which
// returns the view of an address: an `element`, and `leave` if something ends with it.
export function run(open) {
	let access = null; // what the document was had with
	let page = null;
	let view = null;

	async function load() {
		page = null;
		replace({ element: message("Loading …") });
		try {
			const described = await loadDocument(access);
			access = described.access;
			page = open(described);
			document.getElementById("menu").replaceChildren(...page.menu);
			document.getElementById("title").textContent = page.title;
			show();
		} catch (error) {
			replace({ element: message("No description", error.message, button("Try again", load, { class: "primary" })) });
		}
	}

	function show() {
		if (!page) return;
		replace(page.view(location.hash));
		document.title = [...new Set([main.querySelector("h1").textContent, page.title])].join(" · ");
		unfold();
		scrollTo(0, 0);
	}

	// Show a view in place of the one before, which ends its requests and dialogs.
	function replace(next) {
		for (const dialog of document.querySelectorAll("dialog")) dialog.close();
		view?.leave?.();
		view = next;
		main.replaceChildren(view.element);
	}

	const unfold = () => (fold.open = !narrow.matches);
	const focus = () => main.querySelector("h1").focus();
	addEventListener("hashchange", () => {
		show();
		focus();
	});
	document.querySelector(".skip").onclick = (event) => {
		event.preventDefault(); // the address names the view
		focus();
	};
	narrow.onchange = unfold;
	document.getElementById("reload").onclick = load;
	load();
}
