/** Types of `causeway.js`: joins calls on a causeway node, and takes them off its desk. */

export type Kind = 'audio' | 'video';
export type DeviceKind = 'microphone' | 'camera' | 'speaker';

/** `interrupted`: the path broke and is being looked for again. */
export type CallState = 'new' | 'preparing' | 'joining' | 'connecting' | 'connected' | 'interrupted' | 'ended';

/** Why a call is over: `failed` comes with an error, `left` is our own doing, the rest are the node's words. */
export type EndReason =
  | 'left'
  | 'failed'
  | 'call_ended'
  | 'fingerprint_mismatch'
  | 'dtls_failed'
  | 'join_timeout'
  | 'consent_lost'
  | 'closed'
  | 'engine_refused'
  | 'media_timeout'
  | 'final_timeout';

/** What is done with a kind: send and receive (with constraints), only receive, or leave it out. */
export type MediaWish = boolean | 'receive' | MediaTrackConstraints;

export interface JoinOptions extends CallListeners {
  /** The join token; names the call and the role. */
  token: string;
  /** Default true. */
  audio?: MediaWish;
  /** Default true. */
  video?: MediaWish;
  /** Sends the camera in three sizes, of which each receiver gets the one that fits it; not with `nodeOffers`. Default false. */
  simulcast?: boolean;
  /** Sends these tracks and asks for no device. The caller keeps and stops them. */
  stream?: MediaStream;
  /** Default the node's own TURN server over TCP and TLS, where it has one. */
  iceServers?: RTCIceServer[];
  /** As of `RTCPeerConnection`: `relay` goes through TURN alone. Default `all`. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /** The node's origin; default the page's own. */
  node?: string | URL;
  /** Lets the node offer and this side answer. Default false. */
  nodeOffers?: boolean;
  /** Milliseconds between `stats` events; 0 for none. Default 2000. */
  statsInterval?: number;
}

/** A leg as the node sees it. */
export interface Peer {
  id: string;
  role: string;
  state: 'offered' | 'connecting' | 'connected' | 'ended';
  held: boolean;
  ended: Exclude<EndReason, 'failed'> | null;
  security: string | null;
  remote: string | null;
}

/** What comes from another leg. */
export interface RemoteStream {
  leg: string;
  role: string;
  stream: MediaStream;
  /** Its picture, null without one. */
  video: RemoteVideo | null;
}

export interface RemoteVideo {
  /** The simulcast layers that the leg sends, in its order; empty without simulcast. */
  layers: string[];
  /** The layer that comes now, once one does. */
  layer?: string | null;
  /** What was asked for: `auto` or one of `layers`. */
  asked?: string;
  paused?: boolean;
}

export interface CallEventDetails {
  state: { state: CallState; before: CallState };
  /** What is sent has changed; `track` is null where nothing is sent of the kind any more. */
  localtrack: { kind: Kind; track: MediaStreamTrack | null; stream: MediaStream };
  /** What is received of the first of the other legs: all there is in a call of two. */
  remotetrack: { kind: Kind; track: MediaStreamTrack; stream: MediaStream };
  /** Another leg's stream is there, or has other tracks. */
  stream: RemoteStream;
  /** Nothing comes from another leg any more. */
  streamended: { leg: string; role: string };
  /** Another simulcast layer comes from a leg, or was asked for. */
  layer: { leg: string; kind: Kind; layers: string[]; layer: string | null; asked: string; paused: boolean };
  /** Another leg speaks; null when the one that spoke has left. */
  speaker: { leg: string | null; role: string | null };
  peer: { change: 'joined' | 'connected' | 'held' | 'resumed' | 'left'; peer: Peer };
  /** This side has held or resumed the call. */
  hold: { held: boolean };
  mute: { kind: Kind; muted: boolean };
  /** Without the node's numbers; ask `stats()` for them. */
  stats: CallStats;
  /** A digit is being sent. */
  dtmf: { tone: string };
  /** Devices came or went. */
  devices: Record<string, never>;
  /** `fatal`: the call is over by it, and `ended` follows. */
  error: { error: CausewayError; fatal: boolean };
  ended: { reason: EndReason; message: string; error: CausewayError | null };
}

export type CallEvents = { [T in keyof CallEventDetails]: CustomEvent<CallEventDetails[T]> };
export type CallListeners = { [T in keyof CallEvents as `on${T}`]?: (event: CallEvents[T]) => void };

