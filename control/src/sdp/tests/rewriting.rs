//! Rewriting, held against what rtpengine 10.5.3 made of the same descriptions. Its outputs were
//! recorded once, with its ports, credentials and keys replaced by fixed ones; each test gives the
//! function those and what the command's flags meant, and wants every byte back.

use std::net::{IpAddr, SocketAddr};

use causeway_engine::srtp::Suite;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

macro_rules! fixture {
    ($name:expr) => {
        include_str!(concat!("../fixtures/rewrite/", $name, ".sdp"))
    };
}

/// Compares the rewriting of an input (a constant, or a fixture's name) with the fixture of a case.
macro_rules! same {
    ($case:literal, $input:literal, $change:expr) => {
        same!($case, fixture!(concat!("in_", $input)), $change)
    };
    ($case:literal, $input:expr, $change:expr) => {
        let input: &str = $input;
        let rewritten = rewritten(input, $change);
        assert_eq!(lines(&rewritten), lines(fixture!($case)), "{}", $case);
    };
}

/// Lines with their endings, so that a difference can be seen.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn own_ip() -> IpAddr {
    ip("203.0.113.5")
}

fn own(index: usize) -> SocketAddr {
    SocketAddr::new(own_ip(), 30_000 + 2 * u16::try_from(index).unwrap())
}

/// RTP and RTCP to two ports, everything else as the sender has it: what no flag at all means for a
/// call without ICE and keys, but for `replace origin` and `session-connection`.
fn plain(sdp: &Sdp) -> Rewrite {
    let media = sdp.media().map(|section| {
        let address = own(section.index());
        let is_rtp = section.profile().is_some();
        let rtcp = Rtcp { port: address.port() + 1, mux: false, attribute: RtcpAttribute::Port };
        MediaRewrite::Proxied(Box::new(Proxied {
            rtcp: is_rtp.then_some(rtcp),
            mid: section.mid().unwrap().map(Into::into),
            direction: Some(section.direction()),
            ptime: section.ptime(),
            ..Proxied::at(address)
        }))
    });
    let origin = OriginRewrite { address: Some(own_ip()), ..OriginRewrite::default() };
    let session = SessionRewrite { origin, connection: true, ..SessionRewrite::default() };
    Rewrite { session, media: media.collect() }
}

fn rewritten(input: &str, change: impl FnOnce(&mut Rewrite)) -> String {
    let sdp = sdp(input);
    let mut changed = plain(&sdp);
    change(&mut changed);
    rewrite(&sdp, &changed).unwrap()
}

fn each(rewrite: &mut Rewrite, mut change: impl FnMut(usize, &mut Proxied)) {
    for (index, media) in rewrite.media.iter_mut().enumerate() {
        if let MediaRewrite::Proxied(proxied) = media {
            change(index, proxied);
        }
    }
}

fn nothing_asked(rewrite: &mut Rewrite) {
    rewrite.session = SessionRewrite::default();
}

fn rtcp(proxied: &mut Proxied) -> &mut Rtcp {
    proxied.rtcp.as_mut().unwrap()
}

fn dtls() -> Option<Dtls> {
    let fingerprint = Fingerprint::sha256([0xab; 32]);
    Some(Dtls { setup: Setup::ActPass, fingerprint, tls_id: None })
}

fn crypto(tag: u32, suite: Suite) -> Crypto {
    let filled = |len| Zeroizing::new(vec![u8::try_from(tag).unwrap(); len]);
    let (key, salt) = (filled(suite.key_len()), filled(suite.salt_len()));
    let parameters = SessionParameters::default();
    Crypto { tag, suite, key, salt, lifetime: None, mki: None, parameters }
}

fn every_crypto() -> Vec<Crypto> {
    use Suite::*;
    let suites = [
        AeadAes256Gcm,
        AeadAes128Gcm,
        AesCm256HmacSha1_80,
        AesCm256HmacSha1_32,
        AesCm192HmacSha1_80,
        AesCm192HmacSha1_32,
        AesCm128HmacSha1_80,
        AesCm128HmacSha1_32,
    ];
    (1..).zip(suites).map(|(tag, suite)| crypto(tag, suite)).collect()
}

fn keys(crypto: Vec<Crypto>, dtls: Option<Dtls>) -> Security {
    Security::Own(Keys { crypto, padded: false, dtls })
}

