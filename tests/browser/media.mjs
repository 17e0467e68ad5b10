/** What a side shows and sounds like, made by ffmpeg: one colour with a bar that moves, and one tone that beeps. */

import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** Milliseconds that ffmpeg may take. */
const LIMIT = 20_000;

/**
 * Writes `picture.y4m` and `sound.wav` into a folder and returns their paths. `hue` in degrees, `tone` in hertz; `grain` from 0 to 100 is what
 * a plain colour lacks, so that its video takes as much bandwidth as it gets.
 */
export async function makeMedia(folder, { hue, tone, grain = 0, size = '640x480', fps = 15, seconds = 2 }) {
  const [picture, sound] = [join(folder, 'picture.y4m'), join(folder, 'sound.wav')];
  const [width, height] = size.split('x').map(Number);
  const bar = `color=c=black:s=${Math.round(width / 16)}x${height}:r=${fps}`;
  const noise = grain ? `,noise=alls=${grain}:allf=t` : '';
  const filter = `color=c=${colour(hue)}:s=${size}:r=${fps}${noise}[ground];${bar}[bar];[ground][bar]overlay=x='mod(t*${width / seconds},${width})',format=yuv420p`;
  // A steady tone is noise to a browser's noise suppression; a beep is not.
  const beep = `aevalsrc='0.5*sin(2*PI*${tone}*t)*lt(mod(t,0.5),0.35)':s=48000`;
  await Promise.all([
    ffmpeg('-filter_complex', filter, '-t', String(seconds), picture),
    ffmpeg('-f', 'lavfi', '-i', beep, '-t', String(seconds), '-ac', '1', sound),
  ]);
  return { picture, sound };
}

/** Full colour of a hue, as ffmpeg writes it. */
function colour(hue) {
  const part = (shift) => {
    const k = (shift + hue / 30) % 12;
    const value = 0.5 - 0.5 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(value * 255).toString(16).padStart(2, '0');
  };
  return `0x${part(0)}${part(8)}${part(4)}`;
}

function ffmpeg(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn('ffmpeg', ['-nostdin', '-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'pipe'], timeout: LIMIT });
    let words = '';
    child.stderr.on('data', (chunk) => (words += chunk));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`ffmpeg ended with ${code}: ${words.trim()}`))));
  });
}
