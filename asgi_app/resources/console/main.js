// The console: the views of the tables and statements of a document, by their addresses.

import { AboutView } from "./about.js";
import { CreateView, PartitionView, RowEditView } from "./edit.js";
import { message, run } from "./frame.js";
import { placeOf } from "./links.js";
import { Menu } from "./menu.js";
import { OverviewView } from "./overview.js";
import { RowView } from "./row.js";
import { RowsView } from "./rows.js";
import { sourcesOf } from "./sources.js";
import { StreamView } from "./stream.js";

// The views of all sources, and those of a table's rows.
const VIEWS = { __proto__: null, rows: RowsView, stream: StreamView, about: AboutView, new: CreateView };
const OF_ROWS = { __proto__: null, row: RowView, edit: RowEditView, partition: PartitionView };

run((described) => {
	const sources = sourcesOf(described);
	const menu = new Menu([...sources.values()]);

	function view(hash) {
		const { view: kind, name, pairs } = placeOf(hash);
		const source = sources.get(name);
		menu.mark(source?.name);
		if (!kind) return new OverviewView(described, [...sources.values()]);
		const View = source?.views[kind] ? VIEWS[kind] : source?.canRead && OF_ROWS[kind];
		if (View) return new View(source, pairs);
		return { element: message("Not found", `This service serves nothing of the name ${name || kind}.`) };
	}

	return { title: `${described.raw.info.title} console`, menu: menu.element, view };
});