/// The proxy's ICE for an m-line: one candidate, and a second one if RTCP has a port of its own.
fn ice_for(index: usize, proxied: &Proxied) -> OwnIce {
    let address = proxied.address;
    let has_rtcp = proxied.rtcp.is_some_and(|rtcp| rtcp.port != address.port());
    let host = |component: u8| {
        let at = SocketAddr::new(address.ip(), address.port() + u16::from(component) - 1);
        let priority = 2_130_706_432 - u32::from(component);
        Candidate::host("foundation000000", component, priority, at)
    };
    let candidates = if has_rtcp { vec![host(1), host(2)] } else { vec![host(1)] };
    let credentials =
        IceCredentials::new(format!("ufrag{index:03}"), format!("password{index:018}"));
    OwnIce { credentials: Some(credentials), candidates, ..OwnIce::default() }
}

fn replace_ice(index: usize, proxied: &mut Proxied) {
    proxied.ice = Ice::Replaced(ice_for(index, proxied));
}

fn own_ice(proxied: &mut Proxied) -> &mut OwnIce {
    match &mut proxied.ice {
        Ice::Replaced(own) | Ice::Added(own) | Ice::Relayed(own) => own,
        Ice::Removed => panic!("there is no ICE"),
    }
}

/// `rtcp-mux-demux DTLS=off SDES-off ICE=remove RTP/AVP`
fn to_sip(rewrite: &mut Rewrite) {
    each(rewrite, |_, proxied| {
        proxied.profile = proxied.rtcp.map(|_| Profile::Avp);
    });
}

/// `rtcp-mux-offer generate-mid DTLS=passive SDES-off ICE=force UDP/TLS/RTP/SAVPF`
fn to_web(rewrite: &mut Rewrite) {
    each(rewrite, |index, proxied| {
        if let Some(rtcp) = &mut proxied.rtcp {
            rtcp.mux = true;
            proxied.profile = Some(Profile::DtlsSavpf);
            proxied.security = keys(Vec::new(), dtls());
        }
        proxied.mid.get_or_insert_with(|| (index + 1).to_string());
        replace_ice(index, proxied);
    });
}

#[test]
fn plain_rtp_gets_the_proxys_addresses_and_ports() {
    same!("plain_default", "audio", nothing_asked);
    same!("plain", "audio", |_| {});
    same!("plain_answer", "answer", |_| {});
    same!("plain_bare", "bare", |_| {});
    same!("plain_phone", SIP_PHONE, |_| {});
}

#[test]
fn lines_that_are_not_the_proxys_stay_in_their_order() {
    let as_read_there = |rewrite: &mut Rewrite| {
        each(rewrite, |_, proxied| proxied.direction = Some(Direction::RecvOnly));
    };
    same!("plain_two", "two", as_read_there);
    same!("plain_two_default", "two", |rewrite| {
        nothing_asked(rewrite);
        as_read_there(rewrite);
    });
    same!("plain_two_answer", "answer_two", |_| {});
}

#[test]
fn the_sessions_connection_changes_where_it_counts_or_when_asked() {
    same!("media_c", "media_c", nothing_asked);
    same!("media_c_full", "media_c", |_| {});
    same!("both_c", "both_c", nothing_asked);
    same!("both_c_full", "both_c", |_| {});
    same!("mixed_c", "mixed_c", nothing_asked);
    same!("mixed_c_full", "mixed_c", |_| {});
}

#[test]
fn rtcp_is_named_as_asked() {
    same!("no_rtcp", "audio", |rewrite| {
        each(rewrite, |_, proxied| rtcp(proxied).attribute = RtcpAttribute::Absent);
    });
    same!("full_rtcp", "audio", |rewrite| {
        each(rewrite, |_, proxied| rtcp(proxied).attribute = RtcpAttribute::Full);
    });
    same!("mux_offer", "audio", |rewrite| each(rewrite, |_, proxied| rtcp(proxied).mux = true));
    same!("mux_require", "audio", |rewrite| {
        each(rewrite, |_, proxied| *rtcp(proxied) = one_port(proxied.address));
    });
    same!("muxed_offer", "ice_session", |rewrite| {
        to_sip(rewrite);
        each(rewrite, |_, proxied| rtcp(proxied).mux = true);
    });
    same!("muxed_require", "ice_session", |rewrite| {
        to_sip(rewrite);
        each(rewrite, |_, proxied| *rtcp(proxied) = one_port(proxied.address));
    });
    same!("muxed_demux", "ice_session", to_sip);
}

