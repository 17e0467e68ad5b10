/** Starts headless Firefox with its own fake devices: a picture that runs through the hues, and a tone of a given frequency. */

import puppeteer from 'puppeteer-core';

const LIMIT = 60_000;

/** `tone` in hertz, or null for a machine without devices; `profile` is an empty folder. */
export function launchFirefox({ tone, profile }) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    acceptInsecureCerts: true,
    userDataDir: profile,
    timeout: LIMIT,
    extraPrefsFirefox: {
      'media.navigator.streams.fake': tone !== null,
      'media.navigator.audio.fake_frequency': tone ?? 0,
      'media.navigator.permission.disabled': true,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.peerconnection.ice.loopback': true,
      'media.peerconnection.ice.default_address_only': false,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
      'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false,
      'media.gmp-manager.updateEnabled': false,
    },
  });
}
