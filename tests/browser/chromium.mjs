/** Starts headless Chromium whose camera and microphone play files. */

import puppeteer from 'puppeteer-core';

const LIMIT = 30_000;

/** `media` has `picture` and `sound`, or is null for a machine without devices; `profile` is an empty folder; `args` are more flags. */
export function launchChromium({ media, profile, args = [] }) {
  return puppeteer.launch({
    browser: 'chrome',
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    pipe: true,
    acceptInsecureCerts: true,
    userDataDir: profile,
    timeout: LIMIT,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-background-timer-throttling',
      '--disable-renderer-backgrounding',
      '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required',
      '--use-fake-ui-for-media-stream',
      ...(media ? ['--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${media.picture}`, `--use-file-for-fake-audio-capture=${media.sound}`] : []),
      ...args,
    ],
  });
}
