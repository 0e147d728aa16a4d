import { Complaint } from './complaint.js';
import { convert, openPicture, prepare } from './picture.js';
import { createResult } from './result.js';
import { ask, classify, readAnswer, readText } from './service.js';
import { toPercent } from './words.js';

const AT_ONCE = 3;

const [access, key, files, notice, status, results] = ['access', 'key', 'files', 'notice', 'status', 'results'].map(
  (id) => document.getElementById(id),
);
const maxBytes = Number(document.body.dataset.maxBodyBytes);
const waiting = [];
let running = 0;

/** Adds a result for each file, the latest on top. An answer goes to the result of its own file. */
function addFiles(list) {
  notice.textContent = '';
  const jobs = [...list].map((file) => ({ file, result: createResult(file.name) }));
  results.prepend(...jobs.map(({ result }) => result.article));
  waiting.push(...jobs);
  while (running < AT_ONCE && waiting.length > 0) void work();
}

async function work() {
  running += 1;
  for (let job = waiting.shift(); job; job = waiting.shift()) await answer(job);
  running -= 1;
}

async function answer({ file, result }) {
  try {
    const body = await classifyFile(file, result);
    result.answer(body);
    say(`${file.name}: ${body.label}, ${toPercent(body.confidence)}`);
  } catch (error) {
    const text = describe(error);
    result.complain(text);
    say(`${file.name}: ${text}`);
  }
}

async function classifyFile(file, result) {
  result.setProgress('Opening …');
  const picture = await openPicture(file);
  if (picture.image) result.setImage(picture.image);
  let { body, note } = await prepare(picture, maxBytes);
  const send = () => {
    result.setNote(note);
    result.setProgress('Asking …');
    const wait = (seconds) => result.setProgress(`The service has too much to do: asking again in ${seconds} s …`);
    return classify(body, key.value, wait);
  };
  let response = await send();
  if (response.status === 413 && picture.image && !note) {
    const smaller = await convert(picture, maxBytes).catch(() => undefined);
    if (smaller === undefined) return readAnswer(response);
    ({ body, note } = smaller);
    response = await send();
  }
  return readAnswer(response);
}

/** Opens a link that needs the key, which the browser would not send. */
async function openLink(event) {
  if (access.hidden) return;
  event.preventDefault();
  const result = createResult(event.target.textContent);
  results.prepend(result.article);
  try {
    result.text(await readText(await ask(event.target.href, key.value)));
  } catch (error) {
    result.complain(describe(error));
  }
}

function describe(error) {
  if (error instanceof Complaint) return error.message;
  console.error(error);
  return `Something broke in this page: ${error.message}`;
}

function say(text) {
  status.textContent = text;
}

function isForKey({ target, dataTransfer }) {
  return target === key && !dataTransfer.types.includes('Files');
}

function drop(event) {
  document.body.classList.remove('over');
  if (isForKey(event)) return;
  event.preventDefault();
  if (event.dataTransfer.files.length > 0) addFiles(event.dataTransfer.files);
  else
    notice.textContent = 'What was dropped is text or a link, not a file. Save the picture first, then drop its file.';
}

for (const link of document.querySelectorAll('[data-guarded]')) link.addEventListener('click', openLink);
files.addEventListener('change', () => {
  addFiles(files.files);
  files.value = ''; // so that the same file can be chosen again
});
// On the whole page: a file dropped beside the field would replace the page.
addEventListener('dragover', (event) => {
  if (isForKey(event)) return;
  event.preventDefault();
  document.body.classList.add('over');
});
addEventListener('dragleave', ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove('over');
});
addEventListener('drop', drop);

// The key is kept as long as this tab. The API description says whether one is needed.
key.value = sessionStorage.getItem('key') ?? '';
key.addEventListener('input', () => sessionStorage.setItem('key', key.value));
const description = await fetch('openapi.json')
  .then((response) => response.json())
  .catch(() => ({}));
access.hidden = !description.security?.length;
