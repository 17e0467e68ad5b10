/**
 * Two browser sides that call each other with sound and picture, whose descriptions pass through a media server by its `ng` protocol, as
 * a SIP proxy would have them pass. See README.md.
 *
 *     node proxied.mjs --ng 127.0.0.1:2223
 */

import { createSocket } from 'node:dgram';
import { parseArgs } from 'node:util';
import { LocalPage } from './local-page.mjs';
import { Run } from './run.mjs';

/** Milliseconds for the whole run, for a step, and for an answer of the media server. */
const RUN_LIMIT = 120_000;
const LIMIT = 40_000;
const ANSWER_LIMIT = 5000;
/** What camera and microphone show and play, and how far off that may be after codecs. */
const HUE = 120;
const HUE_OFF = 15;
const TONE = 660;
const TONE_OFF = 15;

/** What a proxy says of a description that is for a browser. */
const FOR_A_BROWSER = { ICE: 'force', bundle: ['accept'], 'transport-protocol': 'UDP/TLS/RTP/SAVPF', 'rtcp-mux': ['offer'], SDES: ['off'], flags: ['generate-mid', 'no-rtcp-attribute'] };

const HTML = '<!doctype html><meta charset="utf-8"><title>Two sides</title><video id="a" autoplay></video><video id="b" autoplay></video>';

const { values: given } = parseArgs({
  options: {
    ng: { type: 'string' },
    call: { type: 'string', default: 'two-browsers' },
    seconds: { type: 'string', default: '4' },
    'pause-after': { type: 'string', default: '' },
  },
});

if (!given.ng) {
  process.stderr.write('proxied.mjs needs --ng ADDRESS; see README.md\n');
  process.exit(2);
}

const run = new Run({ limit: RUN_LIMIT, pauseAfter: given['pause-after'] });

await run.through(async () => {
  await run.step('launch', async () => {
    const media = { hue: HUE, tone: TONE, size: '320x240', fps: 10 };
    run.sides.both = await LocalPage.open({ name: 'proxied', media, html: HTML, limit: LIMIT });
    await run.sides.both.page.evaluate(connect);
    return { version: await run.sides.both.browser.version() };
  });
  const { page } = run.sides.both;
  await run.step('call', async () => {
    const offer = await ask('offer', { sdp: await page.evaluate(() => describe('a')) });
    const answer = await ask('answer', { 'to-tag': 'b', sdp: await page.evaluate((sdp) => respond('b', sdp), offer.sdp) });
    await page.evaluate((sdp) => accept('a', sdp), answer.sdp);
    await page.waitForFunction(() => ['a', 'b'].every((name) => sides[name].connectionState === 'connected'), { timeout: LIMIT, polling: 50 });
    return { id: given.call, offered: lines(offer.sdp), answered: lines(answer.sdp) };
  });
  await run.step('media', async () => {
    await page.waitForFunction(async () => (await flowing('a')) && (await flowing('b')), { timeout: LIMIT, polling: 100 });
    const found = await page.evaluate(observe, Number(given.seconds));
    const near = (value, wanted, off) => Math.abs(value - wanted) <= off;
    const fine = ({ picture, sound, packets }) =>
      near(picture.hue, HUE, HUE_OFF) && near(sound.hertz, TONE, TONE_OFF) && sound.decibel > -70 && packets.audio > 0 && packets.video > 0;
    return { ok: fine(found.a) && fine(found.b), ...found };
  });
  await run.step('hang-up', async () => void (await ask('delete', { 'delete-delay': 0 })));
});

/** Asks the media server, and throws what it refuses. */
async function ask(command, more) {
  const [host, port] = given.ng.split(':');
  const socket = createSocket('udp4');
  try {
    const cookie = `${process.pid}_${command}`;
    const request = { command, 'call-id': given.call, 'from-tag': 'a', ...(more.sdp ? FOR_A_BROWSER : {}), ...more };
    const reply = new Promise((resolve, reject) => {
      socket.on('message', (datagram) => resolve(JSON.parse(datagram.toString().slice(cookie.length + 1))));
      socket.on('error', reject);
      setTimeout(() => reject(new Error(`no reply to ${command}`)), ANSWER_LIMIT).unref();
    });
    socket.send(`${cookie} ${JSON.stringify(request)}`, Number(port), host);
    const document = await reply;
    if (document.result !== 'ok') throw new Error(`${command}: ${document['error-reason']}`);
    return document;
  } finally {
    socket.close();
  }
}

/** What of a description says how its media are bundled. */
function lines(sdp) {
  return sdp.split('\r\n').filter((line) => /^(m=|a=group|a=mid|a=rtcp-mux)/.test(line));
}

/** Run in the page: makes both sides. */
async function connect() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  globalThis.sides = {};
  for (const name of ['a', 'b']) {
    const side = new RTCPeerConnection();
    const heard = new MediaStream();
    for (const track of stream.getTracks()) side.addTrack(track, stream);
    side.addEventListener('track', ({ track }) => heard.addTrack(track));
    Object.assign(document.getElementById(name), { srcObject: heard, muted: true });
    sides[name] = side;
  }
  const gathered = (side) =>
    new Promise((resolve) => {
      const look = () => side.iceGatheringState === 'complete' && resolve(side.localDescription.sdp);
      side.addEventListener('icegatheringstatechange', look);
      look();
    });
  globalThis.describe = async (name) => {
    await sides[name].setLocalDescription();
    return gathered(sides[name]);
  };
  globalThis.respond = async (name, sdp) => {
    await sides[name].setRemoteDescription({ type: 'offer', sdp });
    return describe(name);
  };
  globalThis.accept = (name, sdp) => sides[name].setRemoteDescription({ type: 'answer', sdp });
  globalThis.inbound = async (name) => [...(await sides[name].getStats()).values()].filter(({ type }) => type === 'inbound-rtp');
  globalThis.flowing = async (name) => {
    const of = await inbound(name);
    return of.some(({ kind, packetsReceived }) => kind === 'audio' && packetsReceived > 0) && of.some(({ framesDecoded }) => framesDecoded > 0);
  };
}

/** Run in the page: what each side sees and hears of the other. */
async function observe(seconds) {
  const { colour, record, tone, picture } = globalThis.senses;
  const found = { a: { pictures: [] }, b: { pictures: [] } };
  const each = (work) => Promise.all(Object.entries(found).map(([name, side]) => work(side, name)));
  const packets = async (name) => Object.fromEntries((await inbound(name)).map(({ kind, packetsReceived }) => [kind, packetsReceived]));
  await each(async (side, name) => {
    side.video = document.getElementById(name);
    side.recording = record(side.video.srcObject.getAudioTracks());
    side.recording.start();
    side.before = await packets(name);
  });
  for (let looks = 0; looks < seconds * 5; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    await each(({ video, pictures }) => video.videoWidth && pictures.push(colour(video)));
  }
  await each(async (side, name) => {
    const after = await packets(name);
    found[name] = {
      picture: picture(side.video, side.pictures),
      sound: tone(await side.recording.stop()),
      packets: { audio: after.audio - side.before.audio, video: after.video - side.before.video },
    };
  });
  return found;
}