fn one_port(address: SocketAddr) -> Rtcp {
    Rtcp { port: address.port(), mux: true, attribute: RtcpAttribute::Port }
}

#[test]
fn a_loop_can_be_seen_and_directions_can_be_left_alone() {
    same!("loop", "audio", |rewrite| {
        rewrite.session.loop_protection = Some("0123456789ab".into());
    });
    let left_alone = |rewrite: &mut Rewrite| each(rewrite, |_, media| media.direction = None);
    same!("original_sendrecv", "two", left_alone);
    same!("ice_session_original", "ice_session", |rewrite| {
        to_sip(rewrite);
        left_alone(rewrite);
    });
}

#[test]
fn sdes_keys_stand_in_the_proxys_order() {
    let savp = |rewrite: &mut Rewrite, security: Security| {
        each(rewrite, |_, proxied| {
            proxied.profile = Some(Profile::Savp);
            proxied.security = security.clone();
        });
    };
    same!("sdes_all", "audio", |rewrite| savp(rewrite, keys(every_crypto(), dtls())));
    same!("sdes_padded", "audio", |rewrite| {
        let keys = Keys { crypto: every_crypto(), padded: true, dtls: None };
        savp(rewrite, Security::Own(keys));
    });
    let one = || crypto(1, Suite::AesCm128HmacSha1_80);
    same!("sdes_one", "audio", |rewrite| savp(rewrite, keys(vec![one()], None)));
    same!("sdes_parameters", "audio", |rewrite| {
        let parameters = SessionParameters {
            unencrypted_srtp: true,
            unencrypted_srtcp: true,
            unauthenticated_srtp: true,
        };
        let crypto = Crypto { lifetime: Some(1 << 31), parameters, ..one() };
        savp(rewrite, keys(vec![crypto], None));
    });
}

#[test]
fn sdes_keys_are_taken_over_or_replaced() {
    // A side's key may be the proxy's as well: then packets pass as they are.
    let passed_on = |input: &'static str, tag| {
        move |rewrite: &mut Rewrite| {
            let sdp = sdp(input);
            let taken = sdp.media_at(0).unwrap().cryptos().next().unwrap().unwrap();
            let taken = Crypto { tag, lifetime: None, ..taken };
            each(rewrite, |_, proxied| proxied.security = keys(vec![taken.clone()], None));
        }
    };
    same!("sdes_kept", "crypto", passed_on(fixture!("in_crypto"), 1));
    same!("sdes_kept_answer", "crypto_answer", passed_on(fixture!("in_crypto_answer"), 1));
    same!("sdes_to_plain", "crypto", to_sip);
    same!("sdes_one_answer", "crypto_answer", |rewrite| {
        to_sip(rewrite);
        each(rewrite, |_, proxied| proxied.ptime = Some(20));
    });
}

#[test]
fn a_phone_is_offered_to_a_browser() {
    same!("to_web", "audio", to_web);
    same!("to_web_require", "audio", |rewrite| {
        each(rewrite, |_, proxied| *rtcp(proxied) = one_port(proxied.address));
        to_web(rewrite);
    });
    same!("to_web_trickle", "audio", |rewrite| {
        to_web(rewrite);
        each(rewrite, |_, proxied| own_ice(proxied).trickle = true);
    });
    same!("to_web_lite", "audio", |rewrite| {
        to_web(rewrite);
        rewrite.session.ice_lite = true;
    });
    same!("to_web_two", "two", |rewrite| {
        to_web(rewrite);
        each(rewrite, |_, proxied| {
            proxied.profile = Some(Profile::Savpf);
            proxied.direction = Some(Direction::RecvOnly);
        });
    });
}

#[test]
fn a_proxy_with_two_addresses_has_candidates_of_both() {
    same!("to_web_dual", "audio", |rewrite| {
        rewrite.session.origin.address = Some(ip("203.0.113.6"));
        each(rewrite, |_, proxied| proxied.address.set_ip(ip("203.0.113.6")));
        to_web(rewrite);
        each(rewrite, |_, proxied| {
            let candidates = &mut own_ice(proxied).candidates;
            for (place, component) in [(1, 1u8), (3, 2)] {
                let port = 30_001 + u16::from(component);
                let at = SocketAddr::new(ip("2001:db8::5"), port);
                let priority = 2_130_706_176 - u32::from(component);
                let candidate = Candidate::host("foundation000001", component, priority, at);
                candidates.insert(place, candidate);
            }
        });
    });
}

