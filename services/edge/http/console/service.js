import { Complaint } from './complaint.js';

const MAX_PATIENCE_S = 60;
const GONE =
  'The service does not answer: it has stopped, or the network is down. Nothing is lost: try again when it is back.';

/** Requests that were told to retry later do so one after the other. */
let turn = Promise.resolve();

/** Sends a picture, and again if the service says when to retry. Throws Complaint. */
export async function classify(body, key, onWait) {
  const send = () => {
    const signal = AbortSignal.timeout(1000 * MAX_PATIENCE_S);
    return ask('classify?explain=true', key, { method: 'POST', headers: { 'content-type': body.type }, body, signal });
  };
  const response = await send();
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (response.status !== 429 || !(seconds <= MAX_PATIENCE_S)) return response;
  onWait(seconds);
  const again = turn.then(() => new Promise((resolve) => setTimeout(resolve, 1000 * seconds))).then(send);
  turn = again.catch(() => {});
  return again;
}

/** Throws Complaint if nobody answers. */
export async function ask(path, key, options = {}) {
  if (/[^ -~]/.test(key)) throw new Complaint('The API key has characters that no key has.');
  const headers = key ? { ...options.headers, 'x-api-key': key } : options.headers;
  return fetch(path, { ...options, headers }).catch(explain);
}

/** The response's text. Throws Complaint for a refusal, with the service's explanation. */
export async function readText(response) {
  const text = await response.text().catch(explain);
  if (response.ok) return text;
  const problem = parse(text);
  if (typeof problem?.detail !== 'string') throw new Complaint(describeStranger(response));
  const wait = response.headers.get('retry-after');
  const sentence = `${problem.title}: ${problem.detail}`.replace(/\.?$/, '.');
  throw new Complaint(`${sentence}${wait ? ` Come back in ${wait} s.` : ''}`);
}

/** The answer to a picture. Throws Complaint. */
export async function readAnswer(response) {
  const answer = parse(await readText(response));
  if (answer?.topK === undefined) throw new Complaint(describeStranger(response));
  return answer;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describeStranger({ status }) {
  return (
    `Something else answered in the service’s place, with status ${status}: ` +
    'a proxy, perhaps, or a service that is being replaced.'
  );
}

function explain({ name }) {
  throw new Complaint(name === 'TimeoutError' ? `The service did not answer within ${MAX_PATIENCE_S} s.` : GONE);
}
