//! Behaviours, on descriptions as the browsers and a phone write them.

mod agreed_codecs;
mod answering;
mod fixed;
mod fixed_offering;
mod fragments;
mod hostile;
mod layers;
mod mapping;
mod offering;
mod one_way;
mod reading;
mod rewriting;
mod rtcp_port;
mod sessions;
mod trickling;

use super::*;

const CHROMIUM: &str = include_str!("../fixtures/chromium.sdp");
const CHROMIUM_DATACHANNEL: &str = include_str!("../fixtures/chromium_datachannel.sdp");
const CHROMIUM_RECVONLY: &str = include_str!("../fixtures/chromium_recvonly.sdp");
const FIREFOX: &str = include_str!("../fixtures/firefox.sdp");
/// Captured from Chromium 156: audio, video and a data channel.
const CHROMIUM_156: &str = include_str!("../fixtures/chromium_156.sdp");
/// Captured from Chromium 156: audio, video in three layers, and one more of each to receive.
const CHROMIUM_156_SIMULCAST: &str = include_str!("../fixtures/chromium_156_simulcast.sdp");
/// Captured from Firefox 153 without its H.264 plug-in: audio, video and a data channel.
const FIREFOX_153: &str = include_str!("../fixtures/firefox_153.sdp");
const SIP_PHONE: &str = include_str!("../fixtures/sip_phone.sdp");
const FIXTURES: [&str; 8] = [
    CHROMIUM,
    CHROMIUM_156_SIMULCAST,
    CHROMIUM_DATACHANNEL,
    CHROMIUM_RECVONLY,
    FIREFOX,
    CHROMIUM_156,
    FIREFOX_153,
    SIP_PHONE,
];

const PASSWORD: &str = "nodesOwnPasswordOf32CharactersXX";

fn local() -> Local {
    let address = "203.0.113.5:40500".parse().unwrap();
    Local {
        session_id: 42,
        address,
        rtcp: None,
        ports: Vec::new(),
        candidates: vec![Candidate::host("1", 1, 2_130_706_431, address)],
        end_of_candidates: true,
        credentials: IceCredentials::new("node", PASSWORD),
        ice_lite: true,
        renomination: false,
        fingerprint: Fingerprint::sha256([0xab; 32]),
        role: DtlsRole::Passive,
        cname: "causeway".into(),
        stream: "call".into(),
        ssrc_base: 0x1234_5678,
    }
}

/// The node's side with a second port for RTCP.
fn local_of_two_ports() -> Local {
    let rtcp = "203.0.113.5:40501".parse().unwrap();
    let mut local = Local { rtcp: Some(rtcp), ..local() };
    local.candidates.push(Candidate::host("1", 2, 2_130_706_430, rtcp));
    local
}

fn sdp(text: &str) -> Sdp {
    Sdp::parse(text).unwrap()
}

/// Answers as the first leg of a call.
fn answered(offer: &str) -> (String, Negotiated) {
    answer(&sdp(offer), &local(), &[], None).unwrap()
}

fn refused(offer: &str) -> SdpError {
    answer(&sdp(offer), &local(), &[], None).unwrap_err()
}

/// The fixture without the lines that start so.
fn without(text: &str, start: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(start)).collect()
}

/// The description's lines of one m-line, the `m=` line first; 0 is the first m-line.
fn section(text: &str, index: usize) -> Vec<&str> {
    let starts: Vec<_> = text.lines().collect();
    let mut sections = starts.split(|line| line.starts_with("m=")).skip(1);
    let m_line = starts.iter().filter(|line| line.starts_with("m=")).nth(index).copied();
    let mut lines: Vec<_> = m_line.into_iter().collect();
    lines.extend(sections.nth(index).unwrap_or_default());
    lines
}

/// The lines of one m-line that start so.
fn lines<'a>(text: &'a str, index: usize, start: &str) -> Vec<&'a str> {
    section(text, index).into_iter().filter(|line| line.starts_with(start)).collect()
}
