//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use causeway_engine::srtp::Suite;
use clap::{ArgGroup, Parser};
use zeroize::Zeroizing;

use crate::contestant::{Contestant, Variant};
use crate::make::Make;
use crate::ng::search::Signalling;
use crate::ng::standing::Standing;
use crate::phones::{self, Codec, Phones, Sdes};
use crate::plan::{CALLS_MAX, Mix, PAYLOAD_MAX, Plan, Video};
use crate::rest::Api;
use crate::search::Goal;
use crate::turn::args::TurnArgs;

/// Puts real calls on a causeway node, WebRTC over REST or phones over ng, and says what became of their packets and
/// what they cost the node.
///
/// Exit codes: 0 clean, 1 lost or corrupt packets, failed calls or late answers, 2 the run could not be done,
/// 3 packets were lost, but the generator may have lost them itself.
#[derive(Debug, Parser)]
#[command(name = "causeway-load", version, verbatim_doc_comment)]
#[command(group = ArgGroup::new("started_ng").args(["ng_rtpengine", "ng_causeway"]).multiple(true))]
#[command(group = ArgGroup::new("varied").args(["spawn", "ng_causeway", "turn_causeway"]).multiple(true))]
pub struct Args {
    /// The node's admin API.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        conflicts_with = "spawn"
    )]
    pub api: Api,
    /// An API token with the scopes read and call.
    #[arg(long, env = "CAUSEWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Starts this causeway program for the run; what stands behind `--` is for it.
    #[arg(long, value_name = "PROGRAM")]
    pub spawn: Option<PathBuf>,
    /// Settings of the causeway that is started, under a name that the report gives them: ARGS are split at spaces
    /// and stand behind all other arguments; assignments such as CAUSEWAY_X=y at their front go to its environment.
    /// Given several times, the variants run in turn, round after round, each fresh, and are compared with the first.
    #[arg(
        long = "variant",
        value_name = "NAME[=ARGS]",
        requires = "varied",
        conflicts_with = "ng_rate"
    )]
    pub variants: Vec<Variant>,
    /// The node's process, if it runs on this host and was not started by us: its CPU and memory are looked at.
    #[arg(long, value_name = "PID", conflicts_with = "spawn")]
    pub server_pid: Option<u32>,
    /// Where a server takes datagrams of the ng protocol: a causeway or an rtpengine. The legs are phones.
    #[arg(long, value_name = "ADDRESS")]
    pub ng: Option<SocketAddr>,
    /// Starts this rtpengine for each round in its turn, fresh, in user space; the load is that of --ng.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["ng", "spawn", "server_pid"])]
    pub ng_rtpengine: Option<PathBuf>,
    /// Starts this causeway for each round in its turn, fresh.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["ng", "spawn", "server_pid"])]
    pub ng_causeway: Option<PathBuf>,
    /// Starts a bare forwarder for each round in its turn: what the kernel's part costs. Its legs are plain, whatever
    /// those of the others are.
    #[arg(long, requires = "ng_causeway")]
    pub ng_floor: bool,
    /// Be that forwarder, asked at this address.
    #[arg(long, value_name = "ADDRESS", hide = true, exclusive = true)]
    pub floor: Option<SocketAddr>,
    /// Rounds of the servers that are started.
    #[arg(long, value_name = "ROUNDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// The core of the servers that are started.
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    pub core: usize,
    /// Which legs of each call over ng encrypt their media, under SDES keys.
    #[arg(long, value_name = "LEGS", default_value = "none", default_missing_value = "caller", num_args = 0..=1, require_equals = true)]
    pub sdes: Sdes,
    /// The SRTP suite of callers that encrypt, such as AEAD_AES_128_GCM; who is called and encrypts has another one.
    #[arg(long, value_name = "SUITE", default_value = "AES_CM_128_HMAC_SHA1_80", value_parser = phones::suite)]
    pub suite: Suite,
    /// What phones over ng send as audio.
    #[arg(long, value_name = "CODEC", default_value = "pcmu")]
    pub codec: Codec,
    /// Asks for calls without media besides, so many requests per second: offers, answers and deletes, at their times.
    #[arg(long, value_name = "RATE", requires = "ng", value_parser = rate_of_requests)]
    pub ng_rate: Option<f64>,
    /// Looks, from that rate on, for the highest one at which everything is done within 800 ms, then asks twice as often.
    #[arg(long, requires = "ng_rate")]
    pub ng_search: bool,
    /// How long that rate is asked for, and the highest and twice the highest.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub ng_time: Duration,
    /// Sets --calls calls without media up, all at the same time, looks what memory they take, and deletes them, so many
    /// times over. Over ng, with servers that are started.
    #[arg(long, value_name = "TIMES", requires = "started_ng", conflicts_with_all = ["ng", "ng_floor", "ng_rate", "search", "mix"], value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub ng_stand: Option<u32>,
    /// Calls at a time.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=CALLS_MAX as i64))]
    pub calls: u32,
    /// Looks for the highest number of calls that the server carries, from --calls on: half as many more each time
    /// until --p99 or --allow-loss is not kept, then in between, each for --duration.
    #[arg(long, conflicts_with_all = ["ng_rate", "turn", "turn_coturn", "turn_causeway"])]
    pub search: bool,
    /// One-way latency in milliseconds that 99 packets of a hundred keep in a search.
    #[arg(long, value_name = "MS", default_value_t = 5.0, requires = "search", value_parser = milliseconds)]
    pub p99: f64,
    /// New calls per second.
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    pub ramp: f64,
    /// How long all calls stand: 60, 90s, 5m.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub duration: Duration,
    /// Calls per second that are ended and replaced by new ones meanwhile.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub churn: Option<f64>,
    /// What the calls carry: audio, video (which has audio, too), or shares such as audio=80,video=20.
    #[arg(long, default_value = "audio")]
    pub mix: Mix,
    /// Milliseconds between two packets of audio. Seconds of them make calls that hardly do more than stand.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=10_000))]
    pub audio_ms: u64,
    /// Bytes of an audio payload; 80 by default, of G.711 160.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(28..=PAYLOAD_MAX as i64))]
    pub audio_bytes: Option<u32>,
    /// Frames of video per second.
    #[arg(long, value_name = "FPS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub video_fps: u32,
    /// Payload of a leg's video, in thousand bits per second.
    #[arg(long, value_name = "KBPS", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub video_kbps: u32,
    /// Microseconds within which packets that are due leave together; below 200 the generator does not sleep between.
    #[arg(long, value_name = "TIME", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=5000))]
    pub tick: u64,
    /// Threads that own the calls.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Cores that these threads are pinned to, in turn, such as 0 or 0,2.
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub pin: Vec<usize>,
    /// The address that legs bind to and name as their candidate.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Share of packets that may be lost, such as 0.001.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub allow_loss: f64,
    /// TURN in the place of calls.
    #[command(flatten)]
    pub turn: TurnArgs,
    /// Where the report goes as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where the report goes as one page of HTML, with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// For the node that is started: see `causeway --help`.
    #[arg(last = true, value_name = "NODE ARGUMENTS", requires = "spawn")]
    pub node: Vec<String>,
}

