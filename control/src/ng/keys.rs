//! The keys of a request, whatever way they are written in: each by itself, as members of `flags`, or
//! as words of `rtpp-flags`. All ways end in [`Keys::flag`] and [`Keys::key`].

use std::net::IpAddr;
use std::time::Duration;

use super::flag::is_name;
use super::flags::{AddressFamily, EndpointLearning, Ice, IceLite, MediaEcho, TransportProtocol};
use super::line::{self, Word};
use super::value::{Dictionary, Value, canonical};
use super::{ENTRIES_MAX, Flag, Flags, LIST_MAX, NgError, UNKNOWN_MAX};
use crate::sdp::DtlsRole;

/// Everything that a request says.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) call_id: Option<String>,
    pub(super) from_tag: Option<String>,
    pub(super) to_tag: Option<String>,
    pub(super) from_tags: Vec<String>,
    pub(super) via_branch: Option<String>,
    pub(super) label: Option<String>,
    pub(super) to_label: Option<String>,
    pub(super) address: Option<String>,
    pub(super) all: Option<String>,
    pub(super) sdp: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) delete_delay: Option<Duration>,
    pub(super) code: Option<Value>,
    pub(super) duration: Option<i64>,
    pub(super) pause: Option<i64>,
    pub(super) volume: Option<i64>,
    pub(super) recording_file: Option<String>,
    pub(super) recording_path: Option<String>,
    pub(super) recording_pattern: Option<String>,
    pub(super) flags: Flags,
    /// Whether some flags came as one text.
    pub(super) has_line: bool,
    /// Keys and flags that mean nothing here, as they may be shown.
    pub(super) unknown: Vec<String>,
}

impl Keys {
    /// Reads every key of a request, the last one of a kind counts.
    pub(super) fn read(request: &Dictionary) -> Result<Self, NgError> {
        let mut keys = Self::default();
        for (name, value) in request.iter() {
            let name = String::from_utf8_lossy(name);
            match canonical(&name).as_str() {
                "command" => {}
                "rtpp-flags" => keys.line(value)?,
                _ => keys.key(&name, value)?,
            }
        }
        Ok(keys)
    }

    fn line(&mut self, value: &Value) -> Result<(), NgError> {
        self.has_line = true;
        let Some(text) = value.text() else { return Ok(()) };
        let mut profile = Profile::default();
        for word in line::words(&text) {
            match word {
                Word::Flag(word) if profile.takes(word) => {}
                Word::Flag(word) => self.flag(word),
                Word::Key(name, value) => self.word_with_value(name, &value)?,
            }
        }
        self.flags.transport = profile.protocol.or(self.flags.transport);
        Ok(())
    }

    /// What has another meaning in a proxy's script than in a request.
    fn word_with_value(&mut self, name: &str, value: &Value) -> Result<(), NgError> {
        match canonical(name).as_str() {
            "via-branch" if value.text().is_some_and(|text| asks_for_branch(&text)) => {}
            "rtpp-flags" => self.unknown(name),
            "in-iface" => self.flags.interfaces.from = text(value),
            "out-iface" => self.flags.interfaces.to = text(value),
            "to-tag" => {
                self.flags.set.insert(Flag::ToTag);
                self.to_tag = text(value);
            }
            "from-tag" => {
                self.flags.set.insert(Flag::Directional);
                self.from_tag = text(value);
            }
            _ => self.key(name, value)?,
        }
        Ok(())
    }

    fn key(&mut self, name: &str, value: &Value) -> Result<(), NgError> {
        let key = canonical(name);
        if let Some((_, prefix)) = LISTS.iter().find(|(list, _)| is_name(list, &key)) {
            members(value).for_each(|member| self.flag(&format!("{prefix}{member}")));
            return Ok(());
        }
        match key.as_str() {
            "sdp-media-remove" | "SDP-media-remove" => self.media_remove(value)?,
            "codec" | "codecs" => self.codecs(name, value),
            "from-tags" => self.from_tags = members(value).take(LIST_MAX).collect(),
            "direction" => self.direction(name, value),
            _ if self.named(&key, value) => {}
            _ if self.numbered(&key, value) => {}
            _ if self.shaping(&key, value) => {}
            _ => self.unknown(name),
        }
        Ok(())
    }

