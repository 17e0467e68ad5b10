/** The page: customers call from `/`, agents answer on `/agent`, and `#token=…` joins one call straight away. It uses nothing but the SDK. */

import { Causeway, Desk } from './causeway.js';

/** Milliseconds that a message stays, unless it is closed or replaced. */
const NOTICE_TIME = 12_000;

/** Milliseconds between two looks at why, while they are shown. */
const WHY_PAUSE = 2000;

/** What is going on now; also how tests look in. */
const page = { call: null, desk: null };
globalThis.causeway = page;

/** Closes the message on the page. */
let noticeTimer = null;

/** Of the call that is shown. */
let shown = { since: 0, picture: false, frames: 0, alone: true, lastWords: '' };

const $ = (id) => document.getElementById(id);

// Not before: a video that waits for its first picture holds up the load event.
addEventListener('load', start);

function start() {
  wireControls();
  wirePanels();
  setInterval(describe, 1000);
  setInterval(() => $('why-panel').hidden || showWhy(), WHY_PAUSE);
  const token = secret('token');
  if (token) return startLink(token);
  return location.pathname.replace(/\/$/, '').endsWith('/agent') ? startAgent() : startCustomer();
}

/** A value of the fragment, which browsers keep to themselves, or of the query. */
function secret(name) {
  return new URLSearchParams(location.hash.slice(1)).get(name) ?? new URLSearchParams(location.search).get(name);
}

// --- ways into a call

function startCustomer() {
  home('customer', 'Ready');
  $('ask').addEventListener('submit', async (event) => {
    event.preventDefault();
    $('call').disabled = true;
    say('Calling…');
    try {
      const { token } = await Desk.request({ name: $('name').value.trim() });
      enter(Causeway.join({ token }), 'customer');
    } catch (error) {
      say('Ready');
      notify(error.message);
    } finally {
      $('call').disabled = false;
    }
  });
}

function startAgent() {
  home('agent', 'Ready');
  $('unlock').addEventListener('submit', (event) => {
    event.preventDefault();
    $('unlock').hidden = true;
    openDesk($('key').value.trim());
    $('key').value = '';
  });
  openDesk(secret('desk') ?? undefined);
}

function startLink(token) {
  const join = () => enter(Causeway.join({ token }), 'link');
  $('again').addEventListener('click', join);
  join();
}

function openDesk(token) {
  page.desk = new Desk({
    token,
    onstate: ({ detail }) => deskState(detail.state),
    onincoming: ({ detail }) => showIncoming(detail),
    ongone: ({ detail }) => hideIncoming(detail.call),
    onerror: ({ detail }) => deskRefused(detail.error),
  });
}

function deskState(state) {
  const words = { open: 'Nobody is waiting. New calls appear here.', reconnecting: 'The connection to the desk was lost. Trying again…' };
  $('desk-state').dataset.state = state;
  if (words[state]) $('desk-state').textContent = words[state];
  $('desk-state').hidden = state === 'open' && $('waiting').childElementCount > 0;
}

function deskRefused(error) {
  $('desk-state').hidden = false;
  $('desk-state').textContent = error.status === 401 || error.status === 403 ? 'This desk is locked.' : error.message;
  $('unlock').hidden = !(error.status === 401 || error.status === 403);
}

function showIncoming(incoming) {
  const item = make('li', { className: 'incoming' });
  item.dataset.call = incoming.call;
  const name = incoming.name ?? 'Somebody';
  const who = make('p', { className: 'caller' }, make('strong', { textContent: name }), make('span', { className: 'soft', textContent: 'is calling' }));
  const accept = make('button', { type: 'button', className: 'primary accept', textContent: 'Accept', ariaLabel: `Accept the call of ${name}` });
  const ignore = make('button', { type: 'button', className: 'ignore', textContent: 'Ignore', ariaLabel: `Ignore the call of ${name}` });
  accept.addEventListener('click', () => {
    if (page.call && page.call.state !== 'ended') return notify('Leave the call that you are in first.');
    hideIncoming(incoming.call);
    enter(incoming.accept(), 'agent', incoming.name);
  });
  ignore.addEventListener('click', () => incoming.ignore());
  item.append(make('span', { className: 'dot', ariaHidden: 'true' }), who, ignore, accept);
  $('waiting').append(item);
  deskState(page.desk.state);
  if (page.call && page.call.state !== 'ended') notify(`${name} is waiting at the desk.`);
}

function hideIncoming(call) {
  [...$('waiting').children].find((item) => item.dataset.call === call)?.remove();
  deskState(page.desk.state);
}