impl Args {
    /// What load is wanted.
    pub fn plan(&self) -> Plan {
        let codec = if self.is_ng() { self.codec } else { Codec::Opus };
        Plan {
            calls: self.calls as usize,
            ramp: self.ramp,
            duration: self.duration,
            churn: self.churn.unwrap_or(0.0),
            mix: self.mix.clone(),
            bundled: !self.is_ng(),
            audio_bytes: self.audio_bytes.unwrap_or(codec.bytes()) as usize,
            audio_clock: codec.clock(),
            audio_every: Duration::from_millis(self.audio_ms),
            video: Video { fps: self.video_fps, kbps: self.video_kbps },
            threads: self.threads as usize,
            pin: self.pin.clone(),
            bind: self.bind,
            allow_loss: self.allow_loss,
            tick: Duration::from_micros(self.tick),
        }
    }

    /// Whether calls are made over ng.
    fn is_ng(&self) -> bool {
        self.ng.is_some() || self.ng_rtpengine.is_some() || self.ng_causeway.is_some()
    }

    /// The servers that calls are to compare, in their order; none if a single one is looked at.
    pub fn contestants(&self) -> Vec<Contestant> {
        let rtpengine = self.ng_rtpengine.iter();
        let rtpengine = rtpengine.map(|path| Contestant::new(Make::Rtpengine, path.clone()));
        let mut all: Vec<_> = rtpengine.collect();
        let spawned = self.spawn.as_ref().filter(|_| !self.variants.is_empty());
        if let Some(program) = self.ng_causeway.as_ref().or(spawned) {
            let own = Contestant::each(Make::Causeway, program, &self.node, &self.variants);
            all.extend(own);
        }
        let floor = self.ng_floor.then(std::env::current_exe).and_then(Result::ok);
        all.extend(floor.map(|path| Contestant::new(Make::Floor, path)));
        all
    }

    /// What legs over ng are like.
    pub fn phones(&self) -> Phones {
        Phones { sdes: self.sdes, suite: self.suite, codec: self.codec }
    }

    /// What a number of calls has to keep, if the highest is looked for.
    pub fn goal(&self) -> Option<Goal> {
        self.search.then_some(Goal { p99_ms: self.p99, allow_loss: self.allow_loss })
    }

    /// How often calls are to stand that carry nothing.
    pub fn standing(&self) -> Option<Standing> {
        let (calls, core) = (self.calls as usize, self.pin.first().copied());
        self.ng_stand.map(|times| Standing { calls, times, core })
    }

    /// What calls without media are wanted besides.
    pub fn signalling(&self) -> Option<Signalling> {
        Some(Signalling {
            rate: self.ng_rate?,
            search: self.ng_search,
            time: self.ng_time,
            core: self.pin.first().copied(),
        })
    }