    /// Keys whose value is any text.
    fn named(&mut self, key: &str, value: &Value) -> bool {
        let flags = &mut self.flags;
        let place = match key {
            "call-id" | "call-ID" => &mut self.call_id,
            "from-tag" => &mut self.from_tag,
            "to-tag" => &mut self.to_tag,
            "via-branch" => &mut self.via_branch,
            "label" | "from-label" => &mut self.label,
            "to-label" => &mut self.to_label,
            "address" => &mut self.address,
            "all" => &mut self.all,
            "sdp" | "SDP" => &mut self.sdp,
            "set-label" => &mut flags.set_label,
            "metadata" => &mut flags.metadata,
            "interface" => &mut flags.interfaces.only,
            "from-interface" => &mut flags.interfaces.from,
            "to-interface" => &mut flags.interfaces.to,
            "DTLS-fingerprint" | "dtls-fingerprint" => &mut flags.dtls_fingerprint,
            "output-destination"
            | "output-dest"
            | "output-file"
            | "recording-destination"
            | "recording-dest"
            | "recording-file" => &mut self.recording_file,
            "output-path"
            | "output-dir"
            | "output-directory"
            | "output-folder"
            | "recording-path"
            | "recording-dir"
            | "recording-directory"
            | "recording-folder" => &mut self.recording_path,
            "output-pattern" | "recording-pattern" => &mut self.recording_pattern,
            // Kamailio says it of every message; it decides nothing here.
            "sip-message-type" => return true,
            _ => return false,
        };
        *place = text(value);
        true
    }

    /// Keys whose value is a number; `false` also for what is none.
    fn numbered(&mut self, key: &str, value: &Value) -> bool {
        if matches!(key, "code" | "digit") {
            self.code = Some(value.clone());
            return true;
        }
        let number = value.integer();
        match key {
            "limit" => self.limit = number,
            "duration" => self.duration = number,
            "pause" => self.pause = number,
            "volume" => self.volume = number,
            "ptime" => self.flags.ptime = milliseconds(number),
            "ptime-reverse" | "reverse-ptime" => self.flags.ptime_reverse = milliseconds(number),
            "TOS" | "tos" => self.flags.tos = number.and_then(|tos| tos.try_into().ok()),
            "delete-delay" => {
                self.delete_delay =
                    number.and_then(|seconds| seconds.try_into().ok()).map(Duration::from_secs);
            }
            _ => return false,
        }
        number.is_some()
    }

    /// Keys whose value is an address or a word of few; `false` also for other values.
    fn shaping(&mut self, key: &str, value: &Value) -> bool {
        if matches!(key, "received-from" | "media-address") {
            return self.addressed(key, value);
        }
        let words: Vec<String> = members(value).collect();
        let unknown = words.iter().filter(|word| !self.chosen(key, word)).count();
        !words.is_empty() && unknown == 0
    }

    /// One word of such a key.
    fn chosen(&mut self, key: &str, word: &str) -> bool {
        let flags = &mut self.flags;
        match key {
            "ICE" | "ice" => self.ice(word),
            "ICE-lite" | "ice-lite" => set(&mut flags.ice_lite, IceLite::parse(word)),
            "transport-protocol" => set(&mut flags.transport, TransportProtocol::parse(word)),
            "address-family" => set(&mut flags.address_family, AddressFamily::parse(word)),
            "record-call" => set(&mut flags.record_call, yes_or_no(word)),
            "DTLS" | "dtls" => match word {
                "off" | "no" | "disable" | "disabled" => {
                    flags.dtls_off = true;
                    true
                }
                role => set(&mut flags.dtls_role, dtls_role(role)),
            },
            "DTLS-reverse" | "dtls-reverse" => set(&mut flags.dtls_reverse, dtls_role(word)),
            "media-echo" | "echo" => set(&mut flags.media_echo, MediaEcho::parse(word)),
            "passthrough" | "passthru" | "media-passthrough" => {
                set(&mut flags.passthrough, on_or_off(word))
            }
            "drop-traffic" => set(&mut flags.drop_traffic, start_or_stop(word)),
            _ => false,
        }
    }

