// The dialog that asks for a key.

import { button, el } from "./dom.js";
import { setKey } from "./service.js";

// Ask for the key of a credential. Returns whether one was entered, or none on purpose.
export function askForKey({ purpose, title, header, prefix }, message) {
	const input = el("input", { type: "password", id: "key", autocomplete: "off", pattern: "[ -~]*", title: "ASCII only" });
	const hint = el("p", { class: "hint" }, "Sent as ", el("code", `${header}: ${prefix}…`), ". Only this page's memory keeps it.");
	const buttons = [el("button", { class: "primary", value: "use" }, "Use this key"), button("Cancel", () => dialog.close())];
	const wrong = message && el("p", { class: "error" }, message);
	const label = el("label", { for: "key" }, title);
	const parts = [el("h2", { id: "key-title" }, "Key"), label, input, wrong, hint, el("div", { class: "bar" }, buttons)];
	const dialog = el("dialog", { "aria-labelledby": "key-title" }, el("form", { method: "dialog" }, parts));
	document.body.append(dialog);
	dialog.showModal();
	return new Promise((resolve) => {
		dialog.onclose = () => {
			if (dialog.returnValue) setKey(purpose, input.value.trim());
			dialog.remove();
			resolve(dialog.returnValue !== "");
		};
	});
}