/** Shows one of the cards that a call starts from. */
function home(card, words) {
  document.body.dataset.view = 'start';
  for (const id of ['customer', 'agent', 'link']) $(id).hidden = id !== card;
  for (const id of ['stage', 'controls', 'numbers', 'keypad', 'devices', 'details']) $(id).hidden = true;
  say(words);
}

// --- a call

function enter(call, from, callerName = null) {
  page.call = call;
  shown = { since: 0, picture: false, frames: 0, alone: true, lastWords: '' };
  document.body.dataset.view = 'call';
  for (const id of ['customer', 'agent', 'link']) $(id).hidden = true;
  for (const id of ['stage', 'controls']) $(id).hidden = false;
  $('open-why').hidden = from === 'customer';
  notify('');
  $('numbers').textContent = '';
  $('dialled').textContent = '';
  $('own-plate').textContent = 'You';
  call.callerName = callerName;
  call.attach($('remote'));
  $('local').srcObject = call.local;
  const on = (type, listener) => call.addEventListener(type, ({ detail }) => page.call === call && listener(detail));
  on('state', describe);
  on('peer', peerChanged);
  on('hold', describe);
  on('mute', describe);
  on('localtrack', describe);
  on('devices', listDevices);
  on('stats', showNumbers);
  on('dtmf', ({ tone }) => ($('dialled').textContent += tone));
  on('error', callError);
  on('ended', (detail) => leaveStage(from, detail));
  describe();
  $('leave').focus({ preventScroll: true });
}

function peerChanged({ change }) {
  if (change === 'connected') shown.alone = false;
  if (change === 'left') shown.picture = false;
  describe();
}

function callError({ error, fatal }) {
  if (error.code === 'autoplay-blocked') $('hear').hidden = false;
  else if (!fatal) notify(error.message);
  describe();
}

function leaveStage(from, { reason, message, error }) {
  const words = reason === 'call_ended' && !shown.alone ? 'The other side has left. The call is over.' : message;
  $('local').srcObject = null;
  $('hear').hidden = true;
  home(from, 'Call ended');
  notify(words, Boolean(error));
  const again = { customer: $('call'), link: $('again'), agent: $('agent') }[from];
  $('call').lastChild.textContent = 'Call again';
  $('again').lastChild.textContent = 'Join again';
  again.focus?.({ preventScroll: true });
}

/** Brings everything on the stage in line with the call. */
function describe() {
  const { call } = page;
  if (!call || call.state === 'ended') return;
  const peer = call.peers[0];
  const name = peerName(call, peer);
  const [words, why] = situation(call, peer, name);
  if (peer?.state === 'connected' && call.state === 'connected' && !shown.since) shown.since = Date.now();
  const time = shown.since ? ` · ${clock(Date.now() - shown.since)}` : '';
  say(words, time);
  const covered = Boolean(why) || !shown.picture;
  $('stage').classList.toggle('covered', covered);
  set($('who'), name);
  set($('why'), why || (peer?.state === 'connected' ? 'No picture' : ''));
  set($('face'), peer ? initials(name) : '…');
  $('cover').hidden = !covered && $('hear').hidden;
  set($('plate'), covered ? '' : name);
  describeControls(call);
}

/** The state in words: for the bar, and over the picture where there is none to see. */
function situation(call, peer, name) {
  const early = { new: 'Calling…', preparing: 'Allow camera and microphone', joining: 'Calling…', connecting: 'Connecting…' }[call.state];
  if (early) return [early, call.state === 'preparing' ? 'Your browser asks whether this page may use them.' : early];
  if (call.state === 'interrupted') return ['Connection interrupted', 'The network is interrupted. Waiting for it to come back…'];
  if (call.held) return ['On hold', 'You have put the call on hold.'];
  if (!peer) return shown.alone ? ['Waiting', call.role === 'customer' ? 'Please wait for the next free agent.' : 'Waiting for the other side to join.'] : ['Alone', 'The other side has left.'];
  if (peer.state !== 'connected') return ['Connecting…', `${name} is joining…`];
  if (peer.held) return ['On hold', `${name} has put the call on hold.`];
  return ['Connected', ''];
}

function peerName(call, peer) {
  if (peer?.role === 'customer' || (!peer && call.role === 'agent')) return call.callerName ?? call.name ?? 'Customer';
  const role = peer?.role ?? (call.role === 'customer' ? 'agent' : 'Other side');
  return role.charAt(0).toUpperCase() + role.slice(1);
}