#[test]
fn a_browsers_answer_goes_to_the_phone() {
    same!("to_web_answer", "webrtc_answer", |rewrite| {
        to_sip(rewrite);
        each(rewrite, |_, proxied| {
            proxied.mid = None;
            proxied.ptime = Some(20);
        });
    });
}

#[test]
fn a_browser_is_offered_to_a_phone() {
    same!("chromium_sip", CHROMIUM, to_sip);
    same!("chromium_156_sip", CHROMIUM_156, to_sip);
    same!("chromium_156_simulcast_sip", CHROMIUM_156_SIMULCAST, to_sip);
    same!("chromium_datachannel_sip", CHROMIUM_DATACHANNEL, to_sip);
    // It takes the `0.0.0.0` of m-lines without candidates for a hold where the option to trickle
    // stands above the m-lines.
    let held_from = |first: usize| {
        move |rewrite: &mut Rewrite| {
            to_sip(rewrite);
            each(rewrite, |index, proxied| {
                if index >= first {
                    proxied.hold = true;
                    proxied.direction = Some(Direction::SendOnly);
                }
            });
        }
    };
    same!("firefox_sip", FIREFOX, held_from(1));
    same!("firefox_153_sip", FIREFOX_153, held_from(0));
}

#[test]
fn a_phones_answer_goes_to_the_browser() {
    same!("chromium_sip_answer", "answer_two", |rewrite| {
        each(rewrite, |index, proxied| {
            let Dtls { fingerprint, .. } = dtls().unwrap();
            let dtls = Dtls { setup: Setup::Passive, fingerprint, tls_id: None };
            *rtcp(proxied) = one_port(proxied.address);
            proxied.profile = Some(Profile::DtlsSavpf);
            proxied.mid = Some(index.to_string());
            proxied.security = keys(Vec::new(), Some(dtls));
            replace_ice(index, proxied);
            own_ice(proxied).trickle = true;
        });
    });
}

#[test]
fn a_browser_is_offered_to_a_browser() {
    same!("chromium_web", CHROMIUM, to_web);
    same!("chromium_datachannel_web", CHROMIUM_DATACHANNEL, to_web);
}

#[test]
fn ice_is_replaced_removed_or_made_up() {
    let replaced = |rewrite: &mut Rewrite| each(rewrite, replace_ice);
    same!("ice_default", "ice", replaced);
    same!("ice_force", "ice", replaced);
    same!("ice_remove", "ice", |_| {});
    same!("no_ice_default", "audio", |_| {});
    same!("no_ice_force", "audio", replaced);
    same!("ice_session_remove", "ice_session", to_sip);
    same!("ice_session_extmap", "ice_session", |rewrite| {
        to_sip(rewrite);
        each(rewrite, |_, proxied| proxied.strip_extmap = true);
    });
    same!("ice_session_force", "ice_session", |rewrite| {
        replaced(rewrite);
        each(rewrite, |_, proxied| {
            rtcp(proxied).mux = true;
            proxied.security = keys(every_crypto(), dtls());
        });
    });
}

#[test]
fn the_proxys_candidates_can_stand_beside_the_senders() {
    let added = |rewrite: &mut Rewrite| {
        rewrite.session.bundle = Bundle::Kept;
        each(rewrite, |index, proxied| {
            let mut own = ice_for(index, proxied);
            own.credentials = None;
            for candidate in &mut own.candidates {
                candidate.priority = 2_097_152_256 - u32::from(candidate.component);
            }
            proxied.security = Security::Kept;
            proxied.ice = Ice::Added(own);
        });
    };
    same!("ice_optional", "ice", added);
    let relayed = |priority: u32, has_credentials: bool| {
        move |rewrite: &mut Rewrite| {
            nothing_asked(rewrite);
            each(rewrite, |index, proxied| {
                let mut own = ice_for(index, proxied);
                own.credentials = own.credentials.filter(|_| has_credentials);
                for candidate in &mut own.candidates {
                    candidate.kind = CandidateKind::Relayed;
                    candidate.related = Some(candidate.address);
                    candidate.priority = priority - u32::from(candidate.component);
                }
                proxied.rtcp = None;
                proxied.ice = Ice::Relayed(own);
            });
        }
    };
    same!("ice_force_relay", "ice", relayed(256, false));
    same!("no_ice_force_relay", "audio", relayed(16_777_216, true));
}