export interface ReceivedStats {
  codec: string | null;
  packets: number;
  bytes: number;
  /** Packets since the start. */
  lost: number;
  /** Share of packets lost since the last numbers, 0 to 1. */
  loss: number | null;
  /** Seconds. */
  jitter: number | null;
  /** Bits per second since the last numbers. */
  bitrate: number | null;
}

export interface ReceivedVideoStats extends ReceivedStats {
  fps: number | null;
  width: number | null;
  height: number | null;
  framesDecoded: number;
  framesDropped: number;
  freezes: number;
  plis: number;
  nacks: number;
}

export interface SentStats extends ReceivedStats {
  /** Seconds, as the far side reports it. */
  rtt: number | null;
}

export interface SentVideoStats extends SentStats {
  fps: number | null;
  width: number | null;
  height: number | null;
  framesEncoded: number;
  keyFrames: number;
  plis: number;
  nacks: number;
  limitedBy: string | null;
}

export interface Endpoint {
  type: RTCIceCandidateType;
  protocol: string;
  address: string | null;
  port: number | null;
  /** How a relayed endpoint reaches its relay: `udp`, `tcp` or `tls`. */
  relayProtocol: string | null;
  /** Who opened the connection of an endpoint over TCP: `active` or `passive`. */
  tcpType: string | null;
}

export interface CallStats {
  /** Milliseconds since 1970. */
  at: number;
  /** Round trip to the node in seconds. */
  rtt: number | null;
  /** Bits per second that the browser thinks it could send. */
  available: number | null;
  /** Milliseconds from joining, devices at hand, to connected media; null before. */
  connectedAfter: number | null;
  path: { local: Endpoint | null; remote: Endpoint | null; dtls: string | null; srtp: string | null } | null;
  /** Of several layers the largest one's numbers, with the packets and bytes of all. */
  sent: { audio?: SentStats; video?: SentVideoStats };
  /** Of several lines the first of each kind. */
  received: { audio?: ReceivedStats; video?: ReceivedVideoStats };
  /** All lines that are received, with the leg that each comes from. */
  lines: ((ReceivedStats | ReceivedVideoStats) & { mid: string | null; kind: Kind; leg: string | null })[];
  /** The simulcast layers that are sent. */
  layers: (SentVideoStats & { rid: string; active: boolean | null })[];
}

export interface NodeMediaStats {
  kind: Kind;
  ssrc: number;
  packets: number;
  bytes: number;
  rtx_packets: number;
  lost: number;
  jitter: number;
  nacks: number;
  plis: number;
}

export interface NodeLatency {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  packets: number;
}

/** The call as the node measures it. */
export interface NodeStats {
  call: string;
  legs: {
    leg: string;
    role: string;
    received: NodeMediaStats[];
    sent: NodeMediaStats[];
    drops: Record<string, number>;
    latency_us: NodeLatency;
  }[];
  latency_us: NodeLatency;
}

/** What is wrong with one leg or with the call, and what to do about it. */
export interface Finding {
  leg: string | null;
  role: string | null;
  /** In one word, such as `fine`, `waiting` or `no_checks`. */
  verdict: string;
  what: string;
  advice: string | null;
}

/** Something that happened in a call. */
export interface Moment {
  /** Milliseconds since 1970. */
  at_ms: number;
  /** Milliseconds since the call began, the first time and the last. */
  since_ms: number;
  last_ms: number;
  times: number;
  leg: string | null;
  role: string | null;
  topic: string;
  gravity: 'good' | 'plain' | 'bad';
  text: string;
}

/** Why a call works or does not. */
export interface Why {
  call: string;
  name: string | null;
  state: 'waiting' | 'active' | 'ended';
  ended: string | null;
  began_ms: number;
  summary: Finding[];
  timeline: Moment[];
  left_out: number;
}

export interface Device {
  id: string;
  label: string;
}

export interface Devices {
  microphones: Device[];
  cameras: Device[];
  /** Empty where the browser does not let a page choose. */
  speakers: Device[];
}

export class Causeway {
  /** Joins the call that the join token names. Returns at once; `call.joined` and the events tell the rest. */
  static join(options: JoinOptions): Call;
  /** Labels are empty until the page was allowed to use a device. */
  static listDevices(): Promise<Devices>;
}

/** `code` is for programs (the last part of the problem's type where the node refused), `message` for people. */
export class CausewayError extends Error {
  constructor(code: string, message: string, more?: { status?: number; at?: string; cause?: unknown });
  readonly code: string;
  /** The HTTP status, if the node refused. */
  readonly status?: number;
  /** The line or field at fault, if the node named one. */
  readonly at?: string;
}

