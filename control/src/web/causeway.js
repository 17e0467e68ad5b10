/**
 * causeway in the browser: joins calls, and takes them off the desk.
 *
 * One ES module without dependencies. It speaks the node's REST API under `/v1` and nothing else; types are in `causeway.d.ts`.
 *
 *     import { Causeway } from './causeway.js';
 *     const call = Causeway.join({ token });
 *     call.attach(document.querySelector('video'));
 *     call.addEventListener('ended', (event) => console.log(event.detail.message));
 *
 * A call never rejects behind your back: what goes wrong after `join` arrives as an `error` event, and as `ended` if the call is over by it.
 */

/** Milliseconds for one request to the node. */
const REQUEST_LIMIT = 15_000;
/** Milliseconds for the node to say how its TURN server lets us in. */
const TURN_LIMIT = 5_000;
const LOOKS = 5; // a call that changes faster than it can be read is read no more often than this
/** Milliseconds from joining to connected media. */
const CONNECT_LIMIT = 30_000;
/** Milliseconds that a broken path may take to come back after an ICE restart. */
const RESTART_LIMIT = 15_000;
/**
 * Milliseconds for a request of an ICE restart, twice as long each time, and the pause before the next: a network that changes takes
 * connections down with it, and a request on one of them waits for nothing.
 */
const RESTART_REQUEST = { first: 500, longest: 4_000, pause: 100 };
/** How often it is looked whether media still comes, and the silence after media that makes a new path worth looking for, in milliseconds. */
const SILENCE = { look: 200, limit: 700 };
/** Milliseconds in which the loss of the event stream asks for a new path only once. */
const RESTART_REST = 2_000;
/** Milliseconds after which a call that still connects tells the node what it sees, once more each time. */
const REPORT_AFTER = [5_000, 12_000];
/** Milliseconds that a last report may hold up the goodbye. */
const REPORT_LIMIT = 1_500;
/** Candidate pairs in one report, a limit of the API. */
const REPORT_PAIRS = 16;
/** Milliseconds that own candidates are gathered into one request. */
const TRICKLE_DELAY = 50;
/** Candidates in one request, a limit of the API. */
const TRICKLE_BATCH = 32;
/** Attempts to deliver a batch of candidates. */
const TRICKLE_ATTEMPTS = 3;
/** First and longest pause before an event stream is opened again, in milliseconds. */
const RECONNECT_PAUSE = { first: 500, longest: 10_000 };
/** An event stream that is silent for so many milliseconds is opened again. */
const STREAM_SILENCE = 60_000;
/** Largest event that is read, in characters. */
const EVENT_LIMIT = 1 << 20;
/** Youngest snapshot that rates are measured against, in milliseconds. */
const RATE_SPAN = 900;

const KINDS = ['audio', 'video'];
/** What a camera is sent in where simulcast is asked for: full, half and quarter size. */
const LAYERS = [
  { rid: 'f', maxBitrate: 1_700_000 },
  { rid: 'h', maxBitrate: 600_000, scaleResolutionDownBy: 2 },
  { rid: 'q', maxBitrate: 200_000, scaleResolutionDownBy: 4 },
];
/** Codecs that the node forwards: lines to receive on name no others, which keeps their descriptions short. */
const FORWARDED = ['audio/opus', 'audio/pcmu', 'audio/pcma', 'audio/telephone-event', 'video/vp8', 'video/h264', 'video/rtx'];
const CALL_EVENTS = ['state', 'localtrack', 'remotetrack', 'stream', 'streamended', 'layer', 'speaker', 'peer', 'hold', 'mute', 'stats', 'dtmf', 'devices', 'error', 'ended'];
const DESK_EVENTS = ['state', 'incoming', 'gone', 'error'];

const REASONS = {
  left: 'You left the call.',
  call_ended: 'The call is over.',
  fingerprint_mismatch: 'The call was ended because its encryption could not be trusted.',
  dtls_failed: 'The encrypted connection could not be made.',
  join_timeout: 'The call did not connect in time.',
  consent_lost: 'The connection to the call was lost.',
  closed: 'The connection to the call was closed.',
  engine_refused: 'The service has no room for this call right now.',
  media_timeout: 'The other side of the call fell silent.',
  final_timeout: 'The call has lasted as long as a call may.',
  failed: 'The call failed.',
};

/** Calls of this page that are not over, by call and role: one page joins a call once. */
const live = new Set();

/** Joins calls. */
export class Causeway {
  /** Joins the call that the join token names. Returns at once; `call.joined` and the events tell the rest. */
  static join(options) {
    return new Call(options);
  }

  /** The microphones, cameras and speakers; labels are empty until the page was allowed to use one. */
  static async listDevices() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    const of = (kind) => all.filter((device) => device.kind === kind && device.deviceId).map(({ deviceId, label }) => ({ id: deviceId, label }));
    return { microphones: of('audioinput'), cameras: of('videoinput'), speakers: canChooseSpeaker() ? of('audiooutput') : [] };
  }
}

/** What went wrong: `code` for programs, `message` for people, `status` and `at` if the node said it. */
export class CausewayError extends Error {
  constructor(code, message, { status, at, cause } = {}) {
    super(message, { cause });
    this.name = 'CausewayError';
    this.code = code;
    this.status = status;
    this.at = at;
  }
}

/** One leg of a call, as its browser sees it. */
export class Call extends EventTarget {
  /** The call's id. */
  id = '';
  /** The call's name, once known. */
  name = null;
  /** The role that the token gives. */
  role = '';
  /** The own leg's id, once joined. */
  leg = null;
  /** `new`, `preparing`, `joining`, `connecting`, `connected`, `interrupted` or `ended`. */
  state = 'new';
  /** Whether this side holds the call. */
  held = false;
  /** What is sent. */
  local = new MediaStream();
  /** What is received, of the first of the other legs if there are several. */
  remote = new MediaStream();
  /** The id of the leg that speaks or spoke last, null before anybody has. */
  activeSpeaker = null;
  /** The speaker in use, '' for the system's. */
  speaker = '';
  /** Resolves when the node has answered; rejects with a `CausewayError` if it never does. */
  joined;

  #options;
  #api;
  #stream = null;
  #peer = null;
  #peers = new Map();
  #streams = new Map();
  #receives = [];
  #heard = 0;
  #muted = { audio: false, video: false };
  #own = new Set();
  #elements = new Set();
  #directions = new Map();
  #negotiation = Promise.resolve();
  #candidatesOut = [];
  #candidatesIn = [];
  #early = [];
  #gathered = false;
  #trickling = null;
  #limit = null;
  #ticker = null;
  #reports = [];
  #began = Date.now();
  #joinedAt = null;
  #connectedAfter = null;
  #history = [];
  #restarted = false;
  #renewing = null;
  #renewed = 0;
  #listener = null;
  #sound = { last: 0, since: 0, flows: false };
  #key = null;
  #onpagehide = () => this.leave();
  #onnetwork = () => this.#pathDoubted();
  #ondevices = () => this.#emit('devices', {});