#[test]
fn a_hold_is_passed_on() {
    same!("hold_sendonly", "hold_sendonly", |_| {});
    same!("hold_inactive", "hold_inactive", |_| {});
    let held = |rewrite: &mut Rewrite| {
        each(rewrite, |_, proxied| proxied.direction = Some(Direction::SendOnly));
    };
    same!("hold_zero", "hold_zero", |rewrite| {
        held(rewrite);
        each(rewrite, |_, proxied| proxied.hold = true);
    });
    same!("hold_zero_replaced", "hold_zero", held);
    same!("hold_zero_ice", "hold_zero", |rewrite| {
        held(rewrite);
        to_web(rewrite);
    });
}

#[test]
fn what_is_rejected_stays_rejected() {
    same!("rejected", "rejected", |_| {});
    same!("rejected_web", "rejected", to_web);
}

#[test]
fn fax_and_other_applications_get_ports_and_no_codecs() {
    same!("t38", "t38", |_| {});
    same!("t38_web", "t38_both", to_web);
    same!("application", "application", |_| {});
    same!("application_web", "application", to_web);
}

#[test]
fn an_m_line_without_formats_stays_so() {
    let with = |line| format!("{}{line}\r\n", fixture!("in_audio"));
    let text = rewritten(&with("m=application 0 *"), |_| {});
    assert!(text.lines().any(|line| line == "m=application 0 *"), "{text}");
    let text = rewritten(&with("m=application 0 RTP/AVP 124 "), |_| {});
    assert!(text.lines().any(|line| line == "m=application 0 RTP/AVP 124"), "{text}");
}

#[test]
fn either_address_family_goes_to_either() {
    let to = |address: &'static str| {
        move |rewrite: &mut Rewrite| {
            rewrite.session.origin.address = Some(ip(address));
            each(rewrite, |_, proxied| proxied.address.set_ip(ip(address)));
        }
    };
    same!("v6_to_v6", "v6", to("2001:db8::5"));
    same!("v6_to_v4", "v6", |_| {});
    same!("v4_to_v6", "audio", |rewrite| {
        to("2001:db8::5")(rewrite);
        each(rewrite, |_, proxied| rtcp(proxied).attribute = RtcpAttribute::Full);
    });
}

#[test]
fn line_ends_stay_as_they_came() {
    same!("lf", "lf", |_| {});
    same!("no_newline", "no_newline", |_| {});
    same!("blank_end", "blank_end", |_| {});
}

fn rules(strip: &[&str], offer: &[&str], except: &[&str]) -> impl Fn(&mut Rewrite) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (strip, offer, except) = (owned(strip), owned(offer), owned(except));
    let rules = CodecRules { strip, offer, except, ..CodecRules::default() };
    move |rewrite| each(rewrite, |_, proxied| proxied.codecs = rules.clone())
}

#[test]
fn codecs_go_by_name() {
    same!("strip_pcmu", "codecs", rules(&["PCMU"], &[], &[]));
    same!("strip_lower", "codecs", rules(&["pcmu", "OPUS"], &[], &[]));
    same!("strip_all", "codecs", rules(&["all"], &[], &[]));
    same!("strip_events", "codecs", rules(&["telephone-event"], &[], &[]));
    same!("strip_opus_part", "codecs", rules(&["opus/48000"], &[], &[]));
    same!("strip_eight", "codecs", rules(&["PCMU", "PCMA", "G722", "G729"], &[], &[]));
    same!("strip_static", "bare", rules(&["G729", "PCMU"], &[], &[]));
    same!("strip_vp8_rtx", "video_rtx", rules(&["VP8", "rtx"], &[], &[]));
    same!("strip_two", "two", |rewrite| {
        rules(&["PCMU"], &[], &[])(rewrite);
        each(rewrite, |_, proxied| proxied.direction = Some(Direction::RecvOnly));
    });
}

#[test]
fn codecs_stay_by_name() {
    let kept = ["PCMA", "telephone-event/8000"];
    same!("strip_all_except", "codecs", rules(&["all"], &[], &kept));
    same!("strip_all_offer", "codecs", rules(&["all"], &["PCMA", "opus/48000/2"], &[]));
    let kept = ["telephone-event", "opus"];
    same!("offer_before_events", "codecs", rules(&["all"], &["PCMA"], &kept));
    same!("offer_only", "codecs", rules(&[], &["PCMA", "opus"], &[]));
    same!("except_only", "codecs", rules(&[], &[], &["PCMA"]));
    same!("except_vp8", "video_rtx", rules(&["all"], &[], &["VP8"]));
}

