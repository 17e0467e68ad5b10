/**
 * One sends a picture in layers, two receive it. See README.md for the arguments and the lines that come out.
 *
 *     node simulcast.mjs --sender 'https://127.0.0.1:8443/#simulcast=yes&token=…' --free https://127.0.0.1:8443/#token=… --limited …
 */

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 240_000;
/** Milliseconds until everybody is connected, and both receivers see the sender. */
const CONNECT_LIMIT = 60_000;
/** Milliseconds until the receivers have what their paths carry: the sender, too, has to find out what its own carries. */
const LAYER_LIMIT = 60_000;
/** Milliseconds between two looks at the same. */
const LOOK = 250;
/** Degrees that a hue may be off after a codec. */
const OFF = 25;
/** What the sender shows and sounds like. */
const LOOKS = { hue: 140, tone: 880 };

const roles = ['sender', 'free', 'limited'];
const receivers = ['free', 'limited'];
const { values: given } = parseArgs({
  options: {
    ...Object.fromEntries(roles.flatMap((role) => [[role, { type: 'string' }], [`${role}-netns`, { type: 'string' }]])),
    size: { type: 'string', default: '960x540' },
    fps: { type: 'string', default: '15' },
    grain: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '5' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (!roles.every((role) => given[role])) {
  process.stderr.write('simulcast.mjs needs --sender, --free and --limited; see README.md\n');
  process.exit(2);
}

const pauses = new Set(given['pause-after'].split(',').filter(Boolean));
const words = pauses.size ? createInterface({ input: process.stdin })[Symbol.asyncIterator]() : null;
const sides = {};
let good = true;

const limit = setTimeout(() => finish('the run took too long', 3), RUN_LIMIT);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => finish(`ended by ${signal}`, 3));

try {
  await step('launch', launch);
  await step('open', () => each(roles, (side, role) => side.open(given[role])));
  await step('connected', connected);
  await step('apart', () => seen(({ free, limited }) => free.layer !== limited.layer && free.width > limited.width));
  await step('media', media);
  const { layers } = (await looks()).free;
  const [lowest] = [...layers].reverse();
  await step('lowest', () => asked(lowest, ({ free, limited }) => free.layer === lowest && free.width <= limited.width));
  await step('auto', () => asked('auto', ({ free, limited }) => free.layer !== lowest && free.width > limited.width));
  await step('stats', () => each(roles, (side) => side.stats()));
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

/** Who only receives has neither camera nor microphone. */
async function launch() {
  const start = async (role) => {
    const options = { browser: 'chromium', netns: given[`${role}-netns`], devices: role === 'sender', ...LOOKS };
    sides[role] = await Side.start({ ...options, grain: Number(given.grain), size: given.size, fps: Number(given.fps) });
    return sides[role].version;
  };
  return { versions: await all(roles.map(start)) };
}

async function connected() {
  await each(roles, (side) => side.wait('connected', CONNECT_LIMIT));
  await each(receivers, (side) => side.wait('receiving everybody', CONNECT_LIMIT, 1));
  return looks();
}

/** What of the sender comes to each receiver now. */
async function looks() {
  return each(receivers, (side) => side.layer('sender'));
}

/** Looks at both receivers until it is so. */
async function seen(condition) {
  const until = Date.now() + LAYER_LIMIT;
  for (;;) {
    const found = await looks();
    if (condition(found)) return found;
    if (Date.now() > until) throw new Error(`not within ${LAYER_LIMIT} ms; it is ${JSON.stringify({ ...found, sent: await sides.sender.stats() })}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/** The receiver whose path is free asks for a layer. */
async function asked(layer, condition) {
  await sides.free.receive('sender', { layer });
  return seen((found) => found.free.asked === layer && condition(found));
}

/** Whether both receivers see what the sender shows, and its pictures keep coming. */
async function media() {
  const seconds = Number(given.seconds);
  const found = await each(receivers, async (side) => {
    const [streams, { gaps }] = await all([side.observeStreams(seconds), side.watch(seconds)]);
    const { picture, frames } = streams.sender;
    const apart = Math.abs((((picture.hue ?? 0) - LOOKS.hue + 540) % 360) - 180);
    return { ok: picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF && frames.decoded > 0, picture, frames, gaps };
  });
  const sent = (await sides.sender.stats()).layers;
  return { ok: receivers.every((role) => found[role].ok), ...found, sent };
}

async function finish(error, code) {
  clearTimeout(limit);
  const errors = await each(Object.keys(sides), (side) => side.errors().catch((problem) => [problem.message]));
  const clean = Object.values(errors).every((list) => list.length === 0);
  await Promise.allSettled(Object.values(sides).map((side) => side.end()));
  print({ step: 'done', ok: code === 0 && clean, error, errors });
  process.exit(code || (clean ? 0 : 1));
}

/** The same for some sides at the same time, by role. */
async function each(some, work) {
  const found = await all(some.map((role) => work(sides[role], role)));
  return Object.fromEntries(some.map((role, index) => [role, found[index]]));
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
