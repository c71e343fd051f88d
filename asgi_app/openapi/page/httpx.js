// A request as a Python program that uses httpx. It reads the key from the environment.

export function httpx({ method, url, headers = [], body, credential }, { stream = false } = {}) {
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

const python = JSON.stringify; // Python has all escapes of JSON
