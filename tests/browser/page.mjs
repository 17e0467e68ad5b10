/** One browser with the node's page open: what a person does there, and what they would see and hear. */

import { launchChromium } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';
import { makeMedia } from './media.mjs';
import { narrow, path } from './narrow.mjs';
import { observeStreams, senses } from './senses.mjs';

/** Milliseconds that a page may take to load. */
const LOAD_LIMIT = 30_000;
/** Errors of the page that are kept. */
const ERRORS_KEPT = 20;

export class Page {
  #browser;
  #page;
  #errors = [];

  /**
   * `browser` is `chromium` or `firefox`; `hue` and `tone` are what it sends; `devices: false` takes camera and microphone away; `narrow` is what
   * its connections may use, for `path`; `trust` is the SHA-256 of a certificate's key that Chromium trusts everywhere, TURN included.
   */
  static async launch({ browser, folder, hue, tone, grain, devices = true, size, fps, narrow: narrowing = null, trust = null }) {
    const profile = `${folder}/profile`;
    const media = devices && browser === 'chromium' ? await makeMedia(folder, { hue, tone, grain, size, fps }) : null;
    const launched = browser === 'firefox' ? await launchFirefox({ tone: devices ? tone : null, profile }) : await launchChromium({ media, profile, args: trust ? [`--ignore-certificate-errors-spki-list=${trust}`] : [] });
    try {
      const page = await launched.newPage();
      if (narrowing) await page.evaluateOnNewDocument(narrow, narrowing);
      return new Page(launched, page);
    } catch (error) {
      await launched.close();
      throw error;
    }
  }

  constructor(browser, page) {
    this.#browser = browser;
    this.#page = page;
    page.on('pageerror', (error) => this.#note(`exception: ${error.message}`));
    page.on('console', (message) => {
      const from = message.location()?.url ?? '';
      if (message.type() === 'error' && !from.endsWith('/favicon.ico')) this.#note(`console: ${message.text()} (${from})`);
    });
  }

  /** The browser's name and version. */
  version() {
    return this.#browser.version();
  }

  /** Exceptions, unhandled rejections and console errors of the page so far. */
  errors() {
    return this.#errors;
  }

  async open(url) {
    await this.#page.goto(url, { waitUntil: 'domcontentloaded', timeout: LOAD_LIMIT });
  }

  async click(selector, limit = 10_000) {
    const element = await this.#page.waitForSelector(selector, { visible: true, timeout: limit });
    await element.click();
  }

  async type(selector, text) {
    const element = await this.#page.waitForSelector(selector, { visible: true, timeout: 10_000 });
    await element.type(text);
  }

  /** Waits for one of the conditions below; the error tells what the page said instead. */
  async wait(condition, limit, measure) {
    try {
      await this.#page.waitForFunction(CONDITIONS[condition], { timeout: limit, polling: 100 }, measure);
    } catch (error) {
      throw new Error(`not ${condition} within ${limit} ms; the page says ${JSON.stringify(await this.state().catch(() => error.message))}; its errors: ${JSON.stringify(this.#errors)}`);
    }
  }

  /** What the page shows and what the SDK knows. */
  state() {
    return this.#page.evaluate(() => {
      const text = (id) => document.getElementById(id)?.textContent ?? '';
      const call = globalThis.causeway?.call;
      const { state = null, held = null, leg = null, id = null, peers = [] } = call ?? {};
      return { words: document.querySelector('#state span')?.textContent ?? '', notice: text('notice-text'), dialled: text('dialled'), call: id, leg, state, held, peers, now: Date.now() };
    });
  }

  /** The panel that says why, as a person reads it. */
  explanation() {
    return this.#page.evaluate(() => document.getElementById('why-panel').innerText);
  }

  /** The SDK's own numbers, the node's, and in `repair` what the browser did against loss. */
  stats() {
    return this.#page.evaluate(async () => {
      const { call } = globalThis.causeway;
      const stats = await call.stats();
      const all = [...(await call.connection.getStats()).values()];
      const video = (type) => all.find((one) => one.type === type && one.kind === 'video') ?? {};
      const pair = all.find((one) => one.type === 'candidate-pair' && one.availableOutgoingBitrate) ?? {};
      const repair = {
        asked: video('inbound-rtp').nackCount ?? 0,
        repaired: video('inbound-rtp').retransmittedPacketsReceived ?? null,
        repeated: video('outbound-rtp').retransmittedPacketsSent ?? 0,
        bitrate: pair.availableOutgoingBitrate ?? null,
      };
      return { ...stats, repair };
    });
  }

  /** The pair that media takes, how long it took to connect, and what was offered; of a page that was launched with `narrow`. */
  path() {
    return this.#page.evaluate(path);
  }

  /** Looks and listens for some seconds: the colour and the tone that arrive, frames, and packets both ways. */
  async observe(seconds, askNode = true) {
    await this.#page.evaluate(senses);
    return this.#page.evaluate(observeCall, seconds, askNode);
  }

  /** The same of what comes from each other leg, by its role. */
  async observeStreams(seconds) {
    await this.#page.evaluate(senses);
    return this.#page.evaluate(observeStreams, seconds);
  }

  /** Asks for a layer of the leg with that role, or for nothing of it. */
  receive(role, wish) {
    return this.#page.evaluate((role, wish) => causeway.call.receive(causeway.call.streams.find((one) => one.role === role)?.leg, wish), role, wish);
  }

  /** What comes of the leg with that role: its `layers`, the one that was `asked` for, the `layer` that comes, and the picture's size. */
  layer(role) {
    return this.#page.evaluate((role) => {
      const { leg, video } = globalThis.causeway.call.streams.find((one) => one.role === role);
      const { videoWidth: width, videoHeight: height } = document.querySelector(`.tile[data-leg="${leg}"] video`) ?? document.getElementById('remote');
      return { ...video, width, height };
    }, role);
  }

  /** Counts what arrives for some seconds, and tells the longest times without; a new path is looked for after `renew` ms if given. */
  watch(seconds, renew) {
    return this.#page.evaluate(watchCall, seconds, renew ?? null);
  }

  /** Records what is heard from now on, for `heardDigits`. */
  listen() {
    return this.#page.evaluate(startListening);
  }

  /** The telephone keys whose tones were heard since `listen`. */
  heardDigits() {
    return this.#page.evaluate(hearDigits);
  }

  /** `width` and `height` as on the screen of a phone or a desk. */
  async screenshot(path, viewport) {
    if (viewport) await this.#page.setViewport(viewport);
    await this.#page.screenshot({ path });
  }

  async theme(name) {
    await this.#page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: name }]);
  }

  /** Leaves the page as somebody who closes the tab. */
  async closeTab() {
    await this.#page.close({ runBeforeUnload: false });
  }

  async close() {
    await this.#browser.close();
  }

  /** Ends the browser at once. */
  kill() {
    this.#browser.process()?.kill('SIGKILL');
  }

  #note(words) {
    if (this.#errors.length < ERRORS_KEPT) this.#errors.push(words);
  }
}

