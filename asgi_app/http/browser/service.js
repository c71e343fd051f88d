// The service behind the page: its address, the keys that it asks for, and requests to it.

// The service's address: `data-base` leads there from the page's, below any prefix.
export const base = new URL(document.documentElement.dataset.base, location.href);

// The keys that the user has entered, by purpose. A reload forgets them.
const secrets = new Map();

export const keyFor = (purpose) => secrets.get(purpose) ?? "";

export const setKey = (purpose, secret) => secrets.set(purpose, secret);

// Send a request: its `method`, `url`, `headers` as pairs, and if it has them its `body` and `credential`, which says what
// its key is for (`purpose`) and the `header` and `prefix` to send the key with.
export function send({ method, url, headers = [], body, credential }, signal) {
	const key = credential && keyFor(credential.purpose);
	const own = key ? [[credential.header, credential.prefix + key]] : [];
	return fetch(url, { method, headers: [...headers, ...own], body, signal, cache: "no-store" });
}

export function nextQuery(headers) {
	return /<[^>]*\?([^>]*)>; rel="next"/.exec(headers.get("link"))?.[1];
}
