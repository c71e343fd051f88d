/** The dialog that asks for a key. Keys stay in the memory of this page. */

import { el } from "./dom.js";
import { keyFor, setKey } from "./service.js";

/** Ask for the key of a credential. Returns whether the user has entered or cleared one, after the dialog is closed. */
export function askForKey({ purpose, title, header, prefix }, message = "") {
  const input = el("input", { type: "password", id: "key", autocomplete: "off", value: keyFor(purpose) });
  const close = (value) => () => dialog.close(value);
  const form = el(
    "form",
    {
      submit: (event) => {
        event.preventDefault();
        dialog.close("use");
      },
    },
    el("h2", { id: "key-title" }, "Key"),
    message && el("p", { class: "error" }, message),
    el("p", {}, title),
    el("label", { for: "key" }, "Key"),
    input,
    el("p", { class: "hint" }, `Sent as `, el("code", {}, `${header}: ${prefix}…`), `. This page keeps it in memory only.`),
    el(
      "div",
      { class: "bar" },
      el("button", { class: "primary" }, "Use this key"),
      el("button", { type: "button", click: close("forget") }, "Forget it"),
      el("button", { type: "button", click: close("") }, "Cancel"),
    ),
  );
  const dialog = el("dialog", { "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      if (dialog.returnValue) setKey(purpose, dialog.returnValue === "use" ? input.value.trim() : "");
      dialog.remove();
      resolve(Boolean(dialog.returnValue));
    });
  });
}