/** Run in the page. */
const CONDITIONS = {
  connected: () => causeway.call?.state === 'connected' && causeway.call.peers.some((peer) => peer.state === 'connected') && document.querySelector('#state span')?.textContent === 'Connected',
  'held by the other side': () => causeway.call?.peers.some((peer) => peer.held) && document.getElementById('why').textContent.includes('on hold'),
  holding: () => causeway.call?.held === true && document.querySelector('#hold span').textContent === 'Resume',
  'receiving everybody': (count) => {
    const others = causeway.call?.streams ?? [];
    const videos = others.map(({ leg }) => document.querySelector(`.tile[data-leg="${leg}"] video`) ?? document.getElementById('remote'));
    return others.length === count && videos.every((video) => video.videoWidth > 0);
  },
  receiving: () => document.getElementById('remote').videoWidth > 0,
  ringing: () => document.querySelector('.incoming .accept') !== null,
  measured: () => document.getElementById('numbers').textContent.includes('bit/s'),
  explained: () => document.querySelector('#findings [data-verdict]') !== null,
  'unreachable and said by both sides': () => /The browser sent \d+ checks/.test(document.querySelector('#findings [data-verdict="no_checks"]')?.textContent ?? ''),
  dialled: () => document.getElementById('dialled').textContent === '123#',
  'able to send': async (bitrate) => [...(await causeway.call.connection.getStats()).values()].some((one) => one.availableOutgoingBitrate >= bitrate),
  ended: () => causeway.call?.state === 'ended' && document.body.dataset.view === 'start',
};