function describeControls(call) {
  const sending = { audio: call.local.getAudioTracks().length > 0, video: call.local.getVideoTracks().length > 0 };
  toggle($('mic'), call.isMuted('audio'), sending.audio ? (call.isMuted('audio') ? 'Unmute' : 'Mute') : 'No mic');
  toggle($('camera'), call.isMuted('video'), sending.video ? (call.isMuted('video') ? 'Camera on' : 'Camera off') : 'No camera');
  toggle($('hold'), call.held, call.held ? 'Resume' : 'Hold');
  for (const id of ['hold', 'open-keypad']) $(id).disabled = call.state !== 'connected';
  const hidden = !sending.video || call.isMuted('video');
  $('own').classList.toggle('blank', hidden);
  set($('own-plate'), call.isMuted('audio') ? 'You, muted' : 'You');
}

// --- controls

function wireControls() {
  onClick('mic', (call) => (call.isMuted('audio') ? call.unmute('audio') : call.mute('audio')));
  onClick('camera', (call) => (call.isMuted('video') ? call.unmute('video') : call.mute('video')));
  onClick('hold', (call) => (call.held ? call.resume() : call.hold()));
  onClick('leave', (call) => call.leave());
  onClick('hear', (call) => {
    $('hear').hidden = true;
    call.play();
    describe();
  });
  $('dismiss').addEventListener('click', () => notify(''));
  $('remote').addEventListener('resize', () => {
    shown.picture = $('remote').videoWidth > 0;
    describe();
  });
}

/** A button of the call: one click at a time, and words if it cannot be done. */
function onClick(id, act) {
  const button = $(id);
  let busy = false;
  button.addEventListener('click', async () => {
    if (!page.call || busy) return;
    busy = true;
    button.setAttribute('aria-busy', 'true');
    try {
      await act(page.call);
    } catch (error) {
      notify(error.message);
    } finally {
      busy = false;
      button.removeAttribute('aria-busy');
      describe();
    }
  });
}

function wirePanels() {
  for (const key of '123456789*0#') {
    const button = make('button', { type: 'button', textContent: key });
    button.addEventListener('click', () => dial(key));
    $('keys').append(button);
  }
  panel('open-keypad', 'keypad');
  panel('open-devices', 'devices', listDevices);
  panel('numbers', 'details', () => showDetails());
  panel('open-why', 'why-panel', showWhy);
  for (const select of document.querySelectorAll('[data-device]')) {
    select.addEventListener('change', () => chooseDevice(select));
  }
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') closePanels(true);
    else if (!$('keypad').hidden && !event.ctrlKey && !event.metaKey && !event.altKey && /^[0-9*#]$/.test(event.key)) dial(event.key);
  });
}

function panel(buttonId, panelId, open = () => {}) {
  $(buttonId).addEventListener('click', () => {
    const opens = $(panelId).hidden;
    closePanels(false);
    if (!opens) return;
    $(panelId).hidden = false;
    $(buttonId).setAttribute('aria-expanded', 'true');
    open();
    $(panelId).querySelector('button, select')?.focus();
  });
}

function closePanels(refocus) {
  for (const button of document.querySelectorAll('[aria-controls]')) {
    if (refocus && button.getAttribute('aria-expanded') === 'true') button.focus();
    button.setAttribute('aria-expanded', 'false');
    $(button.getAttribute('aria-controls')).hidden = true;
  }
}

function dial(key) {
  try {
    page.call?.sendDtmf(key);
  } catch (error) {
    notify(error.message);
  }
}

async function listDevices() {
  const devices = await Causeway.listDevices();
  for (const select of document.querySelectorAll('[data-device]')) {
    const kind = select.dataset.device;
    const found = devices[`${kind}s`];
    const options = found.map(({ id, label }, index) => make('option', { value: id, textContent: label || `${kind} ${index + 1}` }));
    select.replaceChildren(...(options.length ? options : [make('option', { textContent: kind === 'speaker' ? 'Chosen by the system' : 'None found' })]));
    select.disabled = options.length === 0;
    const current = page.call?.device(kind);
    if (current && found.some(({ id }) => id === current)) select.value = current;
  }
}

async function chooseDevice(select) {
  try {
    await page.call?.selectDevice(select.dataset.device, select.value);
  } catch (error) {
    notify(error.message);
    await listDevices();
  }
}

// --- numbers

function showNumbers(stats) {
  const { audio, video } = stats.received;
  const frames = video?.framesDecoded ?? 0;
  shown.picture = frames !== shown.frames && $('remote').videoWidth > 0;
  shown.frames = frames;
  const loss = Math.max(audio?.loss ?? 0, video?.loss ?? 0);
  $('numbers').hidden = !audio && !video;
  $('numbers').replaceChildren(
    number('loss', percent(loss)),
    number('jitter', milliseconds(audio?.jitter ?? video?.jitter)),
    number('delay', milliseconds(stats.rtt)),
    number('', rate(total(audio?.bitrate, video?.bitrate))),
  );
  $('numbers').classList.toggle('poor', loss > 0.05);
  if (!$('details').hidden) showDetails(stats);
  describe();
}