    fn ice(&mut self, word: &str) -> bool {
        let flags = &mut self.flags;
        match canonical(word).as_str() {
            "trickle" => flags.set.insert(Flag::TrickleIce),
            "lite" => flags.ice_lite = Some(IceLite::Forward),
            "no-lite" => flags.ice_lite = Some(IceLite::Off),
            word => match word.strip_prefix("lite-") {
                Some(side) => return set(&mut flags.ice_lite, IceLite::parse(side)),
                None => return set(&mut flags.ice, Ice::parse(word)),
            },
        }
        true
    }

    /// `media-address: …`, `received-from: …` and `received-from: [IP4, …]`.
    fn addressed(&mut self, key: &str, value: &Value) -> bool {
        let address = members(value).last().and_then(|word| address(&word));
        match key {
            "received-from" => set(&mut self.flags.received_from, address),
            _ => set(&mut self.flags.media_address, address),
        }
    }

    /// `direction: [from, to]`, or one of the two in each of two words.
    fn direction(&mut self, name: &str, value: &Value) {
        if let Some(list) = value.list() {
            let mut names = list.iter().map(text);
            let interfaces = &mut self.flags.interfaces;
            (interfaces.from, interfaces.to) = (names.next().flatten(), names.next().flatten());
            return;
        }
        if !text(value).is_some_and(|interface| self.flags.interfaces.push(interface)) {
            self.unknown(name);
        }
    }

    fn media_remove(&mut self, value: &Value) -> Result<(), NgError> {
        for kind in value.list().ok_or(NgError::WrongType)? {
            let kind = text(kind).ok_or(NgError::UnknownSection)?;
            if !MEDIA_KINDS.contains(&kind.as_str()) {
                return Err(NgError::UnknownSection);
            }
            push(&mut self.flags.media_remove, kind);
        }
        Ok(())
    }

    /// `codec: {strip: […], offer: […]}`.
    fn codecs(&mut self, name: &str, value: &Value) {
        let Some(dictionary) = value.dictionary() else { return self.unknown(name) };
        for (what, list) in dictionary.iter() {
            let what = String::from_utf8_lossy(what);
            members(list).for_each(|codec| self.flag(&format!("codec-{what}-{codec}")));
        }
    }

    /// A flag, or a key and its value in one word.
    fn flag(&mut self, word: &str) {
        let name = canonical(word);
        let mut is_known = false;
        for flag in Flag::named(&name) {
            self.flags.set.insert(flag);
            is_known = true;
        }
        if !is_known && !self.flag_with_value(word, &name) {
            self.unknown(word);
        }
    }

    fn flag_with_value(&mut self, word: &str, name: &str) -> bool {
        let flags = &mut self.flags;
        // A name has as many bytes as the word that it was made of.
        let behind = |prefix: &str| name.starts_with(prefix).then(|| &word[prefix.len()..]);
        let lists = [
            ("SDES-no-", &mut flags.sdes.no),
            ("SDES-only-", &mut flags.sdes.only),
            ("codec-strip-", &mut flags.codecs.strip),
            ("codec-offer-", &mut flags.codecs.offer),
            ("codec-except-", &mut flags.codecs.except),
        ];
        let orders = [
            ("SDES-order:", &mut flags.sdes.order),
            ("SDES-offerer-pref:", &mut flags.sdes.offerer_pref),
        ];
        for (prefix, list) in orders {
            if let Some(suites) = behind(prefix) {
                let suites = suites.split(';').filter(|suite| !suite.is_empty());
                return suites.fold(false, |_, suite| push(list, suite.into()));
            }
        }
        for (prefix, list) in lists {
            if let Some(value) = behind(prefix).filter(|value| !value.is_empty()) {
                return push(list, unescaped(value));
            }
        }
        if let Some(value) = behind("endpoint-learning-") {
            return set(&mut flags.endpoint_learning, EndpointLearning::parse(value));
        }
        match name {
            "WebRTC" | "webRTC" | "WebRtc" | "webrtc" => flags.set_webrtc(),
            "passthrough" => flags.passthrough = Some(true),
            "no-passthrough" => flags.passthrough = Some(false),
            "internal" | "external" => return flags.interfaces.push(name.into()),
            _ => return false,
        }
        true
    }

    fn unknown(&mut self, name: &str) {
        if self.unknown.len() < UNKNOWN_MAX {
            self.unknown.push(shown(name));
        }
    }
}

