/**
 * A browser that calls a SIP address over WebSocket with the npm package `jssip` as it is, and says what it hears. See README.md.
 *
 *     node sip.mjs --proxy ws://127.0.0.1:5060 --callee sip:callee@127.0.0.1
 */

import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { LocalPage } from './local-page.mjs';
import { Run } from './run.mjs';

/** Milliseconds for the whole run, and for a step. */
const RUN_LIMIT = 120_000;
const LIMIT = 40_000;
/** Hertz that the browser's microphone plays, and how far off they may be after codecs. */
const TONE = 660;
const TONE_OFF = 15;

const HTML = '<!doctype html><meta charset="utf-8"><title>A SIP phone</title><audio id="remote" autoplay></audio><script src="/jssip.js"></script>';

const { values: given } = parseArgs({
  options: {
    proxy: { type: 'string' },
    callee: { type: 'string' },
    seconds: { type: 'string', default: '4' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (!given.proxy || !given.callee) {
  process.stderr.write('sip.mjs needs --proxy URL and --callee URI; see README.md\n');
  process.exit(2);
}

const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'] });

await run.through(async () => {
  await run.step('launch', async () => {
    const media = { hue: 0, tone: TONE, size: '160x120', fps: 5 };
    const files = { '/jssip.js': ['text/javascript', await jssip()] };
    run.sides.phone = await LocalPage.open({ name: 'sip', media, html: HTML, files, limit: LIMIT });
    return { version: await run.sides.phone.browser.version() };
  });
  const { page } = run.sides.phone;
  await run.step('call', async () => {
    await page.evaluate(call, given.proxy, given.callee);
    await page.waitForFunction(() => globalThis.failure || (globalThis.confirmed && session.connection.connectionState === 'connected'), { timeout: LIMIT, polling: 50 });
    const failure = await page.evaluate(() => globalThis.failure);
    if (failure) throw new Error(failure);
    return page.evaluate(() => ({ id: session._request.call_id }));
  });
  await run.step('media', async () => {
    await page.waitForFunction(async () => (await received()).packetsReceived > 0, { timeout: LIMIT, polling: 50 });
    const found = await page.evaluate(listen, Number(given.seconds));
    const soundOk = Math.abs(found.sound.hertz - TONE) <= TONE_OFF && found.sound.decibel > -70;
    return { ok: soundOk && found.packets > 0, soundOk, ...found };
  });
  await run.step('hang-up', () => page.evaluate(hangUp));
});

/** The package as one script. */
async function jssip() {
  const bundle = { entryPoints: ['jssip'], bundle: true, write: false, format: 'iife', globalName: 'JsSIP', absWorkingDir: import.meta.dirname ?? process.cwd(), logLevel: 'error' };
  return (await build({ ...bundle, footer: { js: 'JsSIP = JsSIP.default ?? JsSIP;' } })).outputFiles[0].text;
}

/** Run in the page. */
function call(proxy, callee) {
  const agent = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(proxy)], uri: 'sip:browser@127.0.0.1', register: false });
  agent.on('connected', () => {
    const options = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };
    globalThis.session = agent.call(callee, options);
    session.on('confirmed', () => (globalThis.confirmed = true));
    session.on('failed', ({ cause, message }) => (globalThis.failure = `${cause}: ${message?.status_code ?? ''}`));
    session.connection.addEventListener('track', ({ track }) => {
      globalThis.remote = new MediaStream([track]);
      document.getElementById('remote').srcObject = remote;
    });
  });
  agent.on('disconnected', ({ error, reason }) => (globalThis.failure ??= `the WebSocket closed: ${reason ?? error}`));
  globalThis.agent = agent;
  globalThis.received = async () => [...(await session.connection.getStats()).values()].find(({ type }) => type === 'inbound-rtp') ?? {};
  agent.start();
}

/** Run in the page. */
async function listen(seconds) {
  const { record, tone } = globalThis.senses;
  const before = await received();
  const recording = record(remote.getAudioTracks());
  recording.start();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const sound = tone(await recording.stop());
  const after = await received();
  return { sound, packets: after.packetsReceived - before.packetsReceived, lost: after.packetsLost };
}

/** Run in the page. */
async function hangUp() {
  const ended = new Promise((resolve) => session.on('ended', resolve));
  session.terminate();
  await ended;
  agent.stop();
}
