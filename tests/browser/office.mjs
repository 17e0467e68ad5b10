/**
 * A customer and an agent in networks of their own meet through a node; by which way is what is asked. See README.md.
 *
 *     node office.mjs --customer 'https://203.0.113.5/#token=…' --agent 'https://203.0.113.5/#token=…' --agent-netns cw-tlsagent
 */

import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { all, Run } from './run.mjs';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 180_000;
/** Milliseconds from opening the pages until each side shows a picture. */
const CONNECT_LIMIT = 45_000;
/** Degrees that a hue and hertz that a tone may be off after codecs. */
const OFF = { hue: 25, hertz: 15 };
/** What the sides show and sound like. */
const LOOKS = { customer: { hue: 20, tone: 440 }, agent: { hue: 200, tone: 880 } };

const own = (name) => ({
  [name]: { type: 'string' },
  [`${name}-netns`]: { type: 'string' },
  [`${name}-policy`]: { type: 'string' },
  [`${name}-config`]: { type: 'string', default: '{}' },
  [`${name}-without`]: { type: 'string', default: '' },
  [`${name}-servers`]: { type: 'string', default: '' },
});

const { values: given } = parseArgs({
  options: {
    ...own('customer'),
    ...own('agent'),
    size: { type: 'string', default: '320x240' },
    fps: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '5' },
    errors: { type: 'string', default: 'no' },
    trust: { type: 'string' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (!given.customer || !given.agent) {
  process.stderr.write('office.mjs needs --customer URL and --agent URL; see README.md\n');
  process.exit(2);
}

const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'], forgives: () => given.errors === 'yes' });
const { sides } = run;

await run.through(async () => {
  await run.step('launch', launch);
  await run.step('open', () => run.each((side, name) => side.open(given[name])));
  await run.step('connected', connected);
  await run.step('media', media);
  await run.step('leave', leave);
});

async function launch() {
  const trust = given.trust ? await keyOf(given.trust) : null;
  const start = async (name) => {
    const narrow = { policy: given[`${name}-policy`] ?? null, config: JSON.parse(given[`${name}-config`]), without: given[`${name}-without`].split(',').filter(Boolean), servers: given[`${name}-servers`] };
    sides[name] = await Side.start({ browser: 'chromium', netns: given[`${name}-netns`], ...LOOKS[name], size: given.size, fps: Number(given.fps), narrow, trust });
    return sides[name].version;
  };
  const [customer, agent] = await all(['customer', 'agent'].map(start));
  return { customer: { version: customer }, agent: { version: agent } };
}

/** SHA-256 of the public key of a certificate in a PEM file, in Base64. */
async function keyOf(file) {
  const { publicKey } = new X509Certificate(await readFile(file));
  return createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

/** If a side does not connect, what it was offered and what its page complained of tell why. */
async function connected() {
  try {
    await run.each((side) => side.wait('connected', CONNECT_LIMIT));
    await run.each((side) => side.wait('receiving', CONNECT_LIMIT));
  } catch (error) {
    const told = await run.each((side) => Promise.all([side.path(), side.errors()].map((asked) => asked.catch(({ message }) => message))));
    throw new Error(`${error.message}; ${JSON.stringify(told)}`);
  }
  return run.each((side) => side.path());
}

/** The pair is told again: ICE may have found a better one meanwhile. */
async function media() {
  const seen = await run.each((side) => side.observe(Number(given.seconds)));
  const paths = await run.each((side) => side.path());
  const found = Object.fromEntries(Object.keys(sides).map((name) => [name, { ok: judge(seen[name], LOOKS[other(name)]), ...seen[name], path: paths[name] }]));
  return { ok: found.customer.ok && found.agent.ok, ...found };
}

function judge({ picture, sound, frames }, { hue, tone }) {
  const apart = Math.abs((((picture.hue ?? 0) - hue + 540) % 360) - 180);
  const pictureOk = picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF.hue;
  return pictureOk && Math.abs(sound.hertz - tone) <= OFF.hertz && sound.decibel > -70 && frames.decoded > 0;
}

async function leave() {
  await sides.customer.click('#leave');
  await run.each((side) => side.wait('ended', CONNECT_LIMIT));
}

function other(name) {
  return name === 'customer' ? 'agent' : 'customer';
}
