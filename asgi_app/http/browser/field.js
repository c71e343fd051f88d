// One input of a form: a parameter, or a member of the body. It tells null, an empty text and "not sent" apart.

import { el, inline } from "./dom.js";
import { jsonError, linesOf, textOf, valuesOf } from "./json.js";
import { tokenOf } from "./schema.js";

let made = 0;

export class Field {
	// `group` is "path", "query", "header" or "body", `place` what errors name it: `/age`, `query.limit`; "" is the whole body.
	// A list has a value in each line, sent as one parameter each, or as one in all with a `separator`. `isFirst`: it stands
	// where a path has the verbs of a table. `lack` is why it must not be absent.
	constructor(options) {
		Object.assign(this, options);
		const { group, name, label = name, shape, type, hint, description, required, isList } = options;
		const id = `field-${(made += 1)}`;
		const text = description && hint ? `${description} (${hint})` : description || hint;
		this.mayBeEmpty = shape.kind === "text" && !isList && /query|body/.test(group);
		this.input = this.#input({
			id,
			"aria-describedby": `${id}-hint ${id}-error`,
			"aria-required": required && "true",
			autocomplete: "off",
			spellcheck: "false",
		});
		this.sent = this.mayBeEmpty && !required && box(`send ${name}`);
		this.null = box(`${name} is null`);
		this.error = el("p", { id: `${id}-error`, class: "error" });
		const need = required && el("span", { class: "required" }, "required");
		this.element = el(
			"div",
			{ class: "field", input: ({ target }) => this.#changed(target) },
			el("div", { class: "name" }, el("label", { for: id }, label), need, el("span", { class: "type" }, type)),
			el("div", { class: "value" }, this.input, el("p", { id: `${id}-hint`, class: "hint" }, inline(text)), this.error),
			el("div", { class: "states" }, this.sent && el("label", this.sent, "send"), el("label", { hidden: !shape.nullable }, this.null, "null")),
		);
	}

	// "null", "value" or "absent". An empty input is a value only where a text may be empty, and is required or sent.
	get state() {
		if (this.null.checked) return "null";
		const isThere = this.sent ? this.sent.checked : (this.isList ? /./.test(this.text) : this.text !== "") || this.mayBeEmpty;
		return isThere ? "value" : "absent";
	}

	// What was entered. Inputs change ends of lines, so a text that was not edited is taken as it came.
	get text() {
		const { value } = this.input;
		return value === this.shown ? this.whole : value;
	}

	// The values of the parameters that the field is sent as.
	get values() {
		if (!this.isList) return [this.text];
		const values = valuesOf(this.text);
		return this.separator ? [values.join(this.separator)] : values;
	}

	get token() {
		return this.state === "null" ? "null" : tokenOf(this.shape, this.text);
	}

	// Why the value cannot be sent, or "". What can be sent is for the service to judge.
	get problem() {
		if (this.group === "path") {
			if (this.text === "") return "is needed for the address";
			if (!isSpellable(this.text, this.isFirst)) return "cannot stand in a path; use the operation whose path ends in /-/row";
		}
		if (this.state === "absent") return this.lack ?? "";
		const error = this.group === "body" && this.shape.kind === "json" && jsonError(this.token);
		return error ? `is not JSON: ${error}` : "";
	}

	enter(texts) {
		this.fill("");
		this.#show(this.isList ? linesOf(texts) : texts[0]);
	}

	// Fill in a value. A row may have null where none may be written: the user sees it, and decides.
	fill(value) {
		this.null.checked = value === null;
		if (value === null) this.null.parentNode.hidden = false;
		if (this.sent) this.sent.checked = value !== undefined;
		this.#show(value == null ? "" : this.#textOf(value));
		this.#changed();
	}

	fail(message) {
		this.error.append(el("span", message));
		this.input.setAttribute("aria-invalid", "true");
	}

	clear() {
		this.error.replaceChildren();
		this.input.removeAttribute("aria-invalid");
	}

	show() {
		this.input.closest("details")?.setAttribute("open", "");
		(this.null.checked ? this.null : this.input).focus();
	}

	#show(text) {
		const { kind, choices } = this.shape;
		if (kind === "choice" && text && !choices.includes(text)) this.input.append(el("option", text)); // of other programs
		this.input.value = this.whole = text;
		this.shown = this.input.value;
	}

	#textOf(value) {
		if (this.shape.kind === "increment") return value.$inc;
		if (this.isList && Array.isArray(value)) return linesOf(value.map(textOf));
		return this.shape.kind === "json" ? JSON.stringify(value) : textOf(value);
	}

	#input(attributes) {
		const { kind, choices } = this.shape;
		if (this.isList || kind === "json") return el("textarea", { rows: 1, ...attributes });
		if (kind === "choice") return el("select", attributes, ["", ...choices].map((each) => el("option", each)));
		if (kind !== "text" || this.group === "header") return el("input", attributes);
		return el("textarea", { rows: 1, class: "line", title: "Shift+Enter begins a new line", ...attributes });
	}

	// Make the boxes and the input agree after a change.
	#changed(target) {
		const { input, sent, null: isNull } = this;
		if (sent && target === input) sent.checked = true;
		if (sent && target === isNull) sent.checked = isNull.checked;
		if (target === sent && !sent.checked) {
			input.value = "";
			isNull.checked = false;
		}
		input.disabled = isNull.checked;
		this.clear();
	}
}

const box = (label) => el("input", { type: "checkbox", "aria-label": label });

// Return whether a text can be a segment of a path: browsers take some for something else, the service the first `-`.
export const isSpellable = (text, isFirst) => !/^\.{0,2}$/.test(text) && !(isFirst && text === "-");
