/**
 * Child process that drives one browser, so that browser and driver can live in a network namespace of their own.
 *
 * One JSON object per line in: `{id, method, args}`, a method of `Page` or, if launched with `foreign`, of `Foreign`; `launch` first. One per line out: `{id, value}` or `{id, error}`.
 * It ends its browser when its input ends, on SIGTERM, or after its own limit.
 */

import { createInterface } from 'node:readline';
import { Foreign } from './foreign.mjs';
import { Page } from './page.mjs';

/** Milliseconds to close a browser politely. */
const CLOSE_LIMIT = 5_000;

let page = null;
let ending = false;

setTimeout(end, Number(process.argv[2] ?? 300_000));
process.on('SIGTERM', end);
createInterface({ input: process.stdin }).on('line', obey).on('close', end);

async function obey(line) {
  const { id, method, args } = JSON.parse(line);
  try {
    const value = method === 'launch' ? await launch(...args) : await page[method](...args);
    reply({ id, value: value ?? null });
  } catch (error) {
    reply({ id, error: error.message ?? String(error) });
  }
}

async function launch(options) {
  page = await (options.foreign ? Foreign : Page).launch(options);
  if (ending) page.kill();
  return page.version();
}

function reply(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function end() {
  if (ending) return;
  ending = true;
  setTimeout(() => {
    page?.kill();
    process.exit(1);
  }, CLOSE_LIMIT);
  await page?.close().catch(() => page.kill());
  process.exit(0);
}
