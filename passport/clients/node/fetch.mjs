// fetch.mjs LIBRARY PAUSE URL…: fetches one after the other; a POST each if BODY is set.
import http from "node:http";
import { text } from "node:stream/consumers";

const [library, pause, ...urls] = process.argv.slice(2);
const body = process.env.BODY;
const method = body ? "POST" : "GET";
const the = async (name) => (await import(name)).default;
const fetcher = {
  http: () => (url) => new Promise((done, fail) => {
    const request = http.request(url, { method }, (response) => text(response).then(done, fail));
    request.on("error", fail).end(body);
  }),
  fetch: () => async (url) => (await fetch(url, { method, body })).text(),
  undici: (undici) => async (url) => (await undici.request(url, { method, body })).body.text(),
  axios: (axios) => async (url) => (await axios({ url, method, data: body, responseType: "text" })).data,
  got: (got) => (url) => got(url, { method, body }).text(),
}[library](["http", "fetch"].includes(library) ? null : await the(library));

for (const [number, url] of urls.entries()) {
  if (number) await new Promise((done) => setTimeout(done, pause * 1000));
  try {
    process.stdout.write(await fetcher(url));
  } catch (error) {
    console.error(`${error} ${error.cause ?? ""} ${error.response?.data ?? error.response?.body ?? ""}`);
    process.exitCode = 1;
  }
}
