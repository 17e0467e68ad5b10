//! What a report is about: how the program was called, on which host, with which servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::contestant::assignment;

/// Words in the names of options and variables whose values nobody is to read.
const SECRET: [&str; 6] = ["token", "secret", "password", "passwd", "key", "user"];
/// What stands in the place of such a value.
const HIDDEN: &str = "\u{2026}";

/// See the module.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// When the run began, in UTC.
    pub began: String,
    /// The command line, secrets left out.
    pub command: String,
    /// The version of this program.
    pub version: &'static str,
    /// The host of the generator.
    pub host: Host,
    /// The servers.
    pub servers: Vec<Server>,
}

/// A host, as its kernel says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Host {
    /// Its name of the CPU.
    pub cpu: String,
    /// Cores.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Where the kernel's time comes from.
    pub clock_source: String,
    /// Whether it is a virtual machine, as far as the CPU says.
    pub is_virtual: bool,
    /// Processes that ran or wanted to, on average in the last minute.
    pub load: f64,
}

/// A server and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// What the report calls it.
    pub name: String,
    /// Its version, as it says itself.
    pub version: String,
    /// What it was started with, beside what all get; secrets left out.
    pub settings: String,
}

impl About {
    /// This run, which begins now.
    pub fn now(servers: Vec<Server>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: utc(since.as_secs()),
            command: shown(std::env::args()),
            version: env!("CARGO_PKG_VERSION"),
            host: Host::this(),
            servers,
        }
    }
}

impl Host {
    /// The one that we run on; what it does not say is empty.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpus = read("/proc/cpuinfo");
        let fields = || cpus.lines().filter_map(|line| line.split_once(':'));
        let field = |name: &str| fields().find(|(known, _)| known.trim() == name);
        let value = |name: &str| field(name).map(|(_, value)| value.trim().to_owned());
        let load = read("/proc/loadavg");
        Self {
            cpu: value("model name").or_else(|| value("CPU part")).unwrap_or_default(),
            cores: fields().filter(|(name, _)| name.trim() == "processor").count(),
            kernel: read("/proc/sys/kernel/osrelease"),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            is_virtual: value("flags")
                .is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
        }
    }
}

/// What a program says to `--version`: the first line, wherever it writes it.
pub fn version_of(program: &Path) -> String {
    let said = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let said = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&said).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("unknown").chars().take(120).collect()
}

/// A command line as a shell takes it, without the values of options and variables that may be secret.
pub fn shown(words: impl IntoIterator<Item = String>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut hides = false;
    for word in words {
        let masked = if std::mem::take(&mut hides) { HIDDEN.to_owned() } else { mask(&word) };
        hides = word.starts_with("--") && !word.contains('=') && is_secret(&word);
        shown.push(quoted(&masked));
    }
    shown.join(" ")
}

/// A word with the secrets hidden that it holds: `--option=value`, `NAME=value`, and a variant's words.
fn mask(word: &str) -> String {
    if word.contains(' ') {
        let words: Vec<String> = word.split(' ').map(str::to_owned).collect();
        return words_masked(&words);
    }
    match word.split_once('=') {
        Some((name, _))
            if is_secret(name) && (name.starts_with("--") || assignment(word).is_some()) =>
        {
            format!("{name}={HIDDEN}")
        }
        Some((name, value)) if value.contains('=') => format!("{name}={}", mask(value)),
        _ => word.to_owned(),
    }
}

/// The same for words that stand in one: what follows an option is its value, here as well.
fn words_masked(words: &[String]) -> String {
    let mut hides = false;
    let mut masked = Vec::new();
    for word in words {
        masked.push(if std::mem::take(&mut hides) { HIDDEN.to_owned() } else { mask(word) });
        let option = word.rsplit_once('=').map_or(word.as_str(), |(_, last)| last);
        hides = option.starts_with("--") && is_secret(option);
    }
    masked.join(" ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+\u{2026}".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A moment of the clock in UTC, from its seconds since 1970: days are counted from March on, so that the leap day is
/// a year's last.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    format!("{year}-{month:02}-{date:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        shown(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn secrets_are_left_out_wherever_they_stand() {
        let text = line(&[
            "causeway-load",
            "--token",
            "s3cr3t",
            "--turn-user=u:s3cr3t",
            "--token=s3cr3t==",
            "--calls",
            "5",
            "--variant",
            "a=CAUSEWAY_TOKEN=s3cr3t X=y --turn-user n:s3cr3t --backend mmsg",
            "--variant",
            "b=CAUSEWAY_SECRET=s3cr3t",
            "--variant",
            "c=--token s3cr3t",
            "--",
            "--turn-user",
            "n:s3cr3t",
        ]);
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(
            text.contains("--calls 5") && text.contains("X=y") && text.contains("--backend mmsg"),
            "{text}"
        );
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(line(&["a b", "it's", "", "x=1"]), "'a b' 'it'\\''s' '' x=1");
    }

    #[test]
    fn days_are_counted_through_leap_years() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59 UTC");
    }

    #[test]
    fn this_host_says_what_it_is() {
        let host = Host::this();
        assert!(host.cores > 0 && !host.kernel.is_empty());
        assert_eq!(version_of(Path::new("/nonexistent")), "unknown");
    }
}