  constructor(options) {
    super();
    this.#options = { audio: true, video: true, statsInterval: 2000, ...options };
    listen(this, CALL_EVENTS, this.#options);
    this.joined = this.#join();
    this.joined.catch(() => {});
  }

  /** The other legs of the call. */
  get peers() {
    return [...this.#peers.values()];
  }

  /** What is received of each other leg: `leg`, `role`, its `stream`, and `video` with its simulcast layers. */
  get streams() {
    return [...this.#streams.values()];
  }

  /**
   * Asks for what comes from another leg: `layer` is `auto` or one of the layers that it sends, `paused` stops the kind for now. It holds until that
   * leg leaves.
   */
  async receive(leg, { kind = 'video', layer = 'auto', paused = false } = {}) {
    const lines = this.#receives.filter((line) => line.from === leg && line.kind === kind);
    if (!lines.length) throw new CausewayError('no-media', `No ${kind} comes from there.`);
    for (const { mid } of lines) this.#ownLeg(await this.#api.send('PUT', this.#path(`/receive/${encodeURIComponent(mid)}`), { layer, paused }));
  }

  /** The underlying connection, for what this class does not do; null before joining. */
  get connection() {
    return this.#peer;
  }

  /** Whether a kind is muted; a kind that has no track counts as muted. */
  isMuted(kind) {
    return this.#muted[kind] || !this.#track(kind);
  }

  /** Leaves the call. Resolves when the node knows, or cannot be told. */
  async leave() {
    if (this.state === 'ended') return;
    const told = this.#forget();
    // The goodbye of the connection itself would overtake the request and make it one for a leg that is gone.
    this.#finish('left', null, told);
    await told;
  }

  /** Sends silence or black in place of a kind. */
  mute(kind) {
    this.#setMuted(kind, true);
  }

  /** Sends a kind again; asks for the device if there is none yet. */
  async unmute(kind) {
    if (!this.#track(kind)) await this.#openDevice(kind, this.#options[kind]);
    this.#setMuted(kind, false);
  }

  /** Looks for a new path through the network (an ICE restart); media goes on meanwhile. Done by itself where the network is seen to change. */
  renew() {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null;
      this.#renewed = Date.now();
    });
    return this.#renewing;
  }

  /** Stops all media both ways; the others learn that the call is held. */
  async hold() {
    if (this.held || !this.#peer) return;
    await this.#holding(true, () => {
      for (const transceiver of this.#transceivers()) {
        this.#directions.set(transceiver, transceiver.direction);
        transceiver.direction = 'inactive';
      }
    });
  }

  /** Takes the media up again as it was before `hold`. */
  async resume() {
    if (!this.held || !this.#peer) return;
    await this.#holding(false, () => {
      for (const [transceiver, direction] of this.#directions) transceiver.direction = direction;
    });
  }

  /** Sends digits (0-9, *, #, A-D; a comma pauses) as telephone events. They join the end of what is still being sent. */
  sendDtmf(digits, { duration = 120, gap = 70 } = {}) {
    if (!/^[0-9*#A-Da-d,]+$/.test(digits)) throw new CausewayError('dtmf-digits', `“${digits}” has characters that no telephone key sends.`);
    const sender = this.#sender('audio')?.dtmf;
    if (!sender || sender.canInsertDTMF === false) throw new CausewayError('dtmf-unavailable', 'Keypad tones cannot be sent: no microphone, or the other side does not take them.');
    sender.ontonechange = (event) => event.tone && this.#emit('dtmf', { tone: event.tone });
    sender.insertDTMF(sender.toneBuffer + digits, duration, gap);
  }

  /** Sends another track of a kind, or none; the caller keeps the track and stops it. */
  async replaceTrack(kind, track) {
    const transceiver = this.#transceiver(kind);
    if (!transceiver) throw new CausewayError('no-media', `This call has no ${kind}.`);
    const old = this.#track(kind);
    await transceiver.sender.replaceTrack(track);
    this.#adopt(kind, old, track);
    if (track) await this.#allowSending(transceiver);
  }

  /** The devices to choose from. */
  listDevices() {
    return Causeway.listDevices();
  }

  /** The id of the device in use: `microphone`, `camera` or `speaker`. */
  device(kind) {
    if (kind === 'speaker') return this.speaker;
    return this.#track(kind === 'camera' ? 'video' : 'audio')?.getSettings?.().deviceId ?? '';
  }

  /** Switches to a device by its id: `microphone`, `camera` or `speaker`. */
  async selectDevice(kind, id) {
    if (kind === 'speaker') return this.#selectSpeaker(id);
    const media = kind === 'camera' ? 'video' : 'audio';
    const before = this.device(kind);
    try {
      await this.#openDevice(media, withDevice(this.#options[media], id));
    } catch (error) {
      if (before && before !== id) await this.#openDevice(media, withDevice(this.#options[media], before)).catch(() => {});
      throw error;
    }
  }

  /** Plays in a media element what is received: in a call of two, or of one leg. */
  attach(element, leg = null) {
    this.#elements.add(element);
    element.srcObject = leg === null ? this.remote : (this.#streams.get(leg)?.stream ?? null);
    if (this.speaker) element.setSinkId?.(this.speaker).catch(() => {});
    this.#play(element);
  }

  /** Plays nothing there any more. */
  detach(element) {
    this.#elements.delete(element);
    element.srcObject = null;
  }

  /** Starts elements that the browser kept silent; call it from a click. */
  play() {
    for (const element of this.#elements) this.#play(element);
  }

  /** Numbers of both directions as the browser measures them, and the node's own (`node`, null if it cannot be asked). */
  async stats({ node = true } = {}) {
    const asked = node ? this.#nodeStats() : null;
    const report = digest(this.#peer ? await this.#peer.getStats() : new Map(), this.#receives);
    report.connectedAfter = this.#connectedAfter;
    this.#measureRates(report);
    return { ...report, node: await asked };
  }

  /** Why the call works or does not, as the node sees it: `summary` and `timeline`. Some minutes after its end still. */
  async why() {
    if (!this.#api) throw new CausewayError('not-joined', 'The call has not begun.');
    return this.#api.get(`/v1/calls/${encodeURIComponent(this.id)}/why`);
  }

  // --- joining

  async #join() {
    await null; // the caller attaches its listeners first
    try {
      this.#identify();
      this.#setState('preparing');
      const servers = this.#iceServers();
      await this.#prepareMedia();
      this.#setState('joining');
      this.#joinedAt = Date.now();
      this.#openStream();
      this.#openPeer(await servers);
      this.#stillWanted();
      await this.#enqueue(() => (this.#options.nodeOffers ? this.#answerNode() : this.#offerNode()));
      this.#stillWanted();
      this.#afterJoin();
    } catch (error) {
      const words = asError(error, 'join-failed');
      this.#fail(words);
      throw words;
    }
  }

  #identify() {
    const claims = readToken(this.#options.token);
    this.id = claims.call;
    this.role = claims.role ?? '';
    const key = `${this.id} ${this.role}`;
    if (live.has(key)) throw new CausewayError('already-joined', 'This page is in the call already.');
    live.add(key);
    this.#key = key;
    this.#api = new Api(this.#options.node, this.#options.token);
    globalThis.addEventListener?.('pagehide', this.#onpagehide);
    globalThis.addEventListener?.('online', this.#onnetwork);
    navigator.connection?.addEventListener?.('change', this.#onnetwork);
    navigator.mediaDevices?.addEventListener?.('devicechange', this.#ondevices);
  }

  async #prepareMedia() {
    const { stream, audio, video } = this.#options;
    const { tracks, errors } = stream ? { tracks: stream.getTracks(), errors: [] } : await capture({ audio, video });
    if (!stream) tracks.forEach((track) => this.#own.add(track));
    if (this.state === 'ended') tracks.forEach((track) => this.#own.delete(track) && track.stop());
    this.#stillWanted();
    for (const track of tracks) this.#adopt(track.kind, null, track);
    for (const error of errors) this.#emit('error', { error, fatal: false });
  }

  #openStream() {
    this.#stream = new EventStream(this.#api, `/v1/calls/${encodeURIComponent(this.id)}/events`, {
      onevent: (type, data) => (this.leg ? this.#hear(type, data) : this.#early.push([type, data])),
      onopen: () => this.#look(),
      onlost: () => Date.now() - this.#renewed > RESTART_REST && this.#pathDoubted(),
      onrefused: (error) => this.#streamRefused(error),
    });
  }

  /**
   * What the page gave, else the node's own TURN server: the way out of networks that let TCP or TLS through alone. Not over UDP: who gets that far
   * reaches the media itself, and a browser takes whatever comes from a TURN server's UDP address for that server's, even the media port's answers.
   */
  async #iceServers() {
    if (this.#options.iceServers) return this.#options.iceServers;
    try {
      const minted = await this.#api.post('/v1/turn/credentials', {}, TURN_LIMIT);
      if (!minted) return []; // a node without TURN is reached directly
      const { urls, username, credential } = minted;
      const streams = urls.filter((url) => url.includes('transport=tcp'));
      return streams.length ? [{ urls: streams, username, credential }] : [];
    } catch {
      return []; // it is reached directly, or not at all
    }
  }

  #openPeer(iceServers) {
    const { iceTransportPolicy = 'all' } = this.#options;
    const peer = new RTCPeerConnection({ iceServers, iceTransportPolicy, bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' });
    this.#peer = peer;
    peer.onicecandidate = ({ candidate }) => this.#gatheredOne(candidate);
    peer.onconnectionstatechange = () => this.#connectionChanged();
    peer.oniceconnectionstatechange = () => this.#connectionChanged();
    peer.ontrack = ({ track, transceiver }) => this.#receive(track, transceiver);
  }

  async #offerNode() {
    for (const kind of KINDS) {
      if (this.#options[kind] === false && !this.#track(kind)) continue;
      const track = this.#track(kind);
      const transceiver = this.#peer.addTransceiver(track ?? kind, {
        direction: track ? 'sendrecv' : 'recvonly',
        streams: track ? [this.local] : [],
        ...(kind === 'video' && this.#options.simulcast && { sendEncodings: LAYERS }),
      });
      transceiver.sender.setStreams?.(this.local);
    }
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    const { leg, answer } = await this.#api.post(`/v1/calls/${encodeURIComponent(this.id)}/legs`, { offer: this.#peer.localDescription.sdp });
    this.#becomes(leg);
    await this.#peer.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  async #answerNode() {
    const media = KINDS.filter((kind) => this.#options[kind] !== false || this.#track(kind));
    const { leg, offer } = await this.#api.post(`/v1/calls/${encodeURIComponent(this.id)}/legs`, { media });
    this.#becomes(leg);
    await this.#peer.setRemoteDescription({ type: 'offer', sdp: offer });
    for (const transceiver of this.#transceivers()) {
      const track = this.#track(transceiver.receiver.track.kind);
      transceiver.direction = track ? 'sendrecv' : 'recvonly';
      if (track) await transceiver.sender.replaceTrack(track);
    }
    await this.#peer.setLocalDescription(await this.#peer.createAnswer());
    await this.#api.post(this.#path('/answer'), { sdp: this.#peer.localDescription.sdp });
  }

  /** The node has a leg for us, which has to be given back if nobody wants it any more. */
  #becomes(leg) {
    this.leg = leg.id;
    this.#receives = leg.receives ?? [];
    if (this.state === 'ended') this.#forget();
    this.#stillWanted();
    this.#flushCandidates();
  }

  #afterJoin() {
    for (const [type, data] of this.#early.splice(0)) this.#hear(type, data);
    this.#applyCandidates();
    if (this.state === 'joining') this.#setState('connecting');
    this.#limit = setTimeout(() => this.#connectTimedOut(), CONNECT_LIMIT);
    this.#reports = REPORT_AFTER.map((after) => setTimeout(() => this.state !== 'connected' && this.#report(), after));
    this.#connectionChanged();
    this.#listener = setInterval(() => this.#listenForMedia(), SILENCE.look);
    if (this.#options.statsInterval > 0) this.#ticker = setInterval(() => this.#tick(), this.#options.statsInterval);
    this.#look();
  }

  #stillWanted() {
    if (this.state === 'ended') throw new CausewayError('left', REASONS.left);
  }

  // --- what the node says

  #hear(type, data) {
    if (this.state === 'ended' || !data || typeof data !== 'object') return;
    this.#heard += 1;
    switch (type) {
      case 'leg_joined':
      case 'leg_changed':
      case 'leg_ended':
        return data.leg?.id === this.leg ? this.#ownLeg(data.leg) : this.#meet(data.leg);
      case 'call_ended':
        return this.#finish(data.reason === 'left' ? 'call_ended' : data.reason);
      case 'candidate':
        if (data.leg !== this.leg) return;
        this.#candidatesIn.push(data.candidate);
        return this.#applyCandidates();
      case 'renegotiation_needed':
        return data.leg === this.leg && this.#asked(data.receive);
      case 'active_speaker':
        return this.#speaks(data.leg);
    }
  }

  #ownLeg(leg) {
    if (leg.state === 'ended') return this.#finish(leg.ended === 'left' ? 'call_ended' : leg.ended);
    const before = this.#receives;
    this.#receives = leg.receives ?? before;
    this.#place();
    for (const line of this.#receives) this.#tellLayer(line, before.find(({ mid, from }) => mid === line.mid && from === line.from));
    if (leg.wants) this.#asked(leg.wants);
  }

  /** The node wants another offer, with so many lines to receive on if it says how many. */
  #asked(lines) {
    this.#negotiate(lines ? { lines } : undefined).catch((error) => this.#emit('error', { error, fatal: false }));
  }

  #speaks(leg) {
    if (this.activeSpeaker === (leg ?? null)) return;
    this.activeSpeaker = leg ?? null;
    this.#emit('speaker', { leg: this.activeSpeaker, role: this.#peers.get(leg)?.role ?? (leg === this.leg ? this.role : null) });
  }

  /** Puts each track into the stream of the leg that it comes from now: lines are given to whoever needs one, without a new description. */
  #place() {
    const lines = new Map((this.#peer ? this.#transceivers() : []).map((transceiver) => [transceiver.mid, transceiver.receiver.track]));
    const wanted = new Map();
    for (const { mid, kind, from, role, layers } of this.#receives) {
      if (!lines.has(mid)) continue;
      const entry = wanted.get(from) ?? { role, tracks: [], video: null };
      entry.tracks.push(lines.get(mid));
      if (kind === 'video') entry.video ??= { layers };
      wanted.set(from, entry);
    }
    for (const leg of this.#streams.keys()) if (!wanted.has(leg)) this.#streamGone(leg);
    for (const [leg, { role, tracks, video }] of wanted) {
      const entry = this.#streams.get(leg) ?? { leg, role, stream: new MediaStream(), video };
      entry.video = video && { ...entry.video, ...video };
      const old = entry.stream.getTracks().filter((track) => !tracks.includes(track));
      const added = tracks.filter((track) => !entry.stream.getTracks().includes(track));
      old.forEach((track) => entry.stream.removeTrack(track));
      added.forEach((track) => entry.stream.addTrack(track));
      this.#streams.set(leg, entry);
      if (old.length || added.length) this.#emit('stream', { ...entry });
    }
    const [first] = this.#streams.values();
    if (first) this.#show(first.stream.getTracks());
  }

  #streamGone(leg) {
    const { stream, role } = this.#streams.get(leg);
    this.#streams.delete(leg);
    stream.getTracks().forEach((track) => stream.removeTrack(track));
    this.#emit('streamended', { leg, role });
  }

  #tellLayer({ kind, from, layers, layer, asked, paused }, before) {
    const entry = this.#streams.get(from);
    if (kind === 'video' && entry) entry.video = { layers, layer, asked, paused };
    const same = before && before.layer === layer && before.asked === asked && before.paused === paused;
    if (!same && (before || layers.length)) this.#emit('layer', { leg: from, kind, layers, layer, asked, paused });
  }

  /** Notes another leg as it is now and tells what is new about it. */
  #meet(leg) {
    if (!leg?.id) return;
    const before = this.#peers.get(leg.id);
    if (leg.state === 'ended') {
      if (this.#peers.delete(leg.id)) this.#emit('peer', { change: 'left', peer: leg });
      return;
    }
    this.#peers.set(leg.id, leg);
    if (!before) this.#emit('peer', { change: 'joined', peer: leg });
    if (leg.state === 'connected' && before?.state !== 'connected') this.#emit('peer', { change: 'connected', peer: leg });
    if (leg.held !== Boolean(before?.held)) this.#emit('peer', { change: leg.held ? 'held' : 'resumed', peer: leg });
  }

  /** Reads the call as it is: who was there before us, and what happened while the event stream was down. */
  async #look() {
    if (!this.leg || this.state === 'ended') return;
    try {
      // A picture of the call that events have overtaken on its way here would undo what they said.
      let call, heard;
      for (let tries = 0; tries < LOOKS && heard !== this.#heard; tries += 1) {
        heard = this.#heard;
        call = await this.#api.get(`/v1/calls/${encodeURIComponent(this.id)}`);
      }
      if (this.state === 'ended' || !Array.isArray(call.legs)) return;
      this.name = call.name ?? this.name;
      for (const leg of call.legs) leg.id === this.leg ? this.#ownLeg(leg) : this.#meet(leg);
      this.#speaks(call.speaker);
      const there = new Set(call.legs.map((leg) => leg.id));
      for (const peer of this.peers) if (!there.has(peer.id)) this.#meet({ ...peer, state: 'ended' });
      if (call.state === 'ended') this.#finish('call_ended');
    } catch {
      // the events tell the same, later
    }
  }

  #streamRefused(error) {
    if (this.state === 'ended') return;
    if (error.status === 404 && this.leg) return this.#finish('call_ended');
    this.#emit('error', { error, fatal: false });
  }

  // --- the connection

  #connectionChanged() {
    const peer = this.#peer;
    if (!peer || this.state === 'ended' || !this.leg) return;
    const state = peer.connectionState ?? peer.iceConnectionState;
    if (state === 'connected' || state === 'completed') this.#connected();
    else if (state === 'disconnected') this.#interrupted();
    else if (state === 'failed') this.#pathFailed();
  }

  #connected() {
    clearTimeout(this.#limit);
    this.#restarted = false;
    this.#connectedAfter ??= Date.now() - this.#joinedAt;
    this.#setState('connected');
  }

  /** A path that worked and broke is looked for once more; one that never worked is given up with words. */
  #pathFailed() {
    if (!this.#worked() || this.#restarted) return this.#fail(this.#whyNotConnected());
    this.#restarted = true;
    this.#setState('interrupted');
    clearTimeout(this.#limit);
    this.#limit = setTimeout(() => this.#connectTimedOut(), RESTART_LIMIT);
    this.renew().catch(() => this.#fail(this.#whyNotConnected()));
  }

  #interrupted() {
    if (this.state === 'connected') this.#setState('interrupted');
    this.#pathDoubted();
  }

  /** The network has changed, or media that came no longer comes: a new path costs little, waiting for the old one costs seconds. */
  #pathDoubted() {
    if (this.#worked()) this.renew().catch(() => {}); // the browser's own state tells the end
  }

  #worked() {
    return this.state === 'connected' || this.state === 'interrupted';
  }

  /** Asks until the node has answered. */
  async #renew() {
    const until = Date.now() + RESTART_LIMIT;
    for (let limit = RESTART_REQUEST.first; ; limit = Math.min(2 * limit, RESTART_REQUEST.longest)) {
      try {
        return await this.#negotiate({ iceRestart: true }, limit);
      } catch (error) {
        if (!this.#worked() || error.status < 500 || Date.now() > until) throw error;
        await sleep(RESTART_REQUEST.pause);
      }
    }
  }

  /** Behind a NAT that forgot its binding nothing else tells that the path is gone. Once per silence: it may be the others' own. */
  #listenForMedia() {
    const sources = this.#peer?.getReceivers?.().flatMap((receiver) => receiver.getSynchronizationSources?.() ?? []) ?? [];
    const last = Math.max(0, ...sources.map((source) => source.timestamp));
    const now = Date.now();
    if (last > this.#sound.last) this.#sound = { last, since: now, flows: true };
    else if (this.#sound.flows && now - this.#sound.since > SILENCE.limit) {
      this.#sound.flows = false;
      const awaited = !this.held && this.peers.some((peer) => peer.state === 'connected' && !peer.held);
      if (awaited) this.#pathDoubted();
    }
  }

  #connectTimedOut() {
    if (this.state !== 'connected') this.#fail(this.#whyNotConnected());
  }

  #whyNotConnected() {
    const ice = this.#peer?.iceConnectionState;
    if (ice === 'connected' || ice === 'completed') return new CausewayError('dtls-failed', REASONS.dtls_failed);
    if (this.#restarted) return new CausewayError('path-lost', 'The connection was lost and could not be made again. Check your network and call again.');
    const wrong = announcedElsewhere(this.#peer?.remoteDescription?.sdp ?? '', this.#api.host);
    if (wrong) return new CausewayError('announced-elsewhere', wrong);
    return new CausewayError('no-path', 'No way through the network was found. A firewall may be blocking calls; try another network.');
  }

  #receive(track, transceiver) {
    this.#place();
    if (this.#streams.size || (transceiver && transceiver !== this.#transceiver(track.kind))) return;
    this.#show([...this.remote.getTracks().filter(({ kind }) => kind !== track.kind), track]);
  }

  /** Makes these what is received where only one other is looked at. */
  #show(tracks) {
    const old = this.remote.getTracks();
    const added = tracks.filter((track) => !old.includes(track));
    for (const track of old) if (!tracks.includes(track)) this.remote.removeTrack(track);
    for (const track of added) {
      this.remote.addTrack(track);
      this.#emit('remotetrack', { track, kind: track.kind, stream: this.remote });
    }
    if (added.length) for (const element of this.#elements) this.#play(element);
  }

  /** Offers again: hold, new media, a new path. Negotiations queue up, since a description allows only one at a time. */
  #negotiate(options, limit) {
    return this.#enqueue(async () => {
      if (this.state === 'ended') return;
      if (options?.lines && !this.#widen(options.lines)) return;
      const peer = this.#peer;
      await peer.setLocalDescription(await peer.createOffer(options));
      try {
        const { sdp } = await this.#api.post(this.#path('/offer'), { sdp: peer.localDescription.sdp }, limit);
        if (this.state !== 'ended') await peer.setRemoteDescription({ type: 'answer', sdp });
        this.#place();
      } catch (error) {
        if (peer.signalingState === 'have-local-offer') await peer.setLocalDescription({ type: 'rollback' });
        throw asError(error, 'negotiation-failed');
      }
    });
  }

  /** Adds the lines that are missing to receive on so many; whether there were any. What is held takes nothing, and is asked again later. */
  #widen(lines) {
    let added = 0;
    for (const kind of KINDS) {
      const open = this.#transceivers().filter(({ receiver, direction }) => receiver.track.kind === kind && /recv/.test(direction));
      for (let count = open.length; !this.held && count < (lines[kind] ?? 0); count += 1, added += 1) {
        narrow(this.#peer.addTransceiver(kind, { direction: 'recvonly' }), kind);
      }
    }
    return added > 0;
  }

  #enqueue(work) {
    const turn = this.#negotiation.then(work);
    this.#negotiation = turn.catch(() => {});
    return turn;
  }

