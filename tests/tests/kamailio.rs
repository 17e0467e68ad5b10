//! Calls through the real Kamailio and its rtpengine module, with a media server
//! (`TEST_NG_TARGET`) between the two sides: SIPp signals, the test sends and counts the media.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use causeway_control::ng::Dictionary;
use causeway_tests::baresip::Baresip;
use causeway_tests::browser::Pages;
use causeway_tests::kamailio::{Kamailio, Sides};
use causeway_tests::media::Media;
use causeway_tests::ng::Reply;
use causeway_tests::requires;
use causeway_tests::server::{Interface, Server};
use causeway_tests::sipp::Sipp;

/// Packets of each side.
const PACKETS: u16 = 100;
/// Longest wait for what takes a while.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

#[test]
fn a_call_through_kamailio_has_media_both_ways_and_is_gone_after_the_bye() {
    requires!(MediaServer, Kamailio);
    let server = Server::under_test(&interfaces());
    let [mut caller, mut callee] = [(); 2].map(|()| Media::new());
    let at_callee = Sipp::start("callee.xml", nowhere(), callee.port());
    at_callee.wait_listening();
    let proxy = Kamailio::start(server.ng(), at_callee.address, Sides::Plain);
    let at_caller = Sipp::start("caller.xml", proxy.address, caller.port());

    let (to_callee, to_caller) = (at_caller.media(), at_callee.media());
    for number in 1..=PACKETS {
        caller.send(number, to_callee);
        assert_eq!(callee.receive().number, number);
        callee.send(number, to_caller);
        assert_eq!(caller.receive().number, number);
    }
    let (call, stats) = (at_caller.call_id().to_owned(), query(&server, at_caller.call_id()));
    assert_eq!(total(&stats, "packets"), i64::from(2 * PACKETS), "{:?}", stats.members());
    assert_eq!(total(&stats, "errors"), 0);

    at_caller.hang_up();
    at_caller.finish();
    at_callee.finish();
    let reply = query(&server, &call);
    assert_eq!(reply.text("error-reason"), "Unknown call-id", "{:?}", reply.members());
}

#[test]
fn a_browser_calls_a_sip_phone_over_websocket_and_hears_its_echo() {
    requires!(MediaServer, Kamailio, SipOverWebSocket, Chromium);
    let server = Server::under_test(&interfaces());
    let echo = Media::new();
    let at_callee = Sipp::start("callee.xml", nowhere(), echo.port());
    at_callee.wait_listening();
    let proxy = Kamailio::start(server.ng(), at_callee.address, Sides::BrowserCalls);
    let url = format!("ws://{}", proxy.address);
    let callee = format!("sip:callee@{}", proxy.address);
    let heard = echo.reflect();
    let mut page = Pages::run(
        "sip.mjs",
        &[("proxy", url.as_str()), ("callee", &callee), ("pause-after", "media")],
    );
    let call = page.step("call");
    let media = page.step("media");
    let stats = query(&server, call["id"].as_str().expect("a name"));
    let packets = media["packets"].as_i64().expect("a count");
    assert!(total(&stats, "packets") >= 2 * packets, "{media} {:?}", stats.members());
    page.go_on();
    page.finish();
    at_callee.finish();
    assert!(i64::from(heard.count()) >= packets, "the phone heard the browser");
    let reply = query(&server, call["id"].as_str().expect("a name"));
    assert_eq!(reply.text("error-reason"), "Unknown call-id", "{:?}", reply.members());
}

#[test]
fn a_phone_with_ice_and_dtls_that_does_not_multiplex_rtcp_talks_with_a_plain_one() {
    requires!(MediaServer, Kamailio, Baresip);
    let server = Server::under_test(&interfaces());
    let (mut caller, phone) = (Media::new(), Baresip::start());
    let proxy = Kamailio::start(server.ng(), phone.address, Sides::SecureCallee);
    let at_caller = Sipp::start("caller.xml", proxy.address, caller.port());

    let to_phone = at_caller.media();
    // The phone sends once it has keys, silence at first.
    caller.receive();
    for number in 1..=PACKETS {
        caller.send(number, to_phone);
        caller.receive();
    }
    phone.wait("incoming rtp for 'audio' established");
    let stats = query(&server, at_caller.call_id());
    assert!(total(&stats, "packets") >= i64::from(2 * PACKETS), "{:?}", stats.members());
    assert_eq!(total(&stats, "errors"), 0);
    // RTCP came over its own handshake.
    wait_rtcp(&server, at_caller.call_id());

    at_caller.hang_up();
    at_caller.finish();
    phone.wait("terminated");
}

#[test]
fn two_browsers_see_and_hear_each_other_through_the_media_server() {
    requires!(MediaServer, Chromium);
    let server = Server::under_test(&interfaces());
    let ng = server.ng().to_string();
    let mut pages = Pages::run("proxied.mjs", &[("ng", ng.as_str()), ("pause-after", "media")]);
    let call = pages.step("call");
    let media = pages.step("media");
    let stats = query(&server, call["id"].as_str().expect("a name"));
    let seen = |side: &str| media[side]["packets"]["video"].as_i64().expect("a count");
    assert!(total(&stats, "packets") >= 2 * (seen("a") + seen("b")), "{:?}", stats.members());
    pages.go_on();
    pages.finish();
}

/// Waits until RTCP has passed.
fn wait_rtcp(server: &Server, call: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = query(server, call);
        let rtcp = total_of(&stats, "RTCP", "packets");
        if rtcp > 0 {
            assert_eq!(total_of(&stats, "RTCP", "errors"), 0, "{:?}", stats.members());
            return;
        }
        assert!(Instant::now() < deadline, "no RTCP: {:?}", stats.members());
        thread::sleep(LOOK);
    }
}

fn interfaces() -> [Interface; 1] {
    [Interface { name: "pub", bind: IpAddr::V4(Ipv4Addr::LOCALHOST) }]
}

/// A callee asks nobody.
fn nowhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9).into()
}

fn query(server: &Server, call: &str) -> Reply {
    server.client().ask(&Dictionary::new().with("command", "query").with("call-id", call))
}

/// What a call's RTP adds up to.
fn total(stats: &Reply, what: &str) -> i64 {
    total_of(stats, "RTP", what)
}

fn total_of(stats: &Reply, protocol: &str, what: &str) -> i64 {
    let totals = stats.lookup("totals").and_then(|totals| totals.dictionary()?.lookup(protocol));
    let count = totals.and_then(|totals| totals.dictionary()?.lookup(what)?.integer());
    count.unwrap_or_else(|| panic!("{:?}", stats.members()))
}