async function showDetails() {
  const { call } = page;
  const stats = await call?.stats().catch(() => null);
  if (!stats) return;
  const node = stats.node?.latency_us;
  const rows = [
    ['Receiving', media(stats.received)],
    ['Sending', media(stats.sent)],
    ['Round trip', milliseconds(stats.rtt)],
    ['Path', path(stats.path)],
    ['Encryption', stats.path?.srtp ?? call.peers.find((peer) => peer.security)?.security],
    ['Inside the node', node?.packets ? `${node.p50} µs median, ${node.p99} µs for 99 %` : null],
  ];
  const shownRows = rows.filter(([, value]) => value);
  $('details').replaceChildren(...shownRows.flatMap(([term, value]) => [make('dt', { textContent: term }), make('dd', { textContent: value })]));
}

/** What the node says of the call: what is wrong and what to do, then all that happened. */
async function showWhy() {
  const { call } = page;
  try {
    const why = await call.why();
    if (call !== page.call) return;
    $('findings').replaceChildren(...why.summary.map(showFinding));
    $('timeline').replaceChildren(...why.timeline.map(showMoment));
    set($('why-state'), why.left_out ? `${why.left_out} entries were left out for want of room.` : '');
  } catch (error) {
    set($('why-state'), error.message);
  }
}

function showFinding({ role, verdict, what, advice }) {
  const item = make('li', {}, make('strong', { textContent: `${role ?? 'The call'}: ${verdict.replaceAll('_', ' ')}` }), make('p', { textContent: what }));
  if (advice) item.append(make('p', { className: 'advice', textContent: advice }));
  item.dataset.verdict = verdict;
  return item;
}

function showMoment({ since_ms: since, times, role, gravity, text }) {
  const often = times > 1 ? ` (${times} times)` : '';
  const item = make('li', {}, make('span', { className: 'at', textContent: (since / 1000).toFixed(2) }), make('span', { className: 'soft', textContent: role ?? 'call' }), make('span', { textContent: text + often }));
  item.dataset.gravity = gravity;
  return item;
}

function media(kinds) {
  return Object.entries(kinds)
    .map(([kind, one]) => [one.codec ?? kind, one.width && `${one.width}×${one.height}`, one.fps && `${Math.round(one.fps)} fps`, rate(one.bitrate), one.loss !== null && `${percent(one.loss)} lost`].filter(Boolean).join(' '))
    .join('\n');
}

function path(way) {
  if (!way?.local) return null;
  const { type, protocol, relayProtocol } = way.local;
  return type === 'relay' ? `relayed, ${(relayProtocol ?? protocol).toUpperCase()}` : `direct, ${protocol.toUpperCase()}`;
}

function number(name, value) {
  return make('span', {}, make('span', { className: 'soft', textContent: name ? `${name} ` : '' }), make('b', { textContent: value }));
}

function percent(share) {
  return `${((share ?? 0) * 100).toFixed(1)} %`;
}

function milliseconds(seconds) {
  return seconds === null || seconds === undefined ? '–' : `${Math.round(seconds * 1000)} ms`;
}

/** The sum of what is known, null if nothing is. */
function total(...values) {
  const known = values.filter(Number.isFinite);
  return known.length ? known.reduce((sum, value) => sum + value) : null;
}

function rate(bits) {
  if (bits === null || bits === undefined) return '';
  return bits >= 1_000_000 ? `${(bits / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

// --- words on the page

/** The state in the bar. The clock is kept out of what is read aloud. */
function say(words, time = '') {
  if (shown.lastWords !== words || $('state').dataset.words !== words) {
    shown.lastWords = words;
    $('state').dataset.words = words;
    $('state').replaceChildren(make('span', { textContent: words }), make('span', { className: 'clock', ariaHidden: 'true' }));
  }
  set($('state').lastChild, time);
}

/** A message for some seconds; an empty one closes it. */
function notify(text, stays = false) {
  clearTimeout(noticeTimer);
  $('notice').hidden = !text;
  $('notice-text').textContent = text;
  if (text && !stays) noticeTimer = setTimeout(() => notify(''), NOTICE_TIME);
}

function toggle(button, pressed, label) {
  button.setAttribute('aria-pressed', String(pressed));
  set(button.querySelector('span'), label);
}

/** Writes only what changed, so that nothing is read aloud twice. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function initials(name) {
  return name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join('');
}

function clock(time) {
  const seconds = Math.floor(time / 1000);
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
