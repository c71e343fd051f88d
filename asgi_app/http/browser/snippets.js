// A request as text to run. It reads the key from the environment.

// Return the request as a command line for a POSIX shell.
export function curl({ method, url, headers = [], body, credential = null }, { stream = false } = {}) {
	const options = [stream && "-N", method !== "GET" && `-X ${method}`, quote(url)];
	options.push(...headers.map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`));
	if (credential) options.push(`-H "${credential.header}: ${credential.prefix}$${credential.variable}"`);
	if (body !== undefined) options.push(`--data-raw ${quote(body)}`);
	return `curl ${options.filter(Boolean).join(" \\\n  ")}`;
}

export function httpx({ method, url, headers = [], body, credential = null }, { stream = false } = {}) {
	const fields = headers.map(([name, value]) => `${python(name)}: ${python(value)}`);
	if (credential) {
		const secret = `os.environ[${python(credential.variable)}]`;
		fields.push(`${python(credential.header)}: ${credential.prefix ? `${python(credential.prefix)} + ` : ""}${secret}`);
	}
	const call = [
		`    ${python(method)},`,
		`    ${python(url)},`,
		fields.length && `    headers={${fields.join(", ")}},`,
		body !== undefined && `    content=${python(body)},`,
		"    timeout=60,",
	];
	const lines = call.filter(Boolean).join("\n");
	const end = stream
		? `with httpx.stream(\n${lines}\n) as response:\n    for text in response.iter_text():\n        print(text, end="")`
		: `response = httpx.request(\n${lines}\n)\nprint(response.status_code, response.text)`;
	return `${credential ? "import os\n\n" : ""}import httpx\n\n${end}`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const python = JSON.stringify; // Python has all escapes of JSON
