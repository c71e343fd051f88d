// Requests of the console, which ask for a key when the service wants one.

import { askForKey } from "./keys.js";
import { base, keyFor, send } from "./service.js";

// What the service says is wrong: the members of its problem document.
export class Problem extends Error {
	constructor({ status, statusText }, { title = `${status} ${statusText}`, detail = "", errors = [], code }) {
		super(title);
		Object.assign(this, { status, title, detail, errors, code });
	}
}

export const problemOf = async (response) => new Problem(response, await response.json().catch(() => ({})));

// Send a request and return the response, or throw a Problem. Asks the user for a key while the service does not know it.
export async function ask(request, signal) {
	for (;;) {
		const response = await send(request, signal);
		if (response.ok) return response;
		const problem = await problemOf(response);
		const { status, detail } = problem;
		const { credential } = request;
		if (status !== 401 || !credential || !(await askForKey(credential, keyFor(credential.purpose) && detail))) throw problem;
	}
}

export function metricsRequest(document, accept) {
	const operation = document.operations.get("service_metrics");
	const credential = operation ? document.credentialOf(operation) : document.access;
	return { method: "GET", url: new URL("metrics", base).href, headers: [["Accept", accept]], credential };
}