/** Run in the page: see `observe`. */
export async function observeCall(seconds, askNode) {
  const { colour, record, tone, picture } = globalThis.senses;
  const call = globalThis.causeway.call;
  const video = document.getElementById('remote');
  const recording = record(call.remote.getAudioTracks());

  let rendered = 0;
  let counting = true;
  const count = () => {
    rendered += 1;
    if (counting) video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback?.(count);
  const before = await call.stats({ node: askNode });
  recording?.start();
  const started = performance.now();
  const pictures = [];
  while (performance.now() - started < seconds * 1000) {
    if (video.videoWidth) pictures.push(colour(video));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const after = await call.stats({ node: askNode });
  counting = false;
  const lasted = (performance.now() - started) / 1000;
  const sound = tone(await recording?.stop());

  const gained = (way, kind, what) => (after[way][kind]?.[what] ?? 0) - (before[way][kind]?.[what] ?? 0);
  const both = (way, what) => ({ audio: gained(way, 'audio', what), video: gained(way, 'video', what) });
  return {
    seconds: +lasted.toFixed(2),
    picture: picture(video, pictures),
    sound,
    frames: { decoded: gained('received', 'video', 'framesDecoded'), perSecond: +(gained('received', 'video', 'framesDecoded') / lasted).toFixed(1), rendered },
    packets: { sent: both('sent', 'packets'), received: both('received', 'packets'), lost: both('received', 'lost') },
    before,
    after,
  };
}

/** Run in the page: see `watch`. Times are milliseconds since 1970. */
async function watchCall(seconds, renew) {
  const call = globalThis.causeway.call;
  const video = document.getElementById('remote');
  const gaps = { packets: { from: Date.now(), until: Date.now(), ms: 0 }, frames: { from: Date.now(), until: Date.now(), ms: 0 } };
  const last = { packets: { count: 0, at: Date.now() }, frames: { count: 0, at: Date.now() } };
  const note = (what, count) => {
    const now = Date.now();
    if (now - last[what].at > gaps[what].ms) gaps[what] = { from: last[what].at, until: now, ms: now - last[what].at };
    if (count > last[what].count) last[what] = { count, at: now };
  };
  const until = Date.now() + seconds * 1000;
  if (renew !== null) setTimeout(() => call.renew(), renew);
  while (Date.now() < until) {
    const all = [...(await call.connection.getStats()).values()].filter((one) => one.type === 'inbound-rtp');
    note('packets', all.reduce((sum, one) => sum + one.packetsReceived, 0));
    note('frames', all.reduce((sum, one) => sum + (one.framesDecoded ?? 0), 0));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { gaps, last, state: call.state, leg: call.leg, width: video.videoWidth };
}

/** Run in the page: see `listen`. */
async function startListening() {
  const recorder = new MediaRecorder(new MediaStream(globalThis.causeway.call.remote.getAudioTracks()));
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const started = new Promise((resolve) => (recorder.onstart = resolve));
  recorder.start();
  await started;
  globalThis.listening = { recorder, parts };
}

/**
 * Run in the page: see `heardDigits`. A key is two tones at once (ITU-T Q.23), of which browsers play no more than some 30 ms. Little else has
 * energy where the higher tones are: each stretch that has is a key.
 */
async function hearDigits() {
  const [rows, columns] = [[697, 770, 852, 941], [1209, 1336, 1477, 1633]];
  const keys = ['123A', '456B', '789C', '*0#D'];
  const { recorder, parts } = globalThis.listening;
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.stop();
  await stopped;
  const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(await new Blob(parts).arrayBuffer());
  const samples = sound.getChannelData(0);
  const length = Math.round(sound.sampleRate * 0.025);
  const hop = Math.round(length / 5);

  /** A frequency's energy in a stretch, by Goertzel's filter. */
  const part = (start, hertz) => {
    const turn = 2 * Math.cos((2 * Math.PI * hertz) / sound.sampleRate);
    let [one, two] = [0, 0];
    for (let index = start; index < start + length; index++) [one, two] = [samples[index] + turn * one - two, one];
    return (2 * (one * one + two * two - turn * one * two)) / length;
  };
  const strongest = (energies) => energies.indexOf(Math.max(...energies));

  let digits = '';
  let key = null;
  for (let start = 0; start + length <= samples.length; start += hop) {
    let energy = 0;
    for (let index = start; index < start + length; index++) energy += samples[index] ** 2;
    const high = columns.map((hertz) => part(start, hertz));
    if (energy / length > 1e-6 && Math.max(...high) > 0.15 * energy) {
      key ??= { low: [0, 0, 0, 0], high: [0, 0, 0, 0] };
      rows.forEach((hertz, index) => (key.low[index] += part(start, hertz)));
      high.forEach((found, index) => (key.high[index] += found));
      key.end = start;
    } else if (key && start - key.end > 10 * hop) {
      digits += keys[strongest(key.low)][strongest(key.high)];
      key = null;
    }
  }
  return key ? digits + keys[strongest(key.low)][strongest(key.high)] : digits;
}
