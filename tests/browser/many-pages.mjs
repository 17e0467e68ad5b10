/**
 * Several people in as many browsers meet in one call. See README.md for the arguments and the lines that come out.
 *
 *     node many-pages.mjs --page a=https://127.0.0.1:8443/#token=… --page b=https://127.0.0.1:8443/#token=… --page c=…
 */

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 240_000;
/** Milliseconds until everybody receives everybody. */
const CONNECT_LIMIT = 60_000;
/** Milliseconds until the others see that one has left. */
const NOTICE_LIMIT = 15_000;
/** Degrees that a hue and hertz that a tone may be off after codecs. */
const OFF = { hue: 25, hertz: 15 };
/** What the sides show and sound like, in their order. */
const LOOKS = [
  { hue: 20, tone: 440 },
  { hue: 140, tone: 880 },
  { hue: 260, tone: 1320 },
  { hue: 200, tone: 1760 },
];

const { values: given } = parseArgs({
  options: {
    page: { type: 'string', multiple: true, default: [] },
    netns: { type: 'string', multiple: true, default: [] },
    size: { type: 'string', default: '320x240' },
    fps: { type: 'string', default: '15' },
    grain: { type: 'string', default: '0' },
    seconds: { type: 'string', default: '5' },
    screenshots: { type: 'string' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (given.page.length < 2 || given.page.length > LOOKS.length) {
  process.stderr.write(`many-pages.mjs needs 2 to ${LOOKS.length} times --page ROLE=URL; see README.md\n`);
  process.exit(2);
}

const pages = given.page.map((page) => [page.slice(0, page.indexOf('=')), page.slice(page.indexOf('=') + 1)]);
const namespaces = Object.fromEntries(given.netns.map((one) => one.split('=')));
const pauses = new Set(given['pause-after'].split(',').filter(Boolean));
const words = pauses.size ? createInterface({ input: process.stdin })[Symbol.asyncIterator]() : null;
const sides = {};
let good = true;

const limit = setTimeout(() => finish('the run took too long', 3), RUN_LIMIT);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => finish(`ended by ${signal}`, 3));

try {
  await step('launch', launch);
  await step('open', () => each((side) => side.open(side.url)));
  await step('connected', () => connected(pages.length - 1));
  await step('media', media);
  if (given.screenshots) await each((side) => side.screenshot(`${given.screenshots}/many-${side.role}.png`));
  await step('stats', () => each((side) => side.stats()));
  await step('leave', leave);
  await step('remaining', media);
  await finish(null, good ? 0 : 1);
} catch (error) {
  await finish(error.message, 1);
}

/** Runs one step, prints its line and remembers whether it went well; a step that throws ends the run. */
async function step(name, work) {
  const started = Date.now();
  try {
    const { ok = true, ...found } = (await work()) ?? {};
    good &&= ok;
    print({ step: name, ok, ms: Date.now() - started, ...found });
    if (pauses.has(name) && (await words.next()).done) throw new Error(`nobody said to go on after ${name}`);
  } catch (error) {
    print({ step: name, ok: false, ms: Date.now() - started, error: error.message });
    throw error;
  }
}

async function launch() {
  const start = async ([role, url], index) => {
    const looks = LOOKS[index];
    sides[role] = await Side.start({ browser: 'chromium', netns: namespaces[role], ...looks, grain: Number(given.grain), size: given.size, fps: Number(given.fps) });
    Object.assign(sides[role], { role, url, ...looks });
    return sides[role].version;
  };
  return { versions: await all(pages.map(start)) };
}

/** Everybody is connected and gets a picture of everybody else. */
async function connected(others) {
  await each((side) => side.wait('connected', CONNECT_LIMIT));
  await each((side) => side.wait('receiving everybody', CONNECT_LIMIT, others));
  return each((side) => side.state());
}

/** Whether each side sees and hears each other as what that one sends. */
async function media() {
  const seen = await each((side) => side.observeStreams(Number(given.seconds)));
  let ok = true;
  for (const [role, streams] of Object.entries(seen)) {
    const others = Object.values(sides).filter((side) => side.role !== role);
    ok &&= Object.keys(streams).length === others.length;
    for (const { role: from, hue, tone } of others) {
      const found = streams[from];
      if (found) found.ok = judge(found, hue, tone);
      ok &&= found?.ok === true;
    }
  }
  return { ok, ...seen };
}

function judge({ picture, sound, frames }, hue, tone) {
  const apart = Math.abs((((picture.hue ?? 0) - hue + 540) % 360) - 180);
  const pictureOk = picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF.hue;
  return pictureOk && Math.abs(sound.hertz - tone) <= OFF.hertz && sound.decibel > -70 && frames.decoded > 0;
}

/** The first leaves; the call goes on for the others if they are two or more. */
async function leave() {
  const [first] = pages[0];
  const leaver = sides[first];
  await leaver.click('#leave');
  await leaver.wait('ended', NOTICE_LIMIT);
  const errors = await leaver.errors();
  delete sides[first];
  await leaver.end();
  const others = Object.keys(sides).length - 1;
  await each((side) => (others ? side.wait('receiving everybody', NOTICE_LIMIT, others) : side.wait('ended', NOTICE_LIMIT)));
  return { ok: errors.length === 0, errors };
}

async function finish(error, code) {
  clearTimeout(limit);
  const errors = await each((side) => side.errors().catch((problem) => [problem.message]));
  const clean = Object.values(errors).every((list) => list.length === 0);
  await Promise.allSettled(Object.values(sides).map((side) => side.end()));
  print({ step: 'done', ok: code === 0 && clean, error, errors });
  process.exit(code || (clean ? 0 : 1));
}

/** The same for all sides at the same time, by role. */
async function each(work) {
  const roles = Object.keys(sides);
  const found = await all(roles.map((role) => work(sides[role])));
  return Object.fromEntries(roles.map((role, index) => [role, found[index]]));
}

/** Waits for all even if one fails, so that nothing goes on behind an error. */
async function all(promises) {
  const settled = await Promise.allSettled(promises);
  const failed = settled.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  return settled.map(({ value }) => value);
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
