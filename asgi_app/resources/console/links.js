// Addresses within the console, such as `#/rows/users?age.gte=30`.

import { encode, queryOf } from "./form.js";

export const link = (view, name, pairs = []) => `#/${view}/${encode(name)}${pairs.length ? `?${queryOf(pairs)}` : ""}`;

// Go to an address, also to the one that is shown.
export function go(hash) {
	if (location.hash === hash) dispatchEvent(new Event("hashchange"));
	else location.hash = hash;
}

// Return the view, the name and the pairs of an address.
export function placeOf(hash) {
	const [path, query] = hash.slice(1).split(/\?(.*)/s);
	const [, view = "", name = ""] = path.split("/").map(decoded);
	return { view, name, pairs: [...new URLSearchParams(query)] };
}

function decoded(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text; // no address of this page
	}
}
