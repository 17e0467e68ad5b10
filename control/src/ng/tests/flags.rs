use std::net::IpAddr;

use super::{offer, parse, request, texts};
use crate::ng::value::{Dictionary, Value};
use crate::ng::{
    AddressFamily, EndpointLearning, Flag, FlagSet, Flags, Ice, IceLite, LIST_MAX, MediaEcho,
    Message, NgError, Request, TransportProtocol, UNKNOWN_MAX,
};
use crate::sdp::DtlsRole;

fn read(document: &Dictionary) -> (Flags, Vec<String>) {
    let Message { request, unknown, .. } = parse(document);
    match request {
        Request::Offer(offer) => (offer.flags, unknown),
        other => panic!("{other:?} is no offer"),
    }
}

fn known(document: &Dictionary) -> Flags {
    let (flags, unknown) = read(document);
    assert_eq!(unknown, [""; 0]);
    flags
}

fn line(text: &str) -> Flags {
    known(&offer().with("rtpp-flags", text))
}

fn said(flags: &[Flag]) -> Flags {
    Flags { set: flags.iter().copied().collect(), ..Flags::default() }
}

/// A key by itself, the members of `flags` that say the same, and the words of `rtpp-flags` that do.
type Spelling = (&'static str, fn() -> Value, &'static [&'static str], &'static str);

const SPELLINGS: &[Spelling] = &[
    ("rtcp-mux", || texts(&["offer"]), &["rtcp-mux-offer"], "rtcp-mux-offer"),
    (
        "rtcp-mux",
        || texts(&["demux", "accept"]),
        &["rtcp mux demux", "rtcp-mux-accept"],
        "rtcp-mux=[demux accept]",
    ),
    ("RTCP-mux", || texts(&["require"]), &["rtcp-mux-require"], "rtcp-mux=require"),
    ("replace", || texts(&["origin"]), &["replace-origin"], "replace-origin"),
    (
        "replace",
        || texts(&["session connection", "SDP version"]),
        &["replace-session-connection", "replace-sdp-version"],
        "replace-session-connection replace-SDP-version",
    ),
    (
        "replace",
        || texts(&["zero-address", "username", "session-name", "origin-full"]),
        &[
            "replace-zero-address",
            "replace-username",
            "replace-session-name",
            "replace-origin-full",
        ],
        "replace=[zero-address username session-name origin_full]",
    ),
    (
        "replace",
        || "force-increment-sdp-ver".into(),
        &["replace-force-increment-sdp-ver"],
        "replace-force-increment-sdp-ver",
    ),
    ("SDES", || texts(&["off"]), &["SDES-off"], "SDES-off"),
    ("SDES", || "off".into(), &["SDES-disable"], "SDES=off"),
    (
        "SDES",
        || texts(&["no-AES_CM_128_HMAC_SHA1_32", "pad"]),
        &["SDES-no-AES_CM_128_HMAC_SHA1_32", "pad crypto"],
        "SDES-no-AES_CM_128_HMAC_SHA1_32 SDES-pad",
    ),
    (
        "SDES",
        || texts(&["only-AEAD_AES_256_GCM"]),
        &["SDES-only-AEAD_AES_256_GCM"],
        "SDES=[only-AEAD_AES_256_GCM]",
    ),
    (
        "sdes",
        || texts(&["lifetime", "static", "nonew", "prefer"]),
        &["SDES-lifetime", "SDES-static", "SDES-nonew", "SDES-prefer"],
        "SDES=[lifetime static nonew prefer]",
    ),
    (
        "SDES",
        || texts(&["unencrypted_srtp", "unencrypted_srtcp", "UNAUTHENTICATED_SRTP"]),
        &["SDES-unencrypted_srtp", "SDES-UNENCRYPTED_SRTCP", "SDES-unauthenticated_srtp"],
        "SDES-unencrypted_srtp SDES-unencrypted_srtcp SDES-unauthenticated_srtp",
    ),
    (
        "SDES",
        || texts(&["encrypted_srtp", "encrypted_srtcp", "authenticated_srtp"]),
        &["SDES-encrypted_srtp", "SDES-encrypted_srtcp", "SDES-authenticated_srtp"],
        "SDES=[encrypted_srtp encrypted_srtcp authenticated_srtp]",
    ),
    (
        "SDES",
        || texts(&["order:AES_CM_128_HMAC_SHA1_32;AEAD_AES_128_GCM"]),
        &["SDES-order:AES_CM_128_HMAC_SHA1_32;AEAD_AES_128_GCM"],
        "SDES-order:AES_CM_128_HMAC_SHA1_32;AEAD_AES_128_GCM",
    ),
    (
        "SDES",
        || texts(&["offerer_pref:AEAD_AES_256_GCM"]),
        &["SDES-offerer_pref:AEAD_AES_256_GCM"],
        "SDES=[offerer_pref:AEAD_AES_256_GCM]",
    ),
    ("generate RTCP", || "off".into(), &["generate-RTCP-off"], "generate-RTCP=off"),
    ("generate-rtcp", || "on".into(), &["generate-RTCP"], "generate-RTCP"),
    ("passthrough", || "on".into(), &["passthrough"], "passthrough"),
    ("passthru", || "disabled".into(), &["no-passthrough"], "media-passthrough=off"),
    ("OSRTP", || texts(&["offer"]), &["OSRTP-offer"], "OSRTP-offer"),
    (
        "OSRTP",
        || texts(&["accept"]),
        &["OSRTP-accept-RFC", "OSRTP-accept-legacy"],
        "OSRTP=[accept]",
    ),
    ("bundle", || texts(&["accept"]), &["BUNDLE-accept"], "BUNDLE-accept"),
    ("BUNDLE", || texts(&["require"]), &["BUNDLE-require"], "BUNDLE=require"),
    (
        "endpoint learning",
        || "heuristic".into(),
        &["endpoint-learning-heuristic"],
        "endpoint-learning=heuristic",
    ),
    (
        "codec",
        || {
            Dictionary::new()
                .with("strip", texts(&["all"]))
                .with("except", texts(&["opus/48000/2", "PCMU"]))
                .into()
        },
        &["codec-strip-all", "codec-except-opus/48000/2", "codec-except-PCMU"],
        "codec=[strip=[all] except=[opus/48000/2 PCMU]]",
    ),
    (
        "codec-offer",
        || "PCMA,telephone-event".into(),
        &["codec-offer-PCMA", "codec offer telephone-event"],
        "codec-offer=PCMA codec-offer-telephone-event",
    ),
];

#[test]
fn three_spellings_say_the_same() {
    for (key, value, members, words) in SPELLINGS {
        let by_key = known(&offer().with(key, value()));
        let by_members = known(&offer().with("flags", texts(members)));
        assert_ne!(by_key, Flags::default(), "{key} says something");
        assert_eq!(by_key, by_members, "{key} and {members:?}");
        assert_eq!(by_key, line(words), "{key} and {words}");
        assert_eq!(by_key, known(&offer().with("rtpp_flags", *words)));
        assert_eq!(by_key, known(&offer().with("flags", members.join(",").as_str())));
    }
}

#[test]
fn keys_with_words_are_words_of_the_line() {
    let spellings: &[(&str, Value, &str)] = &[
        ("ICE", "remove".into(), "ICE=remove"),
        ("ice", texts(&["force"]), "ICE=[force]"),
        ("ICE", texts(&["default", "trickle"]), "ICE=default trickle-ICE"),
        ("ICE lite", "forward".into(), "ICE-lite=fwd"),
        ("DTLS", "passive".into(), "DTLS=passive"),
        ("dtls", "off".into(), "DTLS=off"),
        ("DTLS reverse", "passive".into(), "DTLS-reverse=passive"),
        ("dtls-reverse", "active".into(), "DTLS-reverse=active"),
        ("media echo", "blackhole".into(), "media-echo=sinkhole"),
        ("media-echo", "reverse".into(), "echo=bkw"),
        ("drop-traffic", "start".into(), "drop-traffic=start"),
        ("ptime", 30_i64.into(), "ptime=30"),
        ("ptime-reverse", "30".into(), "reverse-ptime=30"),
        ("DTLS fingerprint", "sha-256".into(), "DTLS-fingerprint=sha-256"),
        ("transport protocol", "RTP/SAVPF".into(), "RTP/SAVPF"),
        ("transport-protocol", "UDP/TLS/RTP/SAVPF".into(), "transport-protocol=UDP/TLS/RTP/SAVPF"),
        ("transport-protocol", "RTP/SAVP".into(), "SRTP AVP"),
        ("transport-protocol", "rtp/avpf".into(), "RTP AVPF"),
        ("transport-protocol", "UDP/TLS/RTP/SAVP".into(), "DTLS"),
        ("transport-protocol", "RTP/AVP".into(), "RTP/SAVPF RTP/AVP"),
        ("direction", texts(&["pub", "priv"]), "direction=pub direction=priv"),
        ("direction", texts(&["pub", "priv"]), "direction=[pub priv]"),
        ("direction", texts(&["pub", "priv"]), "in-iface=pub out-iface=priv"),
        ("direction", texts(&["pub", "priv"]), "from-interface=pub to-interface=priv"),
        ("direction", texts(&["internal", "external"]), "internal external"),
        ("address family", "IP6".into(), "address-family=IP6"),
        ("media address", "203.0.113.5".into(), "media-address=203.0.113.5"),
        ("received-from", texts(&["IP6", "2001:db8::1"]), "received-from=2001:db8::1"),
        ("TOS", Value::Integer(184), "TOS=184"),
        ("label", "callee=1".into(), "label=callee=1"),
        ("set-label", "callee".into(), "set_label=callee"),
        ("metadata", "a:b|c:d".into(), "metadata=a:b|c:d"),
        ("record call", "on".into(), "record-call=yes"),
        ("sdp-media-remove", texts(&["video"]), "sdp_media_remove=[video]"),
    ];
    for (key, value, words) in spellings {
        let by_key = known(&offer().with(key, value.clone()));
        assert_ne!(by_key, Flags::default(), "{key} says something");
        assert_eq!(by_key, line(words), "{key} and {words}");
    }
}

#[test]
fn a_flag_is_known_by_each_of_its_names_in_both_cases() {
    for flag in Flag::ALL {
        for name in flag.names() {
            let flags = line(name);
            assert!(flags.has(*flag), "{name}");
            assert_eq!(flags, line(&name.to_ascii_lowercase()));
            assert_eq!(flags, known(&offer().with("flags", texts(&[&name.replace('-', " ")]))));
        }
    }
}

#[test]
fn the_scripts_of_the_wild_are_understood() {
    let to_browser = line(
        "trust-address replace-origin replace-session-connection rtcp-mux-offer generate-mid \
         DTLS=passive SDES-off ICE=force RTP/SAVPF via-branch=auto-next direction=priv direction=pub",
    );
    let expected = said(&[
        Flag::TrustAddress,
        Flag::ReplaceOrigin,
        Flag::ReplaceSessionConnection,
        Flag::RtcpMuxOffer,
        Flag::GenerateMid,
        Flag::SdesOff,
    ]);
    let mut expected = Flags {
        transport: Some(TransportProtocol::RtpSavpf),
        ice: Some(Ice::Force),
        dtls_role: Some(DtlsRole::Passive),
        ..expected
    };
    assert!(expected.interfaces.push("priv".into()) && expected.interfaces.push("pub".into()));
    assert_eq!(to_browser, expected);

    let to_phone = line("rtcp-mux-demux DTLS=off SDES-off ICE=remove RTP/AVP codec-strip-VP8");
    let mut expected = Flags {
        transport: Some(TransportProtocol::RtpAvp),
        ice: Some(Ice::Remove),
        dtls_off: true,
        ..said(&[Flag::RtcpMuxDemux, Flag::SdesOff])
    };
    expected.codecs.strip.push("VP8".into());
    assert_eq!(to_phone, expected);
}

#[test]
fn webrtc_says_what_browsers_want_and_what_follows_may_differ() {
    let flags = line("WebRTC");
    assert_eq!(flags, known(&offer().with("flags", texts(&["webrtc"]))));
    assert_eq!(flags.transport, Some(TransportProtocol::UdpTlsRtpSavpf));
    assert_eq!(flags.ice, Some(Ice::Force));
    for flag in [
        Flag::RtcpMuxOffer,
        Flag::RtcpMuxRequire,
        Flag::TrickleIce,
        Flag::NoRtcpAttribute,
        Flag::SdesOff,
        Flag::GenerateMid,
        Flag::BundleOffer,
        Flag::BundleRequire,
    ] {
        assert!(flags.has(flag), "{flag:?}");
    }
    assert_eq!(line("WebRTC ICE=optional").ice, Some(Ice::Optional));
}

#[test]
fn of_two_opposite_words_the_later_counts() {
    assert_eq!(line("ICE=remove ICE=force"), line("ICE=force"));
    assert_eq!(line("ICE=force ICE=remove"), line("ICE=remove"));
    assert_eq!(line("DTLS=passive DTLS=active").dtls_role, Some(DtlsRole::Active));
    assert_eq!(line("trust-address SIP-source-address"), line("SIP-source-address"));
    assert_eq!(line("SIP-source-address trust-address"), line("trust-address"));
    assert_eq!(line("asymmetric symmetric"), said(&[Flag::Symmetric]));
    assert_eq!(line("port-latching no-port-latching"), said(&[Flag::NoPortLatching]));
    assert_eq!(line("full-rtcp-attribute no-rtcp-attribute"), said(&[Flag::NoRtcpAttribute]));
    assert_eq!(line("label=a label=b").label.as_deref(), Some("b"));
    let twice = offer().with("ICE", "remove").with("ICE", "force");
    assert_eq!(known(&twice).ice, Some(Ice::Force));
}

#[test]
fn words_that_exclude_nothing_stay_side_by_side() {
    let flags = line("rtcp-mux-offer rtcp-mux-demux DTLS=off DTLS=passive");
    assert!(flags.has(Flag::RtcpMuxOffer) && flags.has(Flag::RtcpMuxDemux));
    assert!(flags.dtls_off, "that it is off is stronger than a role");
}

#[test]
fn implied_flags_come_along() {
    let set: FlagSet = [Flag::BundleStrict].into_iter().collect();
    let all = [Flag::GenerateMid, Flag::BundleOffer, Flag::BundleRequire, Flag::BundleStrict];
    assert_eq!(set.iter().collect::<Vec<_>>(), all);
    assert!(line("rtcp-mux-require").has(Flag::RtcpMuxOffer));
}

#[test]
fn lists_of_values_are_read_to_the_letter() {
    let flags = line(
        "codec-strip-AMR-WB codec-offer-opus/48000/2 codec-except-x--1..y SDES-no-F8_128_HMAC_SHA1_80",
    );
    assert_eq!(flags.codecs.strip, ["AMR-WB"]);
    assert_eq!(flags.codecs.offer, ["opus/48000/2"]);
    assert_eq!(flags.codecs.except, ["x=1 y"]);
    assert_eq!(flags.sdes.no, ["F8_128_HMAC_SHA1_80"]);
}

#[test]
fn words_of_every_kind_are_read() {
    let flags = known(
        &offer()
            .with("ICE", "force_relay")
            .with("ICE-lite", "both")
            .with("address-family", "ip4")
            .with("endpoint-learning", texts(&["delayed"]))
            .with("tos", "46")
            .with("record-call", "off")
            .with("received from", texts(&["IP4", "192.0.2.1"]))
            .with("interface", "pub")
            .with("ptime", "30")
            .with("ptime reverse", 40_i64)
            .with("DTLS-reverse", "passive")
            .with("media-echo", "fwd")
            .with("drop traffic", "stop")
            .with("flags", texts(&["single codec", "no codec renegotiation", "SIPREC"])),
    );
    assert_eq!((flags.ptime, flags.ptime_reverse), (Some(30), Some(40)));
    assert_eq!(flags.dtls_reverse, Some(DtlsRole::Passive));
    assert_eq!(flags.media_echo, Some(MediaEcho::Forward));
    assert_eq!(flags.drop_traffic, Some(false));
    assert_eq!(flags.set, said(&[Flag::SingleCodec, Flag::ReuseCodecs, Flag::Siprec]).set);
    assert_eq!(flags.ice, Some(Ice::ForceRelay));
    assert_eq!(flags.ice_lite, Some(IceLite::Both));
    assert_eq!(flags.address_family, Some(AddressFamily::Ip4));
    assert_eq!(flags.endpoint_learning, Some(EndpointLearning::Delayed));
    assert_eq!(flags.tos, Some(46));
    assert_eq!(flags.record_call, Some(false));
    assert_eq!(flags.received_from, Some(IpAddr::from([192, 0, 2, 1])));
    assert_eq!(flags.interfaces.only.as_deref(), Some("pub"));
}

#[test]
fn a_length_of_nothing_says_nothing() {
    for nothing in ["0", "-20", "99999999999"] {
        let flags = known(&offer().with("ptime", nothing).with("ptime-reverse", nothing));
        assert_eq!(flags, Flags::default());
    }
}

#[test]
fn brackets_hold_lists_with_any_spaces_and_may_be_left_open() {
    let expected = line("codec-strip-a codec-strip-b codec-offer-c replace-origin");
    for text in [
        "codec=[strip=[a b] offer=[c]] replace-origin",
        "codec=[ strip=[ a  b ]  offer=[ c ] ]   replace-origin",
        "replace-origin codec=[strip=[a b] offer=c]",
        "replace-origin codec=[strip=[a b] offer=[c",
        "replace-origin codec=[strip=a,b offer=[c]",
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
    let deep = format!("codec={}", "[".repeat(5000));
    let (flags, unknown) = read(&offer().with("rtpp-flags", deep.as_str()));
    assert_eq!((flags, unknown), (Flags::default(), vec!["codec".to_owned()]));
}

#[test]
fn what_is_unknown_is_told_and_harms_nothing() {
    let (flags, unknown) = read(
        &offer()
            .with("flags", texts(&["no-such-flag", "strict-source"]))
            .with("ICE", "melt")
            .with("DTLS", "perhaps")
            .with("colour", "blue")
            .with("codec", Dictionary::new().with("transcode", texts(&["PCMA"])))
            .with("rtcp-mux", texts(&["sometimes"]))
            .with("TOS", 256_i64)
            .with(
                "rtpp-flags",
                "direction=a direction=b direction=c T.38-decode rtpp-flags=x y\u{7}=",
            ),
    );
    assert_eq!(flags.set, said(&[Flag::StrictSource]).set);
    let expected = [
        "no-such-flag",
        "ICE",
        "DTLS",
        "colour",
        "codec-transcode-PCMA",
        "rtcp-mux-sometimes",
        "direction",
        "T.38-decode",
        "rtpp-flags",
        "y?",
    ];
    assert_eq!(unknown, expected);
    assert_eq!(flags.tos, None);
}

#[test]
fn lists_are_bounded() {
    let many = (0..1000).map(|n| format!("codec-strip-{n} ?{n}")).collect::<Vec<_>>().join(" ");
    let (flags, unknown) = read(&offer().with("rtpp-flags", many.as_str()));
    assert_eq!(flags.codecs.strip.len(), LIST_MAX);
    assert_eq!(unknown.len(), UNKNOWN_MAX);
    let long = "x".repeat(1000);
    let (_, unknown) = read(&offer().with("flags", texts(&[&long])));
    assert_eq!(unknown[0].len(), 48);
}

#[test]
fn only_kinds_of_media_can_be_removed() {
    let kinds = |value: Value| Message::parse(&offer().with("sdp-media-remove", value)).map(drop);
    assert_eq!(kinds(texts(&["video", "image", "text"])), Ok(()));
    assert_eq!(kinds("video".into()), Err(NgError::WrongType));
    assert_eq!(kinds(texts(&["smell"])), Err(NgError::UnknownSection));
}

#[test]
fn the_line_overrides_the_tags_as_the_script_wishes() {
    let document = request("block media").with("call-id", "call").with("rtpp-flags", "from-tag=x");
    let Request::Media(_, select) = parse(&document).request else { panic!("no selection") };
    assert_eq!(select.party, crate::ng::Party::Tag("x".into()));
}

#[test]
fn instructions_for_the_proxy_name_no_branch() {
    let branch = |text: &str| {
        let document = offer().with("via-branch", "z9hG4bK1").with("rtpp-flags", text);
        let Request::Offer(offer) = parse(&document).request else { panic!("no offer") };
        offer.via_branch
    };
    for text in ["via-branch=1", "via-branch=auto", "via-branch=auto-next", "via-branch=extra"] {
        assert_eq!(branch(text).as_deref(), Some("z9hG4bK1"));
    }
    assert_eq!(branch("via-branch=z9hG4bK2").as_deref(), Some("z9hG4bK2"));
}