    /// The token, wiped when it is dropped.
    pub fn token(&mut self) -> Option<Zeroizing<String>> {
        self.token.take().map(Zeroizing::new)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=1000.0).contains(rate));
    rate.ok_or_else(|| "a rate is 0.01 to 1000 per second".into())
}

fn rate_of_requests(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=100_000.0).contains(rate));
    rate.ok_or_else(|| "a rate is 1 to 100000 requests per second".into())
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let ms = text.parse().ok().filter(|ms| (0.01..=10_000.0).contains(ms));
    ms.ok_or_else(|| "a latency is 0.01 to 10000 ms".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is 0 to 1".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60.0),
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 1.0),
        None => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let seconds = seconds.filter(|seconds| (0.1..=7.0 * 86_400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "0.1 seconds to a week: 60, 90s, 5m, 2h".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("causeway-load").chain(line.split_whitespace()))
    }

    #[test]
    fn a_plan_is_what_the_line_says() {
        let line =
            "--calls 200 --ramp 20 --duration 2m --mix audio=3,video=1 --pin 0,2 --churn 0.5";
        let plan = parse(line).unwrap().plan();
        assert_eq!((plan.calls, plan.duration), (200, Duration::from_secs(120)));
        assert_eq!(
            (plan.mix.to_string().as_str(), &plan.pin[..]),
            ("audio=3,video=1", &[0, 2][..])
        );
        assert!((plan.churn - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--calls 0",
            "--ramp 0",
            "--ramp nan",
            "--duration 0",
            "--allow-loss 2",
            "--audio-bytes 4",
            "--spawn x --server-pid 1",
            "-- --workers 1",
            "--api https://127.0.0.1:1",
            "--sdes=callee",
            "--ng 127.0.0.1:1 --ng-causeway causeway",
            "--ng-causeway causeway --turn-causeway causeway",
            "--ng-rate 100",
            "--ng-stand 1",
            "--spawn x --ng-stand 1",
            "--ng-causeway x --ng-stand 1 --ng-floor",
            "--ng 127.0.0.1:1 --ng-search",
            "--ng 127.0.0.1:1 --ng-rate 0",
            "--ng 127.0.0.1:1 --turn 127.0.0.1:1",
            "--turn 127.0.0.1:1 --turn-coturn turnserver",
            "--turn 127.0.0.1:1 --turn-user u",
            "--turn 127.0.0.1:1 --turn-size 20",
            "--turn-flood 100",
            "--variant a",
            "--p99 3",
            "--suite DES",
            "--codec g729",
            "--search --p99 0",
            "--search --turn 127.0.0.1:1",
            "--spawn x --variant =--y",
            "--ng 127.0.0.1:1 --ng-rate 9 --spawn x --variant a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let plan = |line| parse(line).unwrap().plan();
        let opus = plan("--ng 127.0.0.1:1 --codec opus");
        assert_eq!((opus.audio_bytes, opus.audio_clock), (80, 48_000));
        let g711 = plan("--ng 127.0.0.1:1");
        assert_eq!((g711.audio_bytes, g711.audio_clock), (160, 8_000));
        let seldom = plan("--audio-ms 5000").streams(Kind::Audio)[0];
        assert_eq!((seldom.every, seldom.ticks), (Duration::from_secs(5), 240_000));
        let sockets = |line| plan(line).sockets();
        assert_eq!((sockets("--mix video"), sockets("--ng 127.0.0.1:1")), (2, 2));
        assert_eq!(sockets("--ng 127.0.0.1:1 --mix audio=3,video=1"), 4);
        let sdes = |line| parse(line).unwrap().sdes;
        assert_eq!(sdes("--ng 127.0.0.1:1"), Sdes::None);
        assert_eq!(sdes("--ng 127.0.0.1:1 --sdes"), Sdes::Caller);
        assert_eq!(sdes("--ng 127.0.0.1:1 --sdes=both"), Sdes::Both);
        let spawned = parse("--spawn causeway -- --workers 1").unwrap();
        assert_eq!(spawned.node, ["--workers", "1"]);
        assert!(spawned.contestants().is_empty());
    }

    #[test]
    fn variants_are_of_the_causeway_that_is_started_beside_others() {
        let names = |line: &str| {
            let all = parse(line).unwrap().contestants();
            all.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>()
        };
        let two = "--variant on --variant off=A=b";
        assert_eq!(names(&format!("--spawn x {two}")), ["on", "off"]);
        assert_eq!(
            names(&format!("--ng-rtpengine r --ng-causeway x {two}")),
            ["rtpengine", "on", "off"]
        );
        assert_eq!(names("--ng-rtpengine r --ng-causeway x"), ["rtpengine", "causeway"]);
        let args = parse("--spawn x --variant a=--y -- --z").unwrap();
        assert_eq!(args.contestants()[0].variant.arguments, ["--z", "--y"]);
    }
}
