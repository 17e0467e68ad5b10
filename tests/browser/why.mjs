/**
 * Joins a call whose media cannot be reached, and reads what the page says about it.
 *
 *     node why.mjs --page 'https://127.0.0.1:8443/#token=JOIN_TOKEN'
 */

import { parseArgs } from 'node:util';
import { Side } from './side.mjs';

/** Milliseconds for the whole run, and for the browser to have told its side. */
const RUN_LIMIT = 90_000;
const WAIT_LIMIT = 40_000;

const { values: given } = parseArgs({ options: { page: { type: 'string' } } });

if (!given.page) {
  process.stderr.write('why.mjs needs --page URL\n');
  process.exit(2);
}

let side = null;
const limit = setTimeout(() => finish({ error: 'the run took too long' }), RUN_LIMIT);

try {
  side = await Side.start({ browser: 'chromium', hue: 20, tone: 440 });
  await side.open(given.page);
  await side.click('#open-why');
  await side.wait('unreachable and said by both sides', WAIT_LIMIT);
  await finish({ words: await side.explanation() });
} catch (error) {
  await finish({ error: error.message });
}

async function finish({ words = null, error = null }) {
  clearTimeout(limit);
  await side?.end();
  process.stdout.write(`${JSON.stringify({ step: 'done', ok: !error, words, error })}\n`);
  process.exit(error ? 1 : 0);
}
