// Requests as text that a person can run.

import { block } from "./cells.js";
import { curl } from "./curl.js";
import { copyButton, el } from "./dom.js";

// Return a folded section with what `request` returns as a command, and its `cql`.
export function asRequest(title, request, cql, options) {
	const command = block(title);
	const refresh = () => (command.textContent = curl(request(), options));
	refresh();
	const parts = el("section", command, el("div", copyButton("Copy", () => command.textContent)), cql && block("CQL", cql));
	return Object.assign(el("details", { class: "group snippet" }, el("summary", title), parts), { refresh });
}

export const cqlOf = ({ raw }) => raw["x-cassandra"].cql;