#[test]
fn the_packets_length_can_be_asked_for() {
    same!("ptime", "audio", |rewrite| each(rewrite, |_, proxied| proxied.ptime = Some(40)));
}

/// The differences that the module's documentation lists.
mod differences {
    use super::*;

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    fn with(input: &str, added: &str) -> String {
        format!("{input}{added}\r\n")
    }

    #[test]
    fn what_is_bound_to_the_senders_transport_goes_with_it() {
        let lines = "a=tls-id:0123456789abcdef0123\r\na=rtcp-mux-only\r\na=ice-pacing:20";
        let input = with(fixture!("in_ice_session"), lines);
        let text = rewritten(&input, to_web);
        assert!(!text.contains("tls-id") && !text.contains("pacing"), "{text}");
        assert!(!text.contains("rtcp-mux-only"), "{text}");
        let text = rewritten(&input, |rewrite| {
            to_web(rewrite);
            each(rewrite, |_, proxied| *rtcp(proxied) = one_port(proxied.address));
        });
        assert!(has(&text, "a=rtcp-mux-only"));
        let text = rewritten(&input, |rewrite| {
            to_web(rewrite);
            each(rewrite, |_, proxied| {
                let dtls = Dtls { tls_id: Some("00ff".repeat(8)), ..dtls().unwrap() };
                proxied.security = keys(Vec::new(), Some(dtls));
            });
        });
        assert!(has(&text, &format!("a=tls-id:{}", "00ff".repeat(8))), "{text}");
    }

    #[test]
    fn a_payload_type_is_listed_once_and_not_explained_out_of_nothing() {
        let input = fixture!("in_bare").replace(" 96\r\n", " 96 77 0 10 11\r\na=fmtp:77 x=y\r\n");
        let text = rewritten(&input, |_| {});
        assert!(has(&text, "m=audio 30000 RTP/AVP 0 8 18 96 77 10 11"), "{text}");
        assert!(!text.contains("rtpmap:77") && has(&text, "a=fmtp:77 x=y"), "{text}");
        assert!(has(&text, "a=rtpmap:10 L16/44100/2") && has(&text, "a=rtpmap:11 L16/44100"));
    }

    #[test]
    fn retransmissions_go_with_their_codec() {
        let text = rewritten(fixture!("in_video_rtx"), rules(&["VP8"], &[], &[]));
        assert!(has(&text, "m=video 30000 RTP/AVPF 98 99"), "{text}");
        assert!(!text.contains("apt=96") && has(&text, "a=fmtp:99 apt=98"), "{text}");
    }

    #[test]
    fn no_events_are_made_up() {
        let text = rewritten(fixture!("in_codecs"), rules(&["telephone-event/8000"], &[], &[]));
        assert!(has(&text, "m=audio 30000 RTP/AVP 96 0 8 9 18 97"), "{text}");
    }

    #[test]
    fn a_missing_line_end_is_made_up_for() {
        let text = rewritten(fixture!("in_no_newline_kept"), |_| {});
        assert!(has(&text, "a=X-last") && has(&text, "a=rtpmap:0 PCMU/8000"), "{text}");
        let text = rewritten(fixture!("in_no_newline_short"), |_| {});
        assert!(has(&text, "m=audio 30000 RTP/AVP 0"), "{text}");
    }

    #[test]
    fn a_port_count_goes() {
        let input = fixture!("in_audio").replace("audio 4000", "audio 4000/2");
        assert!(has(&rewritten(&input, |_| {}), "m=audio 30000 RTP/AVP 0 8 101"));
    }

    #[test]
    fn an_untouched_line_keeps_the_address_that_it_inherited() {
        let untouched = |rewrite: &mut Rewrite| rewrite.media[1] = MediaRewrite::Untouched;
        let text = rewritten(fixture!("in_message"), untouched);
        let end = "m=message 4002 TCP/MSRP *\r\ni=text\r\nc=IN IP4 198.51.100.7\r\n\
                   a=accept-types:text/plain\r\na=path:msrp://198.51.100.7:4002/abc;tcp\r\n\
                   a=sendrecv\r\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_second_address_goes_and_a_name_with_spaces_stays() {
        let input = fixture!("in_both_c")
            .replace("c=IN IP4 198.51.100.9\r\n", "c=IN IP4 198.51.100.9\r\nc=IN IP4 192.0.2.1\r\n")
            .replace("o=alice", "o=Some Phone 2");
        let text = rewritten(&input, |_| {});
        assert_eq!(text.matches("c=IN IP4 203.0.113.5\r\n").count(), 2, "{text}");
        assert!(has(&text, "o=Some Phone 2 1234 7 IN IP4 203.0.113.5"), "{text}");
    }
}

