// Values as text: in cells, cut if they are long, and as a whole in a dialog.

import { button, copyButton, el } from "./dom.js";
import { textOf } from "./json.js";

const MOST_CHARACTERS = 60;
const SIMILARITY = "$similarity"; // what a search for the nearest vectors adds to each row

// Return a value as nodes. A long value is cut; a click shows all of it.
export function cell(name, value, most = MOST_CHARACTERS) {
	if (isNothing(value)) return el("span", { class: "nothing" }, short(value));
	const text = textOf(value);
	if (text.length <= most) return short(value);
	const open = () => showText(name, typeof value === "string" ? value : JSON.stringify(value, null, 2));
	return button(short(value, most), open, { class: "cut", title: "Show all of it" });
}

export const block = (label, text) => el("pre", { tabindex: 0, role: "region", "aria-label": label }, text);

const isNothing = (value) => value == null || value === "";

// Return a value as text, cut if it is long, and quoted if nobody could see it.
export function short(value, most = MOST_CHARACTERS) {
	if (isNothing(value)) return value === "" ? "empty text" : "null";
	const text = textOf(value);
	if (text.length > most) return `${text.slice(0, most).replace(/[\ud800-\udbff]$/, "")}…`;
	return /^[\s\p{C}]*$/u.test(text) ? JSON.stringify(text) : text;
}

function showText(title, text) {
	const note = `${text.length.toLocaleString("en")} characters`;
	showDialog(title, el("p", { class: "quiet" }, note), block(title, text), [copyButton("Copy", () => text)]);
}

// Show a dialog: a note below its title, a body, and buttons beside Close.
export function showDialog(title, note, body, buttons) {
	const dialog = el("dialog", { class: "wide", "aria-label": title });
	const close = button("Close", () => dialog.close());
	dialog.append(el("section", el("h2", title), note, body, el("div", { class: "bar" }, buttons, close)));
	dialog.onclose = () => dialog.remove();
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}

// Return a table that scrolls sideways. The first cell of each row is its heading.
export function scrolling(label, head, rows) {
	const cells = (row) => row.map((content, index) => (index ? el("td", content) : el("th", { scope: "row" }, content)));
	const table = el(
		"table",
		el("thead", el("tr", head.map((content) => el("th", { scope: "col" }, content)))),
		el("tbody", rows.map((row) => el("tr", cells(row)))),
	);
	return el("div", { class: "scrolling", tabindex: 0, role: "region", "aria-label": label }, table);
}

// Return the headings of the columns of a table: names, types, and which are keys.
export function headings({ columns }, names) {
	const known = new Map(columns.map((column) => [column.name, column]));
	return names.map((name) => {
		const { type = "", kind = "regular" } = known.get(name) ?? {};
		const mark = kind === "regular" ? "" : ` · ${kind.replace("_key", "").replace("_", " ")}`;
		return [el("span", { class: "column" }, name), el("span", { class: "type" }, type + mark)];
	});
}

// Return a table of rows. The first column of the key leads to its address.
export function rowsTable(label, source, rows) {
	const names = [...new Set(rows.flatMap(Object.keys))].sort((name) => (name === SIMILARITY ? -1 : 0));
	const cells = rows.map((row) => {
		const href = source.addressOf(row);
		return names.map((name) => (href && name === source.keys[0] ? el("a", { href, title: "Open the row" }, short(row[name])) : cell(name, row[name])));
	});
	return scrolling(label, headings(source.facts, names), cells);
}

export function facts(values) {
	return el("dl", { class: "facts" }, Object.entries(values).map(([name, value]) => el("div", el("dt", name), el("dd", value))));
}
