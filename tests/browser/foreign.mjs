/**
 * One browser with a page of another origin than the node's, which publishes by WHIP or views by WHEP with the npm package `whip-whep` as it is.
 *
 * The page comes over plain HTTP from this machine's loopback, which browsers trust as they trust HTTPS.
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { launchChromium } from './chromium.mjs';
import { makeMedia } from './media.mjs';
import { observeCall } from './page.mjs';
import { senses } from './senses.mjs';

/** Milliseconds that the page may take to load. */
const LOAD_LIMIT = 30_000;
/** Errors of the page that are kept. */
const ERRORS_KEPT = 20;

const HTML = `<!doctype html><meta charset="utf-8"><title>A page of another origin</title>
<video id="remote" autoplay playsinline muted></video>
<script type="importmap">{ "imports": { "whip-whep/whip.js": "/whip.js", "whip-whep/whep.js": "/whep.js" } }</script>
<script type="module">
import { WHIPClient } from 'whip-whep/whip.js';
import { WHEPClient } from 'whip-whep/whep.js';
Object.assign(globalThis, { WHIPClient, WHEPClient });
</script>`;

export class Foreign {
  #browser;
  #page;
  #server;
  #errors = [];
  #requests = [];

  /** As `Page.launch`; Chromium alone. */
  static async launch({ folder, hue, tone, grain, devices = true, size, fps }) {
    const media = devices ? await makeMedia(folder, { hue, tone, grain, size, fps }) : null;
    const server = await serve();
    const browser = await launchChromium({ media, profile: `${folder}/profile` });
    try {
      const foreign = new Foreign(browser, await browser.newPage(), server);
      await foreign.#open();
      return foreign;
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  constructor(browser, page, server) {
    [this.#browser, this.#page, this.#server] = [browser, page, server];
    page.on('pageerror', (error) => this.#note(`exception: ${error.message}`));
    page.on('console', (message) => {
      const from = message.location()?.url ?? '';
      if (message.type() === 'error' && !from.endsWith('/favicon.ico')) this.#note(`console: ${message.text()} (${from})`);
    });
    page.on('response', (response) => {
      const request = response.request();
      if (new URL(request.url()).host === server.host) return;
      const { 'if-match': ifMatch = null } = request.headers();
      const { etag = null, link = null } = response.headers();
      this.#requests.push({ method: request.method(), path: new URL(request.url()).pathname, status: response.status(), ifMatch, etag, link });
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

  /** What was asked of the node so far, and the statuses. */
  requests() {
    return this.#requests;
  }

  /** Publishes camera and microphone at a WHIP endpoint. */
  publish(url, token) {
    return this.#page.evaluate(publish, url, token);
  }

  /** Views what a WHEP endpoint has; sound and picture go to `observe`. */
  view(url, token) {
    return this.#page.evaluate(view, url, token);
  }

  /** Waits for the connection; the error tells how far it came. */
  async connected(limit) {
    try {
      await this.#page.waitForFunction(() => connection.connectionState === 'connected', { timeout: limit, polling: 100 });
    } catch {
      throw new Error(`not connected: ${JSON.stringify(await this.#page.evaluate(pairs))}`);
    }
  }

  /** Waits until a picture is shown. */
  async receiving(limit) {
    await this.#page.waitForFunction(() => document.getElementById('remote').videoWidth > 0, { timeout: limit, polling: 100 });
  }

  /** Looks and listens for some seconds, as `Page.observe`. */
  async observe(seconds) {
    await this.#page.evaluate(senses);
    return this.#page.evaluate(observeCall, seconds, false);
  }

  /** Lets the client restart ICE, and waits until media takes a pair with the node's new credentials. */
  async restart(limit) {
    const before = await this.#page.evaluate(nodesUfrag);
    await this.#page.evaluate(() => client.restart());
    const settled = async (old) => {
      const all = [...(await connection.getStats()).values()];
      const transport = all.find(({ type }) => type === 'transport');
      const pair = all.find(({ id }) => id === transport?.selectedCandidatePairId);
      const fresh = !connection.remoteDescription.sdp.includes(`a=ice-ufrag:${old}\r\n`);
      return fresh && transport.iceState === 'connected' && pair?.state === 'succeeded' && connection.signalingState === 'stable';
    };
    await this.#page.waitForFunction(settled, { timeout: limit, polling: 100 }, before);
    return { before, after: await this.#page.evaluate(nodesUfrag) };
  }

  /** Sends a PATCH by hand and says what comes back. */
  patch(headers, body) {
    const send = async (headers, body) => {
      const response = await fetch(client.resourceURL, { method: 'PATCH', headers: { Authorization: `Bearer ${client.token}`, ...headers }, body });
      return { status: response.status, kind: (await response.json().catch(() => ({}))).type ?? null };
    };
    return this.#page.evaluate(send, headers, body);
  }

  /** Ends the session as the client does. */
  stop() {
    return this.#page.evaluate(() => client.stop());
  }

  async close() {
    this.#server.close();
    await this.#browser.close();
  }

  /** Ends the browser at once. */
  kill() {
    this.#browser.process()?.kill('SIGKILL');
  }

  async #open() {
    await this.#page.goto(`http://${this.#server.host}/`, { waitUntil: 'load', timeout: LOAD_LIMIT });
    await this.#page.waitForFunction(() => globalThis.WHEPClient, { timeout: LOAD_LIMIT });
  }

  #note(words) {
    if (this.#errors.length < ERRORS_KEPT) this.#errors.push(words);
  }
}

/** Serves the page and the package's two files, byte for byte. */
async function serve() {
  const file = (name) => readFile(new URL(`node_modules/whip-whep/${name}`, import.meta.url));
  const files = new Map([
    ['/', { type: 'text/html', bytes: HTML }],
    ['/whip.js', { type: 'text/javascript', bytes: await file('whip.js') }],
    ['/whep.js', { type: 'text/javascript', bytes: await file('whep.js') }],
  ]);
  const server = createServer(({ url }, response) => {
    const found = files.get(url);
    response.writeHead(found ? 200 : 404, { 'content-type': found?.type ?? 'text/plain' }).end(found?.bytes ?? '');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { host: `127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Run in the page. */
async function publish(url, token) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  const client = new WHIPClient();
  Object.assign(globalThis, { connection, client });
  await client.publish(connection, url, token);
}

/** Run in the page; `causeway.call` is what `observeCall` looks at. */
async function view(url, token) {
  const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const remote = new MediaStream();
  connection.ontrack = ({ track }) => {
    remote.addTrack(track);
    document.getElementById('remote').srcObject = remote;
  };
  for (const kind of ['audio', 'video']) connection.addTransceiver(kind, { direction: 'recvonly' });
  const stats = async () => {
    const all = [...(await connection.getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
    const of = (wanted) => {
      const { packetsReceived: packets = 0, packetsLost: lost = 0, framesDecoded = 0 } = all.find(({ kind }) => kind === wanted) ?? {};
      return { packets, lost, framesDecoded };
    };
    return { sent: {}, received: { audio: of('audio'), video: of('video') } };
  };
  const client = new WHEPClient();
  Object.assign(globalThis, { connection, client, causeway: { call: { remote, stats } } });
  await client.view(connection, url, token);
}

/** Run in the page. */
function nodesUfrag() {
  return connection.remoteDescription.sdp.match(/a=ice-ufrag:(.*)\r\n/)[1];
}

/** Run in the page. */
async function pairs() {
  const all = [...(await connection.getStats()).values()].filter(({ type }) => type === 'candidate-pair' || type === 'transport');
  return { state: connection.connectionState, signalling: connection.signalingState, all };
}
