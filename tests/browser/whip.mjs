/**
 * Two pages of another origin than the node's: one publishes by WHIP, the other, there first, views by WHEP, both with the npm package
 * `whip-whep` as it is. See README.md for the arguments and the lines that come out.
 *
 *     node whip.mjs --node https://127.0.0.1:8443 --a-token TOKEN --b-token TOKEN
 */

import { parseArgs } from 'node:util';
import { Run } from './run.mjs';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 200_000;
/** Milliseconds from a request to connected, to a picture, to a new pair. */
const CONNECT_LIMIT = 40_000;
/** Degrees that a hue and hertz that a tone may be off after codecs. */
const OFF = { hue: 25, hertz: 15 };
const HUE = 140;
const TONE = 660;

const { values: given } = parseArgs({
  options: {
    node: { type: 'string' },
    'a-token': { type: 'string' },
    'b-token': { type: 'string' },
    'a-netns': { type: 'string' },
    'b-netns': { type: 'string' },
    seconds: { type: 'string', default: '6' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (!given.node || !given['a-token'] || !given['b-token']) {
  process.stderr.write('whip.mjs needs --node URL, --a-token TOKEN and --b-token TOKEN; see README.md\n');
  process.exit(2);
}

const run = new Run({
  limit: RUN_LIMIT,
  pauseAfter: given['pause-after'],
  // Chromium writes every refused request to the console, wanted ones too.
  forgives: (line) => /status of (412|428)/.test(line),
});
const { sides } = run;

await run.through(async () => {
  await run.step('launch', launch);
  await run.step('view', view);
  await run.step('publish', publish);
  await run.step('media', media);
  await run.step('trickle', trickle);
  await run.step('restart', restart);
  await run.step('stale', stale);
  await run.step('stop', stop);
});

async function launch() {
  const start = async (name, options) => (sides[name] = await Side.start({ foreign: true, netns: given[`${name}-netns`], ...options }));
  const media = { hue: HUE, tone: TONE, grain: 0, size: '320x240', fps: 30 };
  await Promise.all([start('a', { devices: true, ...media }), start('b', { devices: false })]);
  return { a: sides.a.version, b: sides.b.version };
}

/** The viewer is there first, and waits. */
async function view() {
  await sides.b.foreign('view', [`${given.node}/whep`, given['b-token']]);
  await sides.b.foreign('connected', [CONNECT_LIMIT], CONNECT_LIMIT + 5_000);
  return { requests: await sides.b.foreign('requests') };
}

async function publish() {
  await sides.a.foreign('publish', [`${given.node}/whip`, given['a-token']]);
  await sides.a.foreign('connected', [CONNECT_LIMIT], CONNECT_LIMIT + 5_000);
  await sides.b.foreign('receiving', [CONNECT_LIMIT], CONNECT_LIMIT + 5_000);
  return { requests: await sides.a.foreign('requests') };
}

async function media() {
  const { picture, sound, frames, packets } = await sides.b.foreign('observe', [Number(given.seconds)], Number(given.seconds) * 1_000 + 30_000);
  const apart = Math.abs(((picture.hue ?? 0) - HUE + 540) % 360 - 180);
  const pictureOk = picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF.hue && frames.decoded > 0;
  const soundOk = Math.abs(sound.hertz - TONE) <= OFF.hertz && sound.decibel > -70;
  return { ok: pictureOk && soundOk, pictureOk, soundOk, picture, sound, frames, packets };
}

/** Both clients have sent their candidates after the answer: one names the ICE session by its tag, the other by its credentials alone. */
async function trickle() {
  const sent = async (side, named) => {
    const requests = await side.foreign('requests');
    const tag = requests.find(({ method }) => method === 'POST').etag;
    return requests.filter(({ method, status, ifMatch }) => method === 'PATCH' && status === 204 && ifMatch === (named ? tag : null)).length;
  };
  const [a, b] = await Promise.all([sent(sides.a, true), sent(sides.b, false)]);
  return { ok: a > 0 && b > 0, a, b };
}

/** Both clients restart ICE, one after the other; media comes as before. */
async function restart() {
  const found = {};
  for (const [name, side] of Object.entries(sides)) {
    found[name] = await side.foreign('restart', [CONNECT_LIMIT], CONNECT_LIMIT + 10_000);
    const patches = (await side.foreign('requests')).filter(({ method, status }) => method === 'PATCH' && status === 200);
    found[name].tags = patches.map(({ etag }) => etag);
  }
  const after = await media();
  const renewed = ({ before, after, tags }) => before !== after && tags.length === 1 && tags[0] === `"${after}"`;
  return { ...after, ok: after.ok && renewed(found.a) && renewed(found.b), ...found };
}

/** What is sent for an ICE session that is gone, or for none, is refused, and the page can read it. */
async function stale() {
  const type = { 'Content-Type': 'application/trickle-ice-sdpfrag' };
  const wrong = await sides.a.foreign('patch', [{ ...type, 'If-Match': '"gone"' }, 'a=end-of-candidates\r\n']);
  const none = await sides.a.foreign('patch', [type, 'a=end-of-candidates\r\n']);
  return { ok: wrong.status === 412 && none.status === 428, wrong, none };
}

async function stop() {
  await Promise.all([sides.a.foreign('stop'), sides.b.foreign('stop')]);
  const last = async (side) => (await side.foreign('requests')).filter(({ method }) => method === 'DELETE').map(({ status }) => status);
  const [a, b] = await Promise.all([last(sides.a), last(sides.b)]);
  return { ok: a.join() === '200' && b.join() === '200', a, b };
}
