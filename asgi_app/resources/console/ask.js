// Requests of the console, which ask for a key when the service wants one.

import { askForKey } from "./keys.js";
import { base, keyFor, send } from "./service.js";

// Send a request and return the response. Asks the user for a key while the service does not know the one it gets.
export async function ask(request, signal) {
	for (;;) {
		const response = await send(request, signal);
		if (response.status !== 401 || !request.credential) return response;
		const { detail } = await problemOf(response);
		const isNew = await askForKey(request.credential, keyFor(request.credential.purpose) && detail);
		if (!isNew) throw new Error("This needs a key.");
	}
}

// Return what went wrong, as `title`, `detail` and `errors`; null if nothing did.
export async function problemOf(response) {
	if (response.ok) return null;
	const { title = `${response.status} ${response.statusText}`, detail = "", errors = [] } = await response.json().catch(() => ({}));
	return { title, detail, errors, status: response.status };
}

// Return the request of the service's metrics in a format.
export function metricsRequest(document, accept) {
	const operation = document.operations.get("service_metrics");
	const credential = operation ? document.credentialOf(operation) : document.access;
	return { method: "GET", url: new URL("metrics", base).href, headers: [["Accept", accept]], credential };
}
