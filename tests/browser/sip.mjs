/**
 * A browser that calls a SIP address over WebSocket with the npm package `jssip` as it is, and says what it hears. See README.md.
 *
 *     node sip.mjs --proxy ws://127.0.0.1:5060 --callee sip:callee@127.0.0.1
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { launchChromium } from './chromium.mjs';
import { makeMedia } from './media.mjs';
import { Run } from './run.mjs';
import { senses } from './senses.mjs';

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

/** A page with the package in it. */
class Phone {
  static async launch() {
    const phone = new Phone();
    phone.folder = await mkdtemp(join(tmpdir(), 'causeway-sip-'));
    const media = await makeMedia(phone.folder, { hue: 0, tone: TONE, size: '160x120', fps: 5 });
    phone.server = await serve();
    phone.browser = await launchChromium({ media, profile: join(phone.folder, 'profile') });
    phone.page = await phone.browser.newPage();
    phone.page.on('pageerror', (error) => phone.faults.push(error.message));
    await phone.page.goto(`http://127.0.0.1:${phone.server.address().port}/`, { timeout: LIMIT });
    await phone.page.evaluate(senses);
    return phone;
  }

  faults = [];

  async errors() {
    return this.faults;
  }

  async end() {
    await this.browser.close();
    this.server.close();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'] });

await run.through(async () => {
  await run.step('launch', async () => {
    run.sides.phone = await Phone.launch();
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

async function serve() {
  const bundle = { entryPoints: ['jssip'], bundle: true, write: false, format: 'iife', globalName: 'JsSIP', absWorkingDir: import.meta.dirname ?? process.cwd(), logLevel: 'error' };
  const script = (await build({ ...bundle, footer: { js: 'JsSIP = JsSIP.default ?? JsSIP;' } })).outputFiles[0].text;
  const server = createServer(({ url }, response) => {
    const [type, body] = url === '/jssip.js' ? ['text/javascript', script] : ['text/html', HTML];
    response.writeHead(200, { 'content-type': type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
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
