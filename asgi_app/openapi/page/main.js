// The page /docs: the views of a document, by their addresses.

import { message, run } from "./frame.js";
import { operationLink, partsOf } from "./links.js";
import { Menu } from "./menu.js";
import { OperationView } from "./operation.js";
import { overview, resourceView } from "./overview.js";

run((described) => {
	const menu = new Menu(described);
	const views = new Map(); // those of operations, which keep what was entered in them

	function viewOf(operation) {
		if (!views.has(operation)) views.set(operation, new OperationView(described, operation, open));
		return views.get(operation);
	}

	function open(operation, values) {
		viewOf(operation).fill(values);
		location.hash = operationLink(operation.id);
	}

	function view(hash) {
		const [kind, name] = partsOf(hash);
		const operation = kind === "operation" && described.operations.get(name);
		const resource = described.resources.get(operation ? operation.resource : name);
		menu.mark(resource?.name, operation?.id);
		if (operation) return viewOf(operation);
		if (resource) return { element: resourceView(resource) };
		return { element: name ? message("Not found", `This service has nothing of the name ${name}.`) : overview(described) };
	}

	return { title: described.raw.info.title, menu: menu.element, view };
});
