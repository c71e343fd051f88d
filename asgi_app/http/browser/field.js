// One input of a form: a parameter, or a member of the body. It tells null, an empty text and "not sent" apart.

import { el, inline } from "./dom.js";
import { jsonError, textOf } from "./json.js";
import { tokenOf } from "./schema.js";

let made = 0;

export class Field {
	// `place` is the field's place as errors name it: `/age`, `query.limit`; "" is the whole body. `shape` is that of its
	// `schema`. A list has a value in each line, and is sent as one parameter each, or as one in all with a `separator`.
	constructor(options) {
		Object.assign(this, options);
		const { place, name, label = name, shape, type, hint, description, required, isList } = options;
		const id = `field-${(made += 1)}`;
		const text = description && hint ? `${description} (${hint})` : description || hint;
		this.inBody = !/^(path|query|header)\./.test(place);
		this.mayBeEmpty = shape.kind === "text" && !isList && !/^(path|header)\./.test(place);
		this.input = this.#input({
			id,
			"aria-describedby": `${id}-hint ${id}-error`,
			"aria-required": required && "true",
			autocomplete: "off",
			spellcheck: "false",
		});
		this.sent = this.mayBeEmpty && !required && this.#box(`send ${name}`);
		this.null = shape.nullable && this.#box(`${name} is null`);
		this.error = el("p", { id: `${id}-error`, class: "error" });
		const need = required && el("span", { class: "required" }, "required");
		this.element = el(
			"div",
			{ class: "field", input: ({ target }) => this.#changed(target) },
			el("div", { class: "name" }, el("label", { for: id }, label), need, el("span", { class: "type" }, type)),
			el("div", { class: "value" }, this.input, el("p", { id: `${id}-hint`, class: "hint" }, inline(text)), this.error),
			el("div", { class: "states" }, labelled(this.sent, "send"), labelled(this.null, "null")),
		);
	}

	// "null", "value" or "absent". An empty input is a value only where a text may be empty and is required or sent.
	get state() {
		if (this.null?.checked) return "null";
		const isThere = this.sent ? this.sent.checked : this.text !== "" || (this.mayBeEmpty && this.required);
		return isThere ? "value" : "absent";
	}

	// What was entered. Inputs change the ends of lines, so a text that was not edited is taken as it came.
	get text() {
		const { value } = this.input;
		return value === this.shown ? this.whole : value;
	}

	// The values of the parameters that the field is sent as.
	get values() {
		if (!this.isList) return [this.text];
		const lines = this.text.split("\n").filter((line) => line !== "");
		return this.separator ? [lines.join(this.separator)] : lines;
	}

	get token() {
		return this.state === "null" ? "null" : tokenOf(this.shape, this.text);
	}

	// Why the value cannot be sent, or "". What can be sent is for the service to judge.
	get problem() {
		if (this.place.startsWith("path.")) {
			if (this.text === "") return "is needed for the address";
			if (/^\.\.?$/.test(this.text)) return "cannot stand in a path; use the operation whose path ends in /-/row";
		}
		const isJson = this.inBody && this.shape.kind === "json" && this.state === "value";
		const error = isJson && jsonError(this.text);
		return error ? `is not JSON: ${error}` : "";
	}

	enter(texts) {
		this.fill(null);
		this.#show(this.isList ? texts.join("\n") : texts[0]);
	}

	fill(value) {
		if (this.null) this.null.checked = value === null;
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
		this.input.focus();
	}

	#show(text) {
		const { kind, choices } = this.shape;
		if (kind === "choice" && text && !choices.includes(text)) this.input.append(el("option", text)); // of other programs
		this.input.value = this.whole = text;
		this.shown = this.input.value;
	}

	#textOf(value) {
		if (this.shape.kind === "increment") return value.$inc;
		if (this.isList && Array.isArray(value)) return value.join("\n");
		return this.shape.kind === "json" ? JSON.stringify(value) : textOf(value);
	}

	#input(attributes) {
		const { kind, choices } = this.shape;
		if (this.isList || kind === "json") return el("textarea", { rows: 1, ...attributes });
		if (kind === "choice") return el("select", attributes, ["", ...choices].map((each) => el("option", each)));
		if (kind === "exact" || kind === "increment" || this.place.startsWith("header.")) return el("input", { type: "text", ...attributes });
		return el("textarea", { rows: 1, class: "line", title: "Shift+Enter begins a new line", ...attributes });
	}

	#box(label) {
		return el("input", { type: "checkbox", "aria-label": label });
	}

	// Make the boxes and the input agree after a change.
	#changed(target) {
		if (this.sent && target === this.input) this.sent.checked = true;
		if (this.sent && target === this.null) this.sent.checked = this.null.checked;
		if (target === this.sent && !this.sent.checked) {
			this.input.value = "";
			if (this.null) this.null.checked = false;
		}
		this.input.disabled = Boolean(this.null?.checked);
		this.clear();
	}
}

const labelled = (box, text) => box && el("label", box, text);
