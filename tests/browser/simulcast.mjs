/**
 * One sends a picture in layers, two receive it. See README.md for the arguments and the lines that come out.
 *
 *     node simulcast.mjs --sender 'https://127.0.0.1:8443/#simulcast=yes&token=…' --free https://127.0.0.1:8443/#token=… --limited …
 */

import { parseArgs } from 'node:util';
import { all, Run } from './run.mjs';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 240_000;
/** Milliseconds until everybody is connected, and both receivers see the sender. */
const CONNECT_LIMIT = 60_000;
/** Milliseconds until the receivers have what their paths carry: the sender, too, has to find out what its own carries. */
const LAYER_LIMIT = 60_000;
/** Milliseconds between two looks at the same. */
const LOOK = 250;
/** Looks in a row that must find it so: the node tries what a path carries, which is no choice yet. */
const SETTLED = 6;
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

const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'] });
const { sides } = run;

await run.through(async () => {
  await run.step('launch', launch);
  await run.step('open', () => run.each((side, role) => side.open(given[role])));
  await run.step('connected', connected);
  await run.step('apart', () => seen(({ free, limited }) => free.layer !== limited.layer && free.width > limited.width));
  await run.step('media', media);
  const { layers } = (await looks()).free;
  const [lowest] = [...layers].reverse();
  await run.step('lowest', () => asked(lowest, ({ free, limited }) => free.layer === lowest && free.width <= limited.width));
  await run.step('auto', () => asked('auto', ({ free, limited }) => free.layer !== lowest && free.width > limited.width));
  await run.step('stats', () => run.each((side) => side.stats()));
});

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
  await run.each((side) => side.wait('connected', CONNECT_LIMIT));
  await run.each((side) => side.wait('receiving everybody', CONNECT_LIMIT, 1), receivers);
  return looks();
}

/** What of the sender comes to each receiver now. */
async function looks() {
  return run.each((side) => side.layer('sender'), receivers);
}

/** Looks at both receivers until it is so and stays so. */
async function seen(condition) {
  const until = Date.now() + LAYER_LIMIT;
  for (let times = 0; ; ) {
    const found = await looks();
    times = condition(found) ? times + 1 : 0;
    if (times === SETTLED) return found;
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
  const found = await run.each(async (side) => {
    const [streams, { gaps }] = await all([side.observeStreams(seconds), side.watch(seconds)]);
    const { picture, frames } = streams.sender;
    const apart = Math.abs((((picture.hue ?? 0) - LOOKS.hue + 540) % 360) - 180);
    return { ok: picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF && frames.decoded > 0, picture, frames, gaps };
  }, receivers);
  const sent = (await sides.sender.stats()).layers;
  return { ok: receivers.every((role) => found[role].ok), ...found, sent };
}