  async #holding(held, change) {
    const before = this.#transceivers().map((transceiver) => [transceiver, transceiver.direction]);
    change();
    this.held = held;
    try {
      await this.#negotiate();
      if (!held) this.#directions.clear();
      this.#emit('hold', { held });
    } catch (error) {
      this.held = !held;
      for (const [transceiver, direction] of before) transceiver.direction = direction;
      throw error;
    }
  }

  // --- candidates

  #gatheredOne(candidate) {
    if (candidate?.candidate) this.#candidatesOut.push(candidate.candidate);
    else if (!candidate) this.#gathered = true;
    this.#trickling ??= setTimeout(() => this.#flushCandidates(), TRICKLE_DELAY);
  }

  async #flushCandidates() {
    clearTimeout(this.#trickling);
    this.#trickling = null;
    while (this.leg && this.state !== 'ended' && (this.#candidatesOut.length || this.#gathered)) {
      const candidates = this.#candidatesOut.splice(0, TRICKLE_BATCH);
      const last = this.#gathered && this.#candidatesOut.length === 0;
      if (last) this.#gathered = false;
      await this.#sendCandidates({ candidates, end_of_candidates: last });
    }
  }

  /** Candidates that cannot be delivered are not worth a call: the others may do. */
  async #sendCandidates(body) {
    for (let attempt = 1; attempt <= TRICKLE_ATTEMPTS && this.state !== 'ended'; attempt++) {
      try {
        return await this.#api.post(this.#path('/candidates'), body);
      } catch (error) {
        if (error.status && error.status < 500) return;
        await sleep(attempt * 300);
      }
    }
  }

  async #applyCandidates() {
    if (!this.#peer?.remoteDescription) return;
    for (const line of this.#candidatesIn.splice(0)) {
      const candidate = line.replace(/^a=/, '');
      await this.#peer.addIceCandidate({ candidate, sdpMLineIndex: 0 }).catch(() => {}); // what a browser cannot read it need not use
    }
  }

  // --- own media

  #transceivers() {
    return this.#peer.getTransceivers().filter((transceiver) => transceiver.direction !== 'stopped' && transceiver.currentDirection !== 'stopped');
  }

  #transceiver(kind) {
    return this.#peer && this.#transceivers().find((transceiver) => transceiver.receiver.track.kind === kind);
  }

  #sender(kind) {
    return this.#transceiver(kind)?.sender;
  }

  #track(kind) {
    return this.local.getTracks().find((track) => track.kind === kind);
  }

  /** Makes a track the one of its kind that is sent. */
  #adopt(kind, old, track) {
    if (old === track) return;
    if (old) {
      this.local.removeTrack(old);
      old.onended = null;
      if (this.#own.delete(old)) old.stop();
    }
    if (track) {
      this.local.addTrack(track);
      track.enabled = !this.#muted[kind];
      track.onended = () => this.#trackLost(kind, track);
    }
    this.#emit('localtrack', { kind, track: track ?? null, stream: this.local });
  }

  #trackLost(kind, track) {
    this.#own.delete(track);
    this.local.removeTrack(track);
    this.#emit('localtrack', { kind, track: null, stream: this.local });
    this.#emit('error', { error: new CausewayError('device-lost', `The ${deviceName(kind)} is gone.`), fatal: false });
  }

  async #openDevice(kind, constraints) {
    const old = this.#track(kind);
    if (kind === 'video' && old && this.#own.has(old)) old.stop(); // phones open one camera at a time
    const { tracks, errors } = await capture({ audio: false, video: false, [kind]: constraints || true });
    if (errors.length) throw errors[0];
    const [track] = tracks;
    if (this.state === 'ended') return track.stop();
    this.#own.add(track);
    if (this.#transceiver(kind)) await this.replaceTrack(kind, track);
    else this.#adopt(kind, old, track);
  }

  async #allowSending(transceiver) {
    const wanted = { recvonly: 'sendrecv', inactive: 'sendonly' };
    if (this.held) {
      const before = this.#directions.get(transceiver);
      this.#directions.set(transceiver, wanted[before] ?? before);
    } else if (wanted[transceiver.direction]) {
      transceiver.direction = wanted[transceiver.direction];
      transceiver.sender.setStreams?.(this.local);
      await this.#negotiate();
    }
  }

  #setMuted(kind, muted) {
    if (!KINDS.includes(kind)) throw new CausewayError('no-media', 'Only audio and video can be muted.');
    this.#muted[kind] = muted;
    const track = this.#track(kind);
    if (track) track.enabled = !muted;
    this.#emit('mute', { kind, muted });
  }

  async #selectSpeaker(id) {
    if (!canChooseSpeaker()) throw new CausewayError('no-speaker-choice', 'This browser plays through the speaker that the system chose.');
    await Promise.all([...this.#elements].map((element) => element.setSinkId(id)));
    this.speaker = id;
  }

  #play(element) {
    element.play().catch((error) => {
      if (error.name === 'NotAllowedError') this.#emit('error', { error: new CausewayError('autoplay-blocked', 'The browser plays no sound before you click.'), fatal: false });
    });
  }

  // --- numbers

  async #tick() {
    if (document.visibilityState === 'hidden') return;
    try {
      this.#emit('stats', await this.stats({ node: false }));
    } catch {
      // a connection that is closing has no numbers
    }
  }

  #nodeStats() {
    if (!this.#api || !this.leg) return null;
    return this.#api.get(`/v1/calls/${encodeURIComponent(this.id)}/stats`).catch(() => null);
  }

  /** Tells the node how far this side has come. It helps whoever looks for a fault, so its own failure is none. */
  async #report() {
    const peer = this.#peer;
    if (!peer || !this.leg) return;
    try {
      const pairs = candidatePairs(await peer.getStats());
      const body = { connection: peer.connectionState, ice: peer.iceConnectionState, after_ms: Date.now() - this.#began, pairs };
      await this.#api.send('POST', this.#path('/report'), body, { keepalive: true });
    } catch {
      // the node notes that nothing was reported by noting nothing
    }
  }

  /** Rates come from the youngest snapshot that is old enough, so that two callers do not spoil each other's. */
  #measureRates(report) {
    const old = this.#history.findLast?.((past) => report.at - past.at >= RATE_SPAN) ?? this.#history[0];
    if (old) addRates(old, report);
    this.#history.push(structuredClone(report));
    if (this.#history.length > 8) this.#history.shift();
  }

  // --- the end

  #path(rest = '') {
    return `/v1/calls/${encodeURIComponent(this.id)}/legs/${encodeURIComponent(this.leg)}${rest}`;
  }

  /** Tells the node that we are gone; outlives the page. */
  async #forget() {
    if (!this.leg || !this.#api) return;
    await this.#api.send('DELETE', this.#path(), undefined, { keepalive: true }).catch(() => {});
  }

  #fail(error) {
    if (this.state === 'ended') return;
    // What this side saw is worth more to the node than a quick goodbye.
    const told = Promise.race([this.#report(), sleep(REPORT_LIMIT)]).then(() => this.#forget());
    this.#emit('error', { error, fatal: true });
    this.#finish('failed', error, told);
  }

  #finish(reason, error = null, told = null) {
    if (this.state === 'ended') return;
    this.#stream?.close();
    for (const timer of [this.#limit, this.#trickling, ...this.#reports]) clearTimeout(timer);
    clearInterval(this.#ticker);
    clearInterval(this.#listener);
    if (told) told.finally(() => this.#peer?.close());
    else this.#peer?.close();
    for (const track of this.#own) track.stop();
    for (const element of this.#elements) element.srcObject = null;
    for (const leg of this.#streams.keys()) this.#streamGone(leg);
    globalThis.removeEventListener?.('pagehide', this.#onpagehide);
    globalThis.removeEventListener?.('online', this.#onnetwork);
    navigator.connection?.removeEventListener?.('change', this.#onnetwork);
    navigator.mediaDevices?.removeEventListener?.('devicechange', this.#ondevices);
    live.delete(this.#key);
    this.#setState('ended');
    this.#emit('ended', { reason, message: error?.message ?? REASONS[reason] ?? REASONS.call_ended, error });
  }

  #setState(state) {
    if (this.state === state || this.state === 'ended') return;
    const before = this.state;
    this.state = state;
    this.#emit('state', { state, before });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The desk: where calls wait for somebody to take them. */
export class Desk extends EventTarget {
  /** `opening`, `open`, `reconnecting` or `closed`. */
  state = 'opening';

  #options;
  #stream;
  #waiting = new Map();

  constructor(options = {}) {
    super();
    this.#options = options;
    listen(this, DESK_EVENTS, options);
    this.#stream = new EventStream(new Api(options.node, options.token), '/v1/desk/events', {
      onevent: (type, data) => this.#hear(type, data),
      onopen: () => this.#setState('open'),
      onlost: () => this.#setState('reconnecting'),
      onrefused: (error) => this.#refused(error),
    });
  }

  /** Opens a call that waits at the desk; join it with the token. */
  static async request({ name, node, token } = {}) {
    return new Api(node, token).post('/v1/desk/calls', name ? { name } : {});
  }

  /** The calls that wait and were not ignored. */
  get waiting() {
    return [...this.#waiting.values()];
  }

  /** Stops listening. */
  close() {
    this.#stream.close();
    this.#setState('closed');
  }

  #hear(type, data) {
    if (type === 'call_waiting' && data?.call) this.#arrived(data);
    if (type === 'call_gone' && data?.call) this.#gone(data.call);
  }

  #arrived({ call, name, since, token }) {
    if (this.#waiting.has(call)) return;
    const incoming = {
      call,
      name: name || null,
      since,
      accept: (options = {}) => {
        this.#waiting.delete(call);
        return Causeway.join({ node: this.#options.node, ...options, token });
      },
      ignore: () => this.#gone(call),
    };
    this.#waiting.set(call, incoming);
    this.#emit('incoming', incoming);
  }

  #gone(call) {
    if (this.#waiting.delete(call)) this.#emit('gone', { call });
  }

  #refused(error) {
    this.#setState('closed');
    this.#emit('error', { error, fatal: true });
  }

  #setState(state) {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    this.#emit('state', { state });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The node's REST API: bounded in time, and its problems as `CausewayError`. */
class Api {
  #base;
  #token;

  constructor(node, token) {
    this.#base = new URL(node ?? '/', globalThis.location?.href);
    this.#token = token;
  }

  /** The host that the node is asked at, without brackets. */
  get host() {
    return this.#base.hostname.replace(/^\[|\]$/g, '');
  }

  get(path) {
    return this.send('GET', path);
  }

  post(path, body, limit) {
    return this.send('POST', path, body, { limit });
  }

  async send(method, path, body, { keepalive = false, limit: longest = REQUEST_LIMIT } = {}) {
    const abort = new AbortController();
    const limit = setTimeout(() => abort.abort(), longest);
    try {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const response = await this.open(path, { method, keepalive, headers, body: body && JSON.stringify(body), signal: abort.signal });
      const text = await response.text();
      return text ? JSON.parse(text) : null;
    } catch (error) {
      if (error instanceof CausewayError) throw error;
      const why = abort.signal.aborted ? 'The service did not answer in time.' : 'The service cannot be reached. Check your network.';
      throw new CausewayError('unreachable', why, { cause: error });
    } finally {
      clearTimeout(limit);
    }
  }

  /** The response once its status is good. */
  async open(path, { headers, ...init }) {
    const authorization = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    const response = await fetch(new URL(path, this.#base), { cache: 'no-store', credentials: 'omit', ...init, headers: { ...headers, ...authorization } });
    if (!response.ok) throw await problem(response);
    return response;
  }
}

/** Server-sent events over fetch, which unlike `EventSource` sends a token. Opens again by itself until refused or closed. */
class EventStream {
  #api;
  #path;
  #on;
  #abort = null;
  #closed = false;
  #last = null;

  constructor(api, path, on) {
    this.#api = api;
    this.#path = path;
    this.#on = on;
    this.#run();
  }

  close() {
    this.#closed = true;
    this.#abort?.abort();
  }

  async #run() {
    await null; // the owner finishes its constructor first
    let pause = RECONNECT_PAUSE.first;
    while (!this.#closed) {
      const opened = Date.now();
      try {
        await this.#once();
      } catch (error) {
        if (this.#closed) return;
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return this.#on.onrefused?.(error);
      }
      if (this.#closed) return;
      this.#on.onlost?.();
      if (Date.now() - opened > 2 * RECONNECT_PAUSE.longest) pause = RECONNECT_PAUSE.first;
      await sleep(pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, RECONNECT_PAUSE.longest);
    }
  }

  async #once() {
    this.#abort = new AbortController();
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => this.#abort.abort(), STREAM_SILENCE);
    };
    heard();
    try {
      const headers = { accept: 'text/event-stream', ...(this.#last && { 'last-event-id': this.#last }) };
      const response = await this.#api.open(this.#path, { headers, signal: this.#abort.signal });
      this.#on.onopen?.();
      await this.#read(response.body.getReader(), heard);
    } finally {
      clearTimeout(silence);
      this.#abort.abort();
    }
  }

  async #read(reader, heard) {
    const decoder = new TextDecoder();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#closed) return;
      heard();
      text += decoder.decode(value, { stream: true });
      const blocks = text.split(/\r\n\r\n|\n\n|\r\r/);
      text = blocks.pop();
      blocks.forEach((block) => this.#deliver(block));
      if (text.length > EVENT_LIMIT) throw new CausewayError('event-too-large', 'The service sent more than can be read.');
    }
  }

  #deliver(block) {
    let type = 'message';
    const data = [];
    for (const line of block.split(/\r\n|\n|\r/)) {
      const [, field, value] = /^([^:]+): ?(.*)$/.exec(line) ?? [];
      if (field === 'event') type = value;
      if (field === 'data') data.push(value);
      if (field === 'id') this.#last = value;
    }
    if (!data.length || this.#closed) return;
    this.#on.onevent(type, parse(data.join('\n')));
  }
}

/** Tracks for what is wanted, and words for what could not be had: one missing device does not cost the other. */
async function capture({ audio, video }) {
  const wanted = { audio: wish(audio, { echoCancellation: true, noiseSuppression: true, autoGainControl: true }), video: wish(video, { width: { ideal: 1280 }, height: { ideal: 720 } }) };
  const kinds = KINDS.filter((kind) => wanted[kind]);
  if (!kinds.length) return { tracks: [], errors: [] };
  if (!navigator.mediaDevices?.getUserMedia) {
    return { tracks: [], errors: [new CausewayError('insecure', 'Camera and microphone work on secure (https) pages only.')] };
  }
  try {
    return { tracks: (await navigator.mediaDevices.getUserMedia(wanted)).getTracks(), errors: [] };
  } catch (error) {
    if (kinds.length === 1) return { tracks: [], errors: [deviceError(kinds[0], error)] };
  }
  const tracks = [];
  const errors = [];
  for (const kind of kinds) {
    const one = await capture({ audio: false, video: false, [kind]: wanted[kind] });
    tracks.push(...one.tracks);
    errors.push(...one.errors);
  }
  return { tracks, errors };
}

function wish(asked, usual) {
  if (!asked || asked === 'receive') return false;
  return asked === true ? usual : asked;
}

function withDevice(asked, id) {
  return { ...(typeof asked === 'object' ? asked : {}), deviceId: { exact: id } };
}

function deviceError(kind, error) {
  const device = deviceName(kind);
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return new CausewayError(`${device}-denied`, `This page may not use the ${device}. Allow it in the browser’s settings to be ${kind === 'audio' ? 'heard' : 'seen'}.`, { cause: error });
    case 'NotFoundError':
    case 'OverconstrainedError':
      return new CausewayError(`${device}-missing`, `No ${device} was found.`, { cause: error });
    case 'NotReadableError':
    case 'AbortError':
      return new CausewayError(`${device}-busy`, `The ${device} is in use by another program or does not start.`, { cause: error });
    default:
      return new CausewayError(`${device}-failed`, `The ${device} cannot be used: ${error?.message ?? 'unknown reason'}`, { cause: error });
  }
}

/** Leaves of a line's codecs those that can come. A browser that cannot choose offers all. */
function narrow(transceiver, kind) {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.(kind)?.codecs ?? [];
  const wanted = codecs.filter(({ mimeType }) => FORWARDED.includes(mimeType.toLowerCase()));
  if (wanted.length) transceiver.setCodecPreferences?.(wanted);
}

function deviceName(kind) {
  return kind === 'audio' ? 'microphone' : 'camera';
}

function canChooseSpeaker() {
  return 'setSinkId' in (globalThis.HTMLMediaElement?.prototype ?? {});
}

/** The claims of a join token. Only the node can tell whether they are true. */
function readToken(token) {
  try {
    const [, payload] = token.split('.');
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims.call === 'string' && claims.call) return claims;
  } catch {
    // the words below say it better
  }
  throw new CausewayError('bad-token', 'This link does not lead to a call. Ask for a new one.');
}

async function problem(response) {
  const body = parse(await response.text().catch(() => '')) ?? {};
  const code = String(body.type ?? '').split(':').pop() || `http-${response.status}`;
  return new CausewayError(code, body.detail || body.title || `The service answered with status ${response.status}.`, { status: response.status, at: body.at });
}

function asError(error, code) {
  return error instanceof CausewayError ? error : new CausewayError(code, error?.message ?? String(error), { cause: error });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function listen(target, types, options) {
  for (const type of types) {
    const listener = options[`on${type}`];
    if (typeof listener === 'function') target.addEventListener(type, listener);
  }
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What is probably meant if the node says that its media is at an address other than the one that this page came from. */
function announcedElsewhere(sdp, host) {
  const addresses = [...sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) /gm)].map((line) => line[1]);
  const literal = /^[\d.]+$|:/.test(host);
  const near = (address) => /^(127\.|10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|::1$|f[cd]|fe80)/i.test(address);
  if (addresses.length === 0 || addresses.includes(host) || host === 'localhost') return null;
  if (!(literal || addresses.every(near))) return null;
  const meant = literal ? `announce = "${host}"` : 'the public address in announce';
  return `The service says that its media is at ${addresses.join(' and ')}, but this page came from ${host}. Behind a 1-to-1 NAT its configuration needs ${meant}.`;
}

/** One `getStats` report as the few numbers that a person or a test asks for. */
function digest(report, receives = []) {
  const all = [...report.values()];
  const codec = (id) => report.get(id)?.mimeType?.split('/')[1] ?? null;
  const out = { at: Date.now(), rtt: null, available: null, path: null, sent: {}, received: {}, lines: [], layers: [] };
  for (const stats of all) {
    if (stats.type === 'inbound-rtp') {
      const { mid = null, kind } = stats;
      out.lines.push({ mid, kind, leg: receives.find((line) => line.mid === mid)?.from ?? null, ...inbound(stats, codec(stats.codecId)) });
    }
    if (stats.type === 'outbound-rtp') {
      const sent = outbound(stats, report.get(stats.remoteId), codec(stats.codecId));
      if (stats.rid) out.layers.push({ rid: stats.rid, active: stats.active ?? null, ...sent });
      out.sent[stats.kind] = out.sent[stats.kind] && stats.rid ? together(out.sent[stats.kind], sent) : sent;
    }
  }
  // Of several lines the first of a kind stands for what a call of two receives.
  const place = ({ mid }) => (receives.findIndex((line) => line.mid === mid) + 1 || receives.length + 1);
  out.lines.sort((a, b) => place(a) - place(b));
  for (const { mid, kind, leg, ...line } of out.lines) out.received[kind] ??= line;
  const transport = all.find((stats) => stats.type === 'transport' && stats.selectedCandidatePairId);
  const pair = report.get(transport?.selectedCandidatePairId) ?? all.find((stats) => stats.type === 'candidate-pair' && stats.nominated && stats.state === 'succeeded');
  if (pair) {
    out.path = { local: endpoint(report.get(pair.localCandidateId)), remote: endpoint(report.get(pair.remoteCandidateId)), dtls: transport?.tlsVersion ?? null, srtp: transport?.srtpCipher ?? null };
    out.rtt = pair.currentRoundTripTime ?? null;
    out.available = pair.availableOutgoingBitrate ?? null;
  }
  out.rtt ??= out.sent.audio?.rtt ?? out.sent.video?.rtt ?? null;
  return out;
}

/** The candidate pairs of a `getStats` report as the node takes them. Own addresses stay here. */
function candidatePairs(report) {
  const all = [...report.values()];
  const selected = all.find((stats) => stats.type === 'transport')?.selectedCandidatePairId;
  return all
    .filter((stats) => stats.type === 'candidate-pair')
    .slice(0, REPORT_PAIRS)
    .map((pair) => {
      const far = report.get(pair.remoteCandidateId);
      const address = far?.address ?? far?.ip;
      return {
        state: pair.state ?? 'unknown',
        selected: pair.id === selected,
        local: report.get(pair.localCandidateId)?.candidateType ?? 'unknown',
        ...(address && { remote: address.includes(':') ? `[${address}]:${far.port}` : `${address}:${far.port}` }),
        sent: pair.requestsSent ?? 0,
        answered: pair.responsesReceived ?? 0,
      };
    });
}

function inbound(stats, codec) {
  return {
    codec,
    packets: stats.packetsReceived ?? 0,
    bytes: stats.bytesReceived ?? 0,
    lost: stats.packetsLost ?? 0,
    loss: null,
    jitter: stats.jitter ?? null,
    bitrate: null,
    ...(stats.kind === 'video' && {
      fps: stats.framesPerSecond ?? null,
      width: stats.frameWidth ?? null,
      height: stats.frameHeight ?? null,
      framesDecoded: stats.framesDecoded ?? 0,
      framesDropped: stats.framesDropped ?? 0,
      freezes: stats.freezeCount ?? 0,
      plis: stats.pliCount ?? 0,
      nacks: stats.nackCount ?? 0,
    }),
  };
}

function outbound(stats, far, codec) {
  return {
    codec,
    packets: stats.packetsSent ?? 0,
    bytes: stats.bytesSent ?? 0,
    lost: far?.packetsLost ?? 0,
    loss: far?.fractionLost ?? null,
    jitter: far?.jitter ?? null,
    rtt: far?.roundTripTime ?? null,
    bitrate: null,
    ...(stats.kind === 'video' && {
      fps: stats.framesPerSecond ?? null,
      width: stats.frameWidth ?? null,
      height: stats.frameHeight ?? null,
      framesEncoded: stats.framesEncoded ?? 0,
      keyFrames: stats.keyFramesEncoded ?? 0,
      plis: stats.pliCount ?? 0,
      nacks: stats.nackCount ?? 0,
      limitedBy: stats.qualityLimitationReason ?? null,
    }),
  };
}

/** Two layers of one picture as one: the larger one's, with the packets and bytes of both. */
function together(one, other) {
  const large = (other.width ?? 0) > (one.width ?? 0) ? other : one;
  const sum = (what) => (one[what] ?? 0) + (other[what] ?? 0);
  return { ...large, packets: sum('packets'), bytes: sum('bytes'), lost: sum('lost'), plis: sum('plis'), nacks: sum('nacks'), keyFrames: sum('keyFrames') };
}

function endpoint(candidate) {
  if (!candidate) return null;
  const { candidateType, protocol, address, port, relayProtocol, tcpType } = candidate;
  return { type: candidateType, protocol, address: address ?? null, port: port ?? null, relayProtocol: relayProtocol ?? null, tcpType: tcpType ?? null };
}

function addRates(old, now) {
  const seconds = (now.at - old.at) / 1000;
  if (seconds <= 0) return;
  for (const [list, key] of [['lines', 'mid'], ['layers', 'rid']]) {
    for (const after of now[list]) {
      const before = old[list].find((one) => one[key] === after[key] && one.kind === after.kind);
      if (before && after.bytes >= before.bytes) after.bitrate = Math.round(((after.bytes - before.bytes) * 8) / seconds);
    }
  }
  for (const way of ['sent', 'received']) {
    for (const kind of KINDS) {
      const [before, after] = [old[way][kind], now[way][kind]];
      if (!before || !after || after.bytes < before.bytes) continue;
      after.bitrate = Math.round(((after.bytes - before.bytes) * 8) / seconds);
      if (way === 'received') {
        const lost = Math.max(0, after.lost - before.lost);
        const expected = after.packets - before.packets + lost;
        after.loss = expected > 0 ? lost / expected : 0;
      }
    }
  }
}
