import { compare, describeDecision, toPercent } from './words.js';

/** The place on the page for the outcome of one file or link. */
export function createResult(name) {
  const article = document.createElement('article');
  add(article, 'h2', name).title = name;
  const progress = add(article, 'p', 'Waiting for its turn …');
  progress.className = 'fine';

  return {
    article,
    setImage(image) {
      image.alt = `The picture ${name}`;
      article.prepend(image);
    },
    setProgress(text) {
      progress.textContent = text;
    },
    setNote(text) {
      if (text) progress.before(Object.assign(document.createElement('p'), { className: 'fine', textContent: text }));
    },
    /** Each of these ends the result. */
    answer(answer) {
      progress.remove();
      showAnswer(article, answer);
    },
    text(text) {
      progress.remove();
      add(article, 'pre', text);
    },
    complain(text) {
      progress.remove();
      add(article, 'p', text).className = 'error';
    },
  };
}

function showAnswer(article, answer) {
  const label = add(article, 'p', `${answer.label} `);
  label.className = 'label';
  add(label, 'span', toPercent(answer.confidence));
  add(article, 'p', describeDecision(answer));
  if (answer.picture?.damaged) {
    add(article, 'p', 'The picture is damaged: part of what was classified is made up.').className = 'error';
  }
  showShares(article, answer);
  add(article, 'p', `${answer.timings.totalMs.toFixed(1)} ms in the service`).className = 'fine';
}

/** Shows the generalist's shares beside the answer's. */
function showShares(article, { route, edge, topK }) {
  if (route === 'expert' && edge) {
    const rows = compare(edge.topK, topK).map(({ label, before, after }) => [label, before, after]);
    return showTable(article, ['Generalist', 'With expert'], rows);
  }
  const rows = topK.map(({ label, confidence }) => [label, { share: confidence }]);
  return showTable(article, [route === 'expert' ? 'With expert' : 'Generalist'], rows);
}

function showTable(article, columns, rows) {
  const table = add(article, 'table');
  add(table, 'caption', 'Calibrated confidence');
  const head = add(add(table, 'thead'), 'tr');
  for (const title of ['Label', ...columns]) add(head, 'th', title).scope = 'col';
  const body = add(table, 'tbody');
  for (const [label, ...cells] of rows) {
    const row = add(body, 'tr');
    Object.assign(add(row, 'th', label), { scope: 'row', title: label });
    for (const { share, atMost } of cells) {
      const cell = add(row, 'td', atMost ? `≤ ${toPercent(share).replace(/^[<>] /, '')}` : toPercent(share));
      if (!atMost) cell.style.setProperty('--share', `${100 * share}%`);
    }
  }
}

function add(parent, tag, text = '') {
  return parent.appendChild(Object.assign(document.createElement(tag), { textContent: text }));
}
