//! What load is wanted.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use causeway_control::api::Media;

use crate::payload;

/// Calls of one run at a time, most.
pub const CALLS_MAX: usize = 20_000;
/// Bytes of a payload, most: what browsers put into a packet.
pub const PAYLOAD_MAX: usize = 1150;

/// Ticks of opus's RTP clock per second (RFC 7587 §4.1).
pub const OPUS_CLOCK: u32 = 48_000;
/// Ticks of G.711's (RFC 3551 §6).
pub const G711_CLOCK: u32 = 8_000;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Calls at a time.
    pub calls: usize,
    /// New calls per second while the calls are built up.
    pub ramp: f64,
    /// How long all calls stand.
    pub duration: Duration,
    /// Calls per second that are ended and replaced meanwhile.
    pub churn: f64,
    /// What the calls carry.
    pub mix: Mix,
    /// Whether the m-lines of a leg share a transport (RFC 8843), as those of browsers do.
    pub bundled: bool,
    /// Bytes of an audio payload.
    pub audio_bytes: usize,
    /// Time between two packets of audio.
    pub audio_every: Duration,
    /// Ticks of audio's RTP clock per second.
    pub audio_clock: u32,
    /// What a leg's video is like.
    pub video: Video,
    /// Stations.
    pub threads: usize,
    /// The cores that stations are pinned to, in turn; none leaves them to the kernel.
    pub pin: Vec<usize>,
    /// The address that legs bind their sockets to.
    pub bind: IpAddr,
    /// Share of packets that may be lost in a clean run.
    pub allow_loss: f64,
    /// Packets that are due within this time leave together.
    pub tick: Duration,
}

/// Shorter ticks are spun away: a sleep and a wake take as long.
pub const SLEEP_MIN: Duration = Duration::from_micros(200);

/// A leg's video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Video {
    /// Frames per second.
    pub fps: u32,
    /// Payload bits per second, in thousands.
    pub kbps: u32,
}

/// What a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Audio both ways.
    Audio,
    /// Audio and video both ways.
    Video,
}

impl Kind {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// The m-lines of its calls.
    pub fn media(self) -> &'static [Media] {
        match self {
            Self::Audio => &[Media::Audio],
            Self::Video => &[Media::Audio, Media::Video],
        }
    }
}

/// How calls are shared out among the kinds, such as `audio=80,video=20`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(Kind, u32)>);

impl Mix {
    /// Deals the kinds out, as evenly as their shares allow from the first call on.
    pub fn deal(&self) -> Deal {
        Deal { credits: self.0.iter().map(|&(kind, share)| (kind, share, 0)).collect() }
    }

    /// The m-lines of a call, most.
    fn lines(&self) -> usize {
        self.0.iter().map(|(kind, _)| kind.media().len()).max().unwrap_or_default()
    }
}

impl FromStr for Mix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut shares: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let kind = match name.trim() {
                "audio" => Kind::Audio,
                "video" => Kind::Video,
                _ => return Err("the kinds of calls are audio and video"),
            };
            let share = share.trim().parse().ok().filter(|share| (1..=10_000).contains(share));
            let share = share.ok_or("a share is a number from 1 to 10000")?;
            if shares.iter().any(|&(known, _)| known == kind) {
                return Err("a kind is named twice");
            }
            shares.push((kind, share));
        }
        Ok(Self(shares))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = self.0.iter().map(|(kind, share)| format!("{}={share}", kind.name()));
        f.write_str(&shares.collect::<Vec<_>>().join(","))
    }
}

/// Says what kind each call is.
#[derive(Debug)]
pub struct Deal {
    credits: Vec<(Kind, u32, i64)>,
}

impl Deal {
    /// The next call's kind: the one that is furthest behind its share.
    ///
    /// # Panics
    /// Never: a mix has a kind.
    pub fn kind(&mut self) -> Kind {
        let total: i64 = self.credits.iter().map(|(_, share, _)| i64::from(*share)).sum();
        for (_, share, credit) in &mut self.credits {
            *credit += i64::from(*share);
        }
        let richest = self.credits.iter_mut().max_by_key(|(_, _, credit)| *credit);
        let (kind, _, credit) = richest.expect("a mix has a kind");
        *credit -= total;
        *kind
    }
}

/// A stream of packets that one leg sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// What it is.
    pub media: Media,
    /// Time between two bursts.
    pub every: Duration,
    /// Packets of a burst: the packets of one frame of video.
    pub burst: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// Ticks of the RTP clock between two bursts.
    pub ticks: u32,
}

impl Plan {
    /// Whether stations never sleep, so that how busy they are says nothing.
    pub fn spins(&self) -> bool {
        self.tick < SLEEP_MIN
    }

    /// Sockets of a call, most.
    pub fn sockets(&self) -> usize {
        2 * if self.bundled { 1 } else { self.mix.lines() }
    }

    /// What one leg of such a call sends, m-line by m-line.
    pub fn streams(&self, kind: Kind) -> Vec<Stream> {
        kind.media().iter().map(|&media| self.stream(media)).collect()
    }

    fn stream(&self, media: Media) -> Stream {
        match media {
            Media::Audio => Stream {
                media,
                every: self.audio_every,
                burst: 1,
                payload: self.audio_bytes.clamp(payload::LEN_MIN, PAYLOAD_MAX),
                ticks: (u64::from(self.audio_clock) * self.audio_every.as_millis() as u64 / 1000)
                    as u32,
            },
            Media::Video => {
                let frame = (self.video.kbps as usize * 1000 / 8).div_ceil(self.video.fps as usize);
                let burst = frame.div_ceil(PAYLOAD_MAX).max(1);
                Stream {
                    media,
                    every: Duration::from_secs(1) / self.video.fps,
                    burst,
                    payload: frame.div_ceil(burst).max(payload::LEN_MIN),
                    ticks: 90_000 / self.video.fps,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_dealt_by_their_shares() {
        let mix: Mix = "audio=3, video=1".parse().unwrap();
        let mut deal = mix.deal();
        let kinds: Vec<Kind> = (0..8).map(|_| deal.kind()).collect();
        assert_eq!(kinds.iter().filter(|&&kind| kind == Kind::Video).count(), 2);
        assert!(kinds[..4].contains(&Kind::Video));
        assert_eq!(mix.to_string(), "audio=3,video=1");
    }

    #[test]
    fn a_mix_that_says_nothing_is_refused() {
        for text in ["", "audio,", "text", "audio=0", "audio,audio", "video=x"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn video_keeps_its_bit_rate_in_packets_that_fit() {
        let plan = Plan {
            calls: 1,
            ramp: 1.0,
            duration: Duration::ZERO,
            churn: 0.0,
            mix: "video".parse().unwrap(),
            bundled: true,
            audio_bytes: 80,
            audio_clock: OPUS_CLOCK,
            audio_every: Duration::from_millis(20),
            video: Video { fps: 30, kbps: 1500 },
            threads: 1,
            pin: Vec::new(),
            bind: IpAddr::from([127, 0, 0, 1]),
            allow_loss: 0.0,
            tick: Duration::ZERO,
        };
        let [audio, video] = plan.streams(Kind::Video)[..] else { panic!("two streams") };
        assert_eq!((audio.payload, audio.burst), (80, 1));
        assert!(video.payload <= PAYLOAD_MAX);
        let rate = video.payload * video.burst * 8 * 30;
        assert!((1_500_000..1_510_000).contains(&rate), "{rate}");
        assert_eq!(video.burst, 6, "the packets of a frame leave together");
        assert_eq!((plan.sockets(), Plan { bundled: false, ..plan }.sockets()), (2, 4));
    }
}
