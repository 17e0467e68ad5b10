/**
 * Several people in as many browsers meet in one call. See README.md for the arguments and the lines that come out.
 *
 *     node many-pages.mjs --page a=https://127.0.0.1:8443/#token=… --page b=https://127.0.0.1:8443/#token=… --page c=…
 */

import { parseArgs } from 'node:util';
import { all, Run } from './run.mjs';
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
const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'] });
const { sides } = run;

await run.through(async () => {
  await run.step('launch', launch);
  await run.step('open', () => run.each((side) => side.open(side.url)));
  await run.step('connected', () => connected(pages.length - 1));
  await run.step('media', media);
  if (given.screenshots) await run.each((side) => side.screenshot(`${given.screenshots}/many-${side.role}.png`));
  await run.step('stats', () => run.each((side) => side.stats()));
  await run.step('leave', leave);
  await run.step('remaining', media);
});

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
  await run.each((side) => side.wait('connected', CONNECT_LIMIT));
  await run.each((side) => side.wait('receiving everybody', CONNECT_LIMIT, others));
  return run.each((side) => side.state());
}

/** Whether each side sees and hears each other as what that one sends. */
async function media() {
  const seen = await run.each((side) => side.observeStreams(Number(given.seconds)));
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
  await run.each((side) => (others ? side.wait('receiving everybody', NOTICE_LIMIT, others) : side.wait('ended', NOTICE_LIMIT)));
  return { ok: errors.length === 0, errors };
}