#[test]
fn what_untouched_means_is_byte_for_byte() {
    for fixture in FIXTURES {
        let sdp = sdp(fixture);
        let media = vec![MediaRewrite::Untouched; sdp.media_count()];
        let session = SessionRewrite { bundle: Bundle::Kept, ..SessionRewrite::default() };
        assert_eq!(rewrite(&sdp, &Rewrite { session, media }).unwrap(), fixture);
    }
}

#[test]
fn an_m_line_can_be_removed_and_bundled_ones_named() {
    let text = rewritten(CHROMIUM_DATACHANNEL, |rewrite| {
        to_web(rewrite);
        rewrite.media[1] = MediaRewrite::Removed;
        rewrite.session.bundle = Bundle::Own(vec!["0".into(), "2".into()]);
    });
    let read = sdp(&text);
    assert_eq!(read.media_count(), 2);
    assert_eq!(read.bundles().next().unwrap().collect::<Vec<_>>(), ["0", "2"]);
    assert_eq!(text.matches("a=group:").count(), 1);
}

/// Also where rtpengine 10.5.3 finds nothing to read.
#[test]
fn what_nobody_can_read_stays_where_it_stands() {
    let odd = "a=rtpmap:xx foo/8000\r\na=rtpmap:0 foo\r\na=fmtp:xx a\r\na=rtcp-fb:xx nack\r\n\
               a=rtcp-fb:* nack\r\na=extmap\r\nb=odd\rness\r\nnothing at all\r\n";
    let first = fixture!("in_audio").replace("a=rtpmap:0 ", &format!("{odd}a=rtpmap:0 "));
    let text = rewritten(&first, |_| {});
    let start = text.find("m=audio 30000 RTP/AVP 0 8 101\r\n").unwrap();
    assert!(
        text[start..].starts_with(&format!("m=audio 30000 RTP/AVP 0 8 101\r\n{odd}")),
        "{text}"
    );
}

#[test]
fn the_origin_changes_as_far_as_asked() {
    let text = rewritten(fixture!("in_audio"), |rewrite| {
        rewrite.session.origin.username = Some("node\r\na=evil".into());
        rewrite.session.origin.version = Some(8);
        rewrite.session.name = Some("ours".into());
    });
    assert!(text.contains("o=nodea=evil 1234 8 IN IP4 203.0.113.5\r\ns=ours\r\n"), "{text}");
}

#[test]
fn what_cannot_be_rewritten_is_refused_by_line() {
    let refused = |input: &str| {
        let sdp = sdp(input);
        rewrite(&sdp, &plain(&sdp)).unwrap_err()
    };
    let error = refused(&fixture!("in_audio").replace("0 8 101", "0 x 101"));
    assert_eq!((error.kind, error.line), (SdpErrorKind::MalformedMedia, Some(6)));
    let error = refused(&fixture!("in_audio").replace("c=IN IP4 198.51.100.7\r\n", ""));
    assert_eq!((error.kind, error.line), (SdpErrorKind::NoConnection, Some(5)));
    let error = refused(&fixture!("in_audio").replace("o=alice 1234", "o=alice"));
    assert_eq!((error.kind, error.line), (SdpErrorKind::MalformedOrigin, Some(2)));
    let two = sdp(fixture!("in_two"));
    let one = plain(&sdp(fixture!("in_audio")));
    assert_eq!(rewrite(&two, &one).unwrap_err().kind, SdpErrorKind::MediaMismatch);
}

#[test]
fn what_a_side_offers_is_read() {
    let offers = |text: &str| {
        let sdp = sdp(text);
        let section = sdp.media_at(0).unwrap();
        let profile = section.profile().unwrap();
        assert_eq!(section.offers_dtls(), profile.is_dtls());
        let (ice, mux) = (section.offers_ice(), section.offers_rtcp_mux());
        (profile, ice, section.offers_sdes(), mux, section.is_held_by_address())
    };
    assert_eq!(offers(CHROMIUM), (Profile::DtlsSavpf, true, false, true, false));
    assert_eq!(offers(FIREFOX), (Profile::DtlsSavpf, true, false, true, false));
    assert_eq!(offers(fixture!("in_crypto")), (Profile::Savp, false, true, false, false));
    assert_eq!(offers(fixture!("in_hold_zero")), (Profile::Avp, false, false, false, true));
    let one_port = fixture!("in_media_c").replace("a=rtcp:4001", "a=rtcp:4000");
    assert_eq!(offers(&one_port), (Profile::Avp, false, false, true, false));
    let of_two = sdp(CHROMIUM);
    assert!(!of_two.media_at(1).unwrap().is_held_by_address());
}

