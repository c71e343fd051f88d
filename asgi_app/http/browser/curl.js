// A request as a command line for a POSIX shell. It reads the key from the environment.

export function curl({ method, url, headers = [], body, credential }, { stream = false } = {}) {
	const options = [stream && "-N", method !== "GET" && `-X ${method}`, quote(url)];
	options.push(...headers.map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`));
	if (credential) options.push(`-H "${credential.header}: ${credential.prefix}$${credential.variable}"`);
	if (body !== undefined) options.push(`--data-raw ${quote(body)}`);
	return `curl ${options.filter(Boolean).join(" \\\n  ")}`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