export class Call extends EventTarget {
  constructor(options: JoinOptions);
  readonly id: string;
  readonly name: string | null;
  readonly role: string;
  readonly leg: string | null;
  readonly state: CallState;
  readonly held: boolean;
  readonly local: MediaStream;
  readonly remote: MediaStream;
  /** The device; who speaks is `activeSpeaker`. */
  readonly speaker: string;
  /** The id of the leg that speaks or spoke last; may be the own. */
  readonly activeSpeaker: string | null;
  readonly peers: Peer[];
  /** What is received of each other leg. Lines for all of them are negotiated by themselves. */
  readonly streams: RemoteStream[];
  /** For what this class does not do; null before joining. */
  readonly connection: RTCPeerConnection | null;
  /** Resolves when the node has answered; rejects with a `CausewayError`. */
  readonly joined: Promise<void>;

  /** Asks for a simulcast layer of another leg (`auto` by default), or for nothing of it for now. It holds until that leg leaves. */
  receive(leg: string, wish?: { kind?: Kind; layer?: string; paused?: boolean }): Promise<void>;
  isMuted(kind: Kind): boolean;
  mute(kind: Kind): void;
  /** Asks for the device if there is none yet. */
  unmute(kind: Kind): Promise<void>;
  hold(): Promise<void>;
  /**
   * Looks for a new path through the network (an ICE restart); media goes on meanwhile. Done by itself where the network is
   * seen to change. Rejects if the node could not be asked.
   */
  renew(): Promise<void>;
  resume(): Promise<void>;
  /** Digits 0-9, *, #, A-D; a comma pauses. Times in milliseconds. */
  sendDtmf(digits: string, times?: { duration?: number; gap?: number }): void;
  /** The caller keeps the track and stops it. */
  replaceTrack(kind: Kind, track: MediaStreamTrack | null): Promise<void>;
  listDevices(): Promise<Devices>;
  device(kind: DeviceKind): string;
  selectDevice(kind: DeviceKind, id: string): Promise<void>;
  /** Plays what is received: in a call of two, or of one leg. */
  attach(element: HTMLMediaElement, leg?: string | null): void;
  detach(element: HTMLMediaElement): void;
  /** Starts elements that the browser kept silent; call it from a click. */
  play(): void;
  stats(options?: { node?: true }): Promise<CallStats & { node: NodeStats | null }>;
  stats(options: { node: boolean }): Promise<CallStats & { node: NodeStats | null }>;
  /** Why the call works or does not, as the node sees it; some minutes after its end still. */
  why(): Promise<Why>;
  leave(): Promise<void>;

  addEventListener<T extends keyof CallEvents>(type: T, listener: (event: CallEvents[T]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<T extends keyof CallEvents>(type: T, listener: (event: CallEvents[T]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** A call that waits at the desk. */
export interface Incoming {
  readonly call: string;
  readonly name: string | null;
  /** When it began to wait, as the node writes it. */
  readonly since: number;
  /** Joins it with the token that came along. */
  accept(options?: Partial<Omit<JoinOptions, 'token'>>): Call;
  /** Hides it here; it goes on waiting for others. */
  ignore(): void;
}

export interface DeskEventDetails {
  state: { state: DeskState };
  incoming: Incoming;
  /** The call was taken, given up or ignored. */
  gone: { call: string };
  error: { error: CausewayError; fatal: boolean };
}

export type DeskState = 'opening' | 'open' | 'reconnecting' | 'closed';
export type DeskEvents = { [T in keyof DeskEventDetails]: CustomEvent<DeskEventDetails[T]> };
export type DeskListeners = { [T in keyof DeskEvents as `on${T}`]?: (event: DeskEvents[T]) => void };

export interface DeskOptions extends DeskListeners {
  /** An API token, where the desk asks for one. */
  token?: string;
  /** The node's origin; default the page's own. */
  node?: string | URL;
}

export class Desk extends EventTarget {
  constructor(options?: DeskOptions);
  /** Opens a call that waits at the desk; join it with the token. */
  static request(options?: { name?: string; node?: string | URL; token?: string }): Promise<{ call: string; token: string }>;
  readonly state: DeskState;
  readonly waiting: Incoming[];
  close(): void;

  addEventListener<T extends keyof DeskEvents>(type: T, listener: (event: DeskEvents[T]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<T extends keyof DeskEvents>(type: T, listener: (event: DeskEvents[T]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}
