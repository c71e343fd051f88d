// Addresses within the page, and the word for a method.

import { el } from "./dom.js";

export const operationLink = (id) => `#operation=${encodeURIComponent(id)}`;

export const resourceLink = (name) => `#resource=${encodeURIComponent(name)}`;

// Return "operation" or "resource" and its name, as an address has them; nothing for the first view.
export const partsOf = (hash) => [...new URLSearchParams(hash.slice(1))][0] ?? [];

export const badge = (method) => el("span", { class: `method ${method.toLowerCase()}` }, method);
