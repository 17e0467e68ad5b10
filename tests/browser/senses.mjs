/** What a page looks and listens with. Functions that run in the page: they reach nothing outside of themselves. */

/** Run in the page: makes `globalThis.senses`. */
export function senses() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
  const drawing = canvas.getContext('2d', { willReadFrequently: true });

  /** The mean colour of what a video shows. */
  const colour = (video) => {
    drawing.drawImage(video, 0, 0, canvas.width, canvas.height);
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    const mean = [0, 1, 2].map((channel) => data.reduce((sum, value, index) => (index % 4 === channel ? sum + value : sum), 0) / (data.length / 4));
    const [red, green, blue] = mean;
    const [most, least] = [Math.max(...mean), Math.min(...mean)];
    const span = most - least || 1;
    const sixth = most === red ? (green - blue) / span : most === green ? 2 + (blue - red) / span : 4 + (red - green) / span;
    return { hue: Math.round((sixth * 60 + 360) % 360), saturation: most ? +((most - least) / most).toFixed(2) : 0, brightness: Math.round(most) };
  };

  /** A recording of tracks, null without any. An AudioContext never starts in Firefox where no sound card is, so sound is looked at afterwards. */
  const record = (tracks) => {
    if (!tracks.length) return null;
    const parts = [];
    const recorder = new MediaRecorder(new MediaStream(tracks));
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const stop = async () => {
      if (recorder.state === 'inactive') return null;
      const stopped = new Promise((resolve) => {
        recorder.onstop = resolve;
        setTimeout(resolve, 5000);
      });
      recorder.stop();
      await stopped;
      const bytes = await new Blob(parts).arrayBuffer();
      return new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes).catch(() => null);
    };
    return { start: () => recorder.start(), stop };
  };

  /** The strongest frequency of the loudest stretch, by Goertzel's filter. */
  const tone = (sound) => {
    const samples = sound?.getChannelData(0) ?? [];
    const length = 9600;
    let [start, most] = [0, 0];
    for (let at = 0; at + length <= samples.length; at += length / 4) {
      let energy = 0;
      for (let index = at; index < at + length; index++) energy += samples[index] ** 2;
      if (energy > most) [start, most] = [at, energy];
    }
    const best = { hertz: 0 };
    let strongest = 0;
    for (let hertz = 100; most > 0 && hertz <= 4000; hertz += 2) {
      const turn = 2 * Math.cos((2 * Math.PI * hertz) / sound.sampleRate);
      let [one, two] = [0, 0];
      for (let index = start; index < start + length; index++) [one, two] = [samples[index] + turn * one - two, one];
      const power = one * one + two * two - turn * one * two;
      if (power > strongest) [strongest, best.hertz] = [power, hertz];
    }
    const decibel = Math.round(20 * Math.log10((2 * Math.sqrt(strongest)) / length));
    return decibel > -120 ? { ...best, decibel } : { hertz: 0, decibel: null };
  };

  /** What pictures have in common: `steady` is 1 if all have one hue. */
  const picture = (video, pictures) => {
    const angle = (part) => pictures.reduce((sum, { hue }) => sum + part((hue * Math.PI) / 180), 0) / (pictures.length || 1);
    const [x, y] = [angle(Math.cos), angle(Math.sin)];
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      hue: pictures.length ? Math.round(((Math.atan2(y, x) * 180) / Math.PI + 360) % 360) : null,
      steady: +Math.hypot(x, y).toFixed(3),
      saturation: pictures.length ? +(pictures.reduce((sum, one) => sum + one.saturation, 0) / pictures.length).toFixed(2) : null,
      hues: pictures.map(({ hue }) => hue),
    };
  };

  globalThis.senses = { colour, record, tone, picture };
}

/** Run in the page: what is seen and heard of each other leg in some seconds, by its role. */
export async function observeStreams(seconds) {
  const { colour, record, tone, picture } = globalThis.senses;
  const { call } = globalThis.causeway;
  const others = call.streams.map(({ leg, role, stream }) => ({
    leg,
    role,
    video: document.querySelector(`.tile[data-leg="${leg}"] video`) ?? document.getElementById('remote'),
    recording: record(stream.getAudioTracks()),
    pictures: [],
  }));
  const lines = async (leg) => (await call.stats({ node: false })).lines.filter((line) => line.leg === leg);
  const decoded = async (leg) => (await lines(leg)).find(({ kind }) => kind === 'video')?.framesDecoded ?? 0;
  for (const other of others) other.before = await decoded(other.leg);
  for (const { recording } of others) recording?.start();
  const started = performance.now();
  while (performance.now() - started < seconds * 1000) {
    for (const { video, pictures } of others) if (video.videoWidth) pictures.push(colour(video));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const lasted = (performance.now() - started) / 1000;
  const found = {};
  for (const { leg, role, video, recording, pictures, before } of others) {
    const frames = (await decoded(leg)) - before;
    found[role] = { leg, picture: picture(video, pictures), sound: tone(await recording?.stop()), frames: { decoded: frames, perSecond: +(frames / lasted).toFixed(1) } };
  }
  return found;
}