/// Ways to rewrite an m-line that have little in common.
fn some_way(index: usize, way: u8) -> MediaRewrite {
    let mut proxied = Proxied::at(own(index));
    proxied.rtcp = (way & 1 != 0).then_some(one_port(own(index)));
    proxied.direction = (way & 2 != 0).then_some(Direction::Inactive);
    proxied.profile = (way & 4 != 0).then_some(Profile::Savp);
    proxied.hold = way & 8 != 0;
    proxied.codecs.strip = if way & 16 != 0 { vec!["all".into()] } else { Vec::new() };
    proxied.codecs.except = vec!["opus".into(), "rtx".into()];
    let own = ice_for(index, &proxied);
    proxied.ice = match way % 5 {
        0 => Ice::Removed,
        1 => Ice::Added(own),
        2 => Ice::Relayed(own),
        _ => Ice::Replaced(own),
    };
    proxied.security = if way & 32 != 0 { Security::Kept } else { keys(every_crypto(), dtls()) };
    match way {
        250.. => MediaRewrite::Removed,
        240.. => MediaRewrite::Untouched,
        _ => MediaRewrite::Proxied(Box::new(proxied)),
    }
}

/// Rewrites a text, if it can be read, and reads what comes out.
fn exercise(text: &str, ways: &[u8]) -> Result<(), TestCaseError> {
    let Ok(sdp) = Sdp::parse(text) else { return Ok(()) };
    for section in sdp.media() {
        let _ = (section.offers_ice(), section.offers_sdes(), section.offers_rtcp_mux());
        let _ = (section.is_held_by_address(), section.cryptos().count());
    }
    let way = |index: usize| ways.get(index % ways.len()).copied().unwrap_or(0);
    let media = (0..sdp.media_count()).map(|index| some_way(index, way(index)));
    let mut all = Rewrite { session: SessionRewrite::default(), media: media.collect() };
    all.session.connection = way(0) & 1 != 0;
    all.session.origin.version = (way(0) & 2 != 0).then_some(u64::MAX);
    let Ok(rewritten) = rewrite(&sdp, &all) else { return Ok(()) };
    let kept = all.media.iter().filter(|media| **media != MediaRewrite::Removed).count();
    let read = Sdp::parse(&rewritten);
    prop_assert!(read.is_ok(), "{rewritten}");
    prop_assert_eq!(read.unwrap().media_count(), kept);
    Ok(())
}

proptest! {
    #[test]
    fn any_sections_are_harmless(
        lines in prop::collection::vec(
            prop_oneof![
                "(o|s|c|b|m|k|i)=[ -~]{0,24}",
                "v=0",
                "m=(audio|video|image) [0-9]{1,5}(/[0-9])? (RTP/AVP|udptl)( [0-9]{1,3}){0,5}",
                "c=IN IP[46] [0-9a-f.:]{0,12}",
                "a=(rtpmap|fmtp|rtcp-fb):[0-9]{0,3}( [ -~]{0,16})?",
                "a=(crypto|candidate|rtcp|ptime|mid|group|extmap|setup|fingerprint):[ -~]{0,24}",
                "a=(sendonly|rtcp-mux|ice-lite|bundle-only|end-of-candidates) ?",
                "\\PC{0,16}",
            ],
            0..24,
        ),
        ending in prop_oneof![Just("\r\n"), Just("\n")],
        ways in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        exercise(&format!("v=0{ending}{}", lines.join(ending)), &ways)?;
    }

    #[test]
    fn any_cut_of_a_real_description_is_harmless(
        fixture in prop::sample::select(FIXTURES.to_vec()),
        cut in any::<prop::sample::Index>(),
        ways in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let mut end = cut.index(fixture.len());
        while !fixture.is_char_boundary(end) {
            end -= 1;
        }
        exercise(&fixture[..end], &ways)?;
    }
}