/// A profile that is told word by word, as rtpproxy's scripts do: `RTP AVP`, `SRTP AVPF`, `DTLS`, or in
/// one, `RTP/SAVPF`.
#[derive(Default)]
struct Profile {
    protocol: Option<TransportProtocol>,
}

impl Profile {
    /// Whether the word tells of the profile.
    fn takes(&mut self, word: &str) -> bool {
        let before = self.protocol.unwrap_or(TransportProtocol::RtpAvp);
        let (secure, feedback, dtls) = before.properties();
        let protocol = match word {
            "RTP" => TransportProtocol::of(false, feedback, dtls),
            "AVP" => TransportProtocol::of(secure, false, dtls),
            "SRTP" => TransportProtocol::of(true, feedback, dtls),
            "AVPF" => TransportProtocol::of(secure, true, dtls),
            "DTLS" => TransportProtocol::of(secure, feedback, true),
            _ if word.contains('/') => match TransportProtocol::parse(word) {
                Some(protocol) => protocol,
                None => return false,
            },
            _ => return false,
        };
        self.protocol = Some(protocol);
        true
    }
}

/// Puts a value that could be read into its place; `false` if it could not.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let is_known = value.is_some();
    if is_known {
        *place = value;
    }
    is_known
}

fn push(list: &mut Vec<String>, value: String) -> bool {
    let has_room = list.len() < LIST_MAX;
    if has_room {
        list.push(value);
    }
    has_room
}

fn text(value: &Value) -> Option<String> {
    value.text().filter(|text| !text.is_empty()).map(Into::into)
}

/// The texts of a list, which may be one text with commas.
fn members(value: &Value) -> impl Iterator<Item = String> {
    let words: Vec<String> = match value {
        Value::List(values) => values.iter().filter_map(text).collect(),
        Value::Text(_) => {
            let words = text(value).unwrap_or_default();
            words.split(',').take(ENTRIES_MAX).map(Into::into).collect()
        }
        Value::Integer(_) | Value::Dictionary(_) => Vec::new(),
    };
    words.into_iter().filter(|word| !word.is_empty())
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => None,
    }
}

fn on_or_off(word: &str) -> Option<bool> {
    match word {
        "enable" | "enabled" => Some(true),
        "disable" | "disabled" => Some(false),
        _ => yes_or_no(word),
    }
}

fn start_or_stop(word: &str) -> Option<bool> {
    match word {
        "start" => Some(true),
        "stop" => Some(false),
        _ => None,
    }
}

fn dtls_role(word: &str) -> Option<DtlsRole> {
    match word {
        "passive" => Some(DtlsRole::Passive),
        "active" => Some(DtlsRole::Active),
        _ => None,
    }
}

/// A packet's length; none and less says nothing.
fn milliseconds(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| number.try_into().ok()).filter(|number| *number > 0)
}

/// Where a flag can hold neither `=` nor a space, `--` and `..` stand for them.
fn unescaped(value: &str) -> String {
    value.replace("--", "=").replace("..", " ")
}

/// Whether this tells the proxy which branch to send, rather than being one.
fn asks_for_branch(value: &str) -> bool {
    BRANCH_WORDS.contains(&value)
}

fn shown(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    name.chars().take(SHOWN_MAX).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// Lists whose members are flags, and what stands before a member to make it one.
const LISTS: &[(&str, &str)] = &[
    ("flags", ""),
    ("replace", "replace-"),
    ("RTCP-mux", "rtcp-mux-"),
    ("SDES", "SDES-"),
    ("OSRTP", "OSRTP-"),
    ("BUNDLE", "BUNDLE-"),
    ("endpoint-learning", "endpoint-learning-"),
    ("generate-RTCP", "generate-RTCP-"),
    ("supports", "supports-"),
    ("codec-strip", "codec-strip-"),
    ("codec-offer", "codec-offer-"),
    ("codec-except", "codec-except-"),
];
/// What `sdp-media-remove` may name.
const MEDIA_KINDS: &[&str] =
    &["audio", "video", "image", "message", "text", "application", "other"];
/// Kamailio's and OpenSIPS's words for a branch.
const BRANCH_WORDS: &[&str] =
    &["1", "2", "auto", "extra", "next", "auto-next", "next-auto", "auto-extra", "extra-auto"];
/// Characters of an unknown name that are shown, most.
const SHOWN_MAX: usize = 48;
