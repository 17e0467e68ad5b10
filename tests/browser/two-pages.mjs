/**
 * Two people in two browsers call each other through a node. See README.md for the arguments and the lines that come out.
 *
 *     node two-pages.mjs --a https://127.0.0.1:8443/ --b https://127.0.0.1:8443/agent --b-browser firefox
 */

import { parseArgs } from 'node:util';
import { all, Run } from './run.mjs';
import { Side } from './side.mjs';

/** Milliseconds for the whole run. */
const RUN_LIMIT = 240_000;
/** Milliseconds from entering to connected. */
const CONNECT_LIMIT = 40_000;
/** Milliseconds until the other side sees a hold, a resume or a leave. */
const NOTICE_LIMIT = 10_000;
/** Milliseconds from connected until a side's estimate of what it can send must have grown to `--bitrate`; how long it took is in the step's `ms`. */
const BITRATE_LIMIT = 30_000;
/** Milliseconds until a node has missed a leg that went without a word. */
const CONSENT_LIMIT = 60_000;
/** Degrees that a hue and hertz that a tone may be off after codecs. */
const OFF = { hue: 25, hertz: 15 };
/** Milliseconds in which a digit has been sent, travelled and been played. */
const DIGIT = 400;

const { values: given } = parseArgs({
  options: {
    a: { type: 'string' },
    b: { type: 'string' },
    'a-browser': { type: 'string', default: 'chromium' },
    'b-browser': { type: 'string', default: 'chromium' },
    'a-netns': { type: 'string' },
    'b-netns': { type: 'string' },
    'a-hue': { type: 'string', default: '20' },
    'b-hue': { type: 'string', default: '200' },
    'a-tone': { type: 'string', default: '440' },
    'b-tone': { type: 'string', default: '880' },
    'a-devices': { type: 'string', default: 'yes' },
    'b-devices': { type: 'string', default: 'yes' },
    grain: { type: 'string', default: '0' },
    size: { type: 'string', default: '640x480' },
    fps: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '10' },
    skip: { type: 'string', default: '' },
    bitrate: { type: 'string' },
    watch: { type: 'string' },
    renew: { type: 'string' },
    errors: { type: 'string', default: 'no' },
    'node-stats': { type: 'string', default: 'yes' },
    'pause-after': { type: 'string', default: '' },
    leave: { type: 'string', default: 'a' },
    screenshots: { type: 'string' },
  },
});

if (!given.a || !given.b) {
  process.stderr.write('two-pages.mjs needs --a URL and --b URL; see README.md\n');
  process.exit(2);
}

const skipped = new Set(given.skip.split(',').filter(Boolean));
const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'], forgives: () => given.errors === 'yes' });
const { sides } = run;

await run.through(async () => {
  await run.step('launch', launch);
  await run.step('open', () => run.each((side) => side.open(given[side.name])));
  await run.step('enter', enter);
  await run.step('connected', connected);
  if (given.screenshots) await run.each((side) => side.screenshot(`${given.screenshots}/${side.name}-connected.png`));
  if (given.bitrate) await run.step('bitrate', bitrate);
  if (given.watch) await run.step('watching', () => {});
  if (given.watch) await run.step('watched', watch);
  if (!skipped.has('media')) await run.step('media', media);
  if (!skipped.has('stats')) await run.step('stats', () => run.each((side) => side.stats()));
  if (!skipped.has('hold')) await run.step('hold', hold);
  if (!skipped.has('hold')) await run.step('resume', resume);
  if (!skipped.has('dtmf')) await run.step('dtmf', dtmf);
  await run.step('leave', leave);
});

async function launch() {
  const start = async (name) => {
    const own = (what) => given[`${name}-${what}`];
    sides[name] = await Side.start({ browser: own('browser'), netns: own('netns'), hue: Number(own('hue')), tone: Number(own('tone')), devices: own('devices') === 'yes', grain: Number(given.grain), size: given.size, fps: Number(given.fps) });
    sides[name].name = name;
    return sides[name].version;
  };
  const [a, b] = await all([start('a'), start('b')]);
  return { a: { version: a }, b: { version: b } };
}

/** A link with a token joins by itself; else the customer calls and the agent accepts. */
async function enter() {
  const byToken = (side) => given[side.name].includes('token=');
  const isAgent = (side) => new URL(given[side.name]).pathname.endsWith('/agent');
  const { a, b } = sides;
  for (const side of [a, b]) if (!byToken(side) && !isAgent(side)) await customerCalls(side);
  for (const side of [a, b]) if (!byToken(side) && isAgent(side)) await side.click('.incoming .accept', CONNECT_LIMIT);
}

async function customerCalls(side) {
  await side.type('#name', 'Ada Lovelace');
  await side.click('#call');
}

