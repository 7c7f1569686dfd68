// Programs that send the same request, with a new signature in every run.
import { stringToSign } from "./sign.js";

const MADE = ["timestamp", "nonce", "sign", "picture_sha256"]; // fields that the program computes
const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

/** The fields of a request that a program contains literally. */
const given = (fields) => Object.entries(fields).filter(([name]) => !MADE.includes(name));

/**
 * A shell script with curl and openssl. name: of the picture's file; unused for a URL. The file goes through standard
 * input and values through --form-string, because curl interprets ; and , in an argument of -F.
 */
export function curl(url, fields, name, secret) {
  const sent = fields.picture_sha256 !== undefined;
  const variables = { timestamp: "$timestamp", nonce: "$nonce", ...(sent && { picture_sha256: "$sha256" }) };
  // Placeholders that need no encoding stand for the shell's variables during encoding.
  const marks = Object.fromEntries(Object.keys(variables).map((key) => [key, `~${key}~`]));
  let message = stringToSign({ ...Object.fromEntries(given(fields)), ...marks });
  for (const [key, variable] of Object.entries(variables)) message = message.replace(`=~${key}~`, `=${variable}`);
  const parts = [
    ...given(fields).map(([key, value]) => `--form-string ${key}=${quoted(value)}`),
    ...Object.entries(variables).map(([key, variable]) => `-F ${key}="${variable}"`),
    '-F sign="$sign"', ...(sent ? ['-F image=@- < "$picture"'] : []),
  ];
  return [
    `secret=${quoted(secret)}`,
    ...(sent ? [`picture=${quoted(name)}`, `sha256=$(openssl dgst -sha256 -r < "$picture" | cut -d' ' -f1)`] : []),
    "timestamp=$(date +%s)",
    "nonce=$(openssl rand -hex 12)",
    `sign=$(printf '%s' "${message}" |\n    openssl dgst -sha256 -hmac "$secret" -r | cut -d' ' -f1)`,
    `curl -sS ${quoted(url)} \\\n    ${parts.join(" \\\n    ")}\n`,
  ].join("\n");
}

const literal = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));

/** A Python 3 program that needs only the standard library. */
export function python(url, fields, name, secret) {
  const sent = fields.picture_sha256 !== undefined;
  const lines = given(fields).map(([key, value]) => `    "${key}": ${literal(value)},`);
  return `import ${sent ? "base64, " : ""}hashlib, hmac, json, secrets, time, urllib.request
from urllib.parse import quote

secret = ${literal(secret)}
${sent ? `picture = open(${literal(name)}, "rb").read()\n` : ""}fields = {
${lines.join("\n")}
    "timestamp": int(time.time()),
    "nonce": secrets.token_urlsafe(12),${sent ? '\n    "picture_sha256": hashlib.sha256(picture).hexdigest(),' : ""}
}


def encoded(value):
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")


message = "&".join(f"{name}={encoded(fields[name])}" for name in sorted(fields))
fields["sign"] = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
${sent ? 'fields["picture_base64"] = base64.b64encode(picture).decode()\n' : ""}request = urllib.request.Request(
    ${literal(url)}, json.dumps(fields).encode(), {"Content-Type": "application/json"}
)
print(json.load(urllib.request.urlopen(request))["result"])
`;
}
