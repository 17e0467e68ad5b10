/** What the connections of a page may use of what they are offered, and when they connected. Runs in the page before anything else. */

/**
 * Run in the page. `policy` is an `iceTransportPolicy`; `config` stands in place of what the connection is made with; `without` lists transports (`udp`, `tcp`) whose remote candidates are never seen;
 * `servers` is a regular expression for the URLs of ICE servers that are kept. What happened stands in `globalThis.narrowed`, an entry for each
 * connection: `began` and `connected` in milliseconds, the `servers` that were offered, the remote `candidates`, what was `gathered`, and `errors`.
 */
export function narrow({ policy = null, config: instead = {}, without = [], servers = '' }) {
  const Original = globalThis.RTCPeerConnection;
  const kept = new RegExp(servers);
  const fits = (line) => !without.includes(line.split(' ')[2]?.toLowerCase());
  globalThis.narrowed = [];

  const narrowed = (config, own) => {
    const list = (instead.iceServers ?? config?.iceServers ?? []).map((server) => ({ ...server, urls: [server.urls].flat() }));
    own.servers = list.flatMap(({ urls }) => urls);
    const left = list.map((server) => ({ ...server, urls: server.urls.filter((url) => kept.test(url)) })).filter(({ urls }) => urls.length);
    return { ...config, ...instead, iceServers: left, ...(policy && { iceTransportPolicy: policy }) };
  };
  const chosen = (sdp, own) => {
    const lines = sdp.split('\r\n');
    const isCandidate = (line) => line.startsWith('a=candidate:');
    own.candidates.push(...lines.filter(isCandidate).map((line) => line.slice(2)));
    return lines.filter((line) => !isCandidate(line) || fits(line)).join('\r\n');
  };

  globalThis.RTCPeerConnection = class extends Original {
    #own;

    constructor(config) {
      const own = { began: performance.now(), connected: null, servers: [], candidates: [], gathered: [], errors: [] };
      super(narrowed(config, own));
      this.#own = own;
      globalThis.narrowed.push(own);
      this.addEventListener('icecandidate', ({ candidate }) => candidate?.candidate && own.gathered.push(candidate.candidate));
      this.addEventListener('icecandidateerror', ({ url, errorCode, errorText }) => own.errors.push(`${url} ${errorCode} ${errorText}`));
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'connected') own.connected ??= performance.now();
      });
    }

    setConfiguration(config) {
      super.setConfiguration(narrowed(config, this.#own));
    }

    setRemoteDescription({ type, sdp }) {
      return super.setRemoteDescription({ type, sdp: sdp && chosen(sdp, this.#own) });
    }

    async addIceCandidate(candidate) {
      const line = candidate?.candidate ?? '';
      if (line) this.#own.candidates.push(line);
      if (!line || fits(line)) await super.addIceCandidate(candidate);
    }
  };
}

/** Run in the page: the pair that media takes, as the browser tells it, and how long the connection took. */
export async function path() {
  const report = await causeway.call.connection.getStats();
  const all = [...report.values()];
  const transport = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId);
  const pair = report.get(transport?.selectedCandidatePairId);
  const end = (id) => {
    const { candidateType: type, protocol, address, port, relayProtocol = null, tcpType = null, url = null } = report.get(id) ?? {};
    return { type, protocol, address, port, relayProtocol, tcpType, url };
  };
  const { began, connected, servers, candidates, gathered, errors } = globalThis.narrowed.at(-1);
  const ms = connected === null ? null : Math.round(connected - began);
  return { pair: pair ? { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId) } : null, connected: ms, servers, candidates: [...new Set(candidates)], gathered, errors };
}