async function connected() {
  await run.each((side) => side.wait('connected', CONNECT_LIMIT));
  await run.each((side) => (sends(other(side)) ? side.wait('receiving', CONNECT_LIMIT) : null));
  return run.each((side) => side.state());
}

/** Waits for both sides' own estimates, where the browser tells them. */
async function bitrate() {
  const estimates = (side) => given[`${side.name}-browser`] === 'chromium' && sends(side);
  await run.each((side) => (estimates(side) ? side.wait('able to send', BITRATE_LIMIT, Number(given.bitrate)) : null));
  return run.each((side) => side.stats());
}

async function media() {
  const seen = await run.each((side) => side.observe(Number(given.seconds), given['node-stats'] === 'yes'));
  const judged = Object.fromEntries(Object.entries(seen).map(([name, what]) => [name, { ...what, ...judge(what, other(sides[name])) }]));
  return { ok: judged.a.ok && judged.b.ok, ...judged };
}

/** What breaks is for somebody else to do, after the line `watching`. Side a asks for a new path by itself if `--renew` says when. */
async function watch() {
  return run.each((side) => side.watch(Number(given.watch), side.name === 'a' && given.renew ? Number(given.renew) : null));
}

/** Whether what one side saw and heard is what the other sends. Firefox's fake camera runs through all hues; Chromium's shows one. */
function judge({ picture, sound, frames, packets }, sender) {
  if (!sends(sender)) return { ok: true, expected: null };
  const expected = { hue: given[`${sender.name}-browser`] === 'firefox' ? 'changing' : Number(given[`${sender.name}-hue`]), hertz: Number(given[`${sender.name}-tone`]) };
  const apart = Math.abs(((picture.hue ?? 0) - (Number(expected.hue) || 0) + 540) % 360 - 180);
  const pictureOk = expected.hue === 'changing' ? new Set(picture.hues).size > 4 : picture.steady > 0.95 && picture.saturation > 0.3 && apart <= OFF.hue;
  const soundOk = Math.abs(sound.hertz - expected.hertz) <= OFF.hertz && sound.decibel > -70;
  return { expected, pictureOk, soundOk, ok: pictureOk && soundOk && frames.decoded > 0 && packets.received.audio > 0 && packets.received.video > 0 };
}

async function hold() {
  const { a, b } = sides;
  await a.click('#hold');
  await all([a.wait('holding', NOTICE_LIMIT), b.wait('held by the other side', NOTICE_LIMIT)]);
  await pause(1500); // what was under way has arrived by then
  if (given.screenshots) await run.each((side) => side.screenshot(`${given.screenshots}/${side.name}-hold.png`));
  const seen = await run.each((side) => side.observe(2));
  const still = ({ frames, packets }) => frames.decoded === 0 && packets.received.audio === 0 && packets.received.video === 0;
  return { ok: still(seen.a) && still(seen.b), ...seen };
}

async function resume() {
  await sides.a.click('#hold');
  await run.each((side) => side.wait('connected', NOTICE_LIMIT));
  await pause(500);
  const seen = await run.each((side) => side.observe(3));
  const flows = (side) => !sends(other(side)) || (seen[side.name].frames.decoded > 0 && seen[side.name].packets.received.audio > 0);
  return { ok: flows(sides.a) && flows(sides.b), ...seen };
}

/** Side a sends digits as telephone events; side b's browser plays each as the two tones of its key. */
async function dtmf() {
  const { a, b } = sides;
  if (!sends(a)) return { skipped: 'side a has no microphone' };
  await b.listen();
  await a.click('#open-keypad');
  for (const key of ['1', '2', '3', '12']) await a.click(`#keys button:nth-child(${key})`);
  await a.wait('dialled', NOTICE_LIMIT);
  await a.click('#open-keypad');
  const digits = (await a.state()).dialled;
  await pause(digits.length * DIGIT);
  const heard = await b.heardDigits();
  return { ok: heard === digits, digits, heard, ...(await run.each((side) => side.stats())) };
}

/**
 * `a` or `b` clicks Leave; `navigate`: side a goes to another page; `close`: side a closes the tab. Firefox drops what a page
 * sends while its last tab closes, so there only the node's own watch over the leg can tell.
 */
async function leave() {
  const leaver = sides[given.leave] ?? sides.a;
  const silent = given.leave === 'close' && given['a-browser'] === 'firefox';
  if (given.leave === 'close') await leaver.closeTab();
  else if (given.leave === 'navigate') await leaver.open('about:blank');
  else await leaver.click('#leave');
  const left = other(leaver);
  await left.wait('ended', silent ? CONSENT_LIMIT : NOTICE_LIMIT);
  const found = { [left.name]: await left.state() };
  if (leaver.name === given.leave) found[leaver.name] = await leaver.state();
  return found;
}

function sends(side) {
  return given[`${side.name}-devices`] === 'yes';
}

function other(side) {
  return side.name === 'a' ? sides.b : sides.a;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
