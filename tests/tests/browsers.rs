//! Real browsers meet through a node that stands behind a 1-to-1 NAT: one at home behind a NAT of
//! its own, one on the open internet. The page comes over HTTPS from the public address.

use causeway_tests::browser::Pages;
use causeway_tests::freeze::control_stopped;
use causeway_tests::lab::{Lab, PRIVATE, PUBLIC};
use causeway_tests::node::Node;
use causeway_tests::requires;
use serde_json::Value;

/// Frames per second that a side must decode.
const FRAMES: f64 = 20.0;
/// Packets that Firefox may miss at the start: half a second of sound.
const UNHEARD: f64 = 25.0;
/// What the browsers' counts and the node's may differ by.
const TOLERANCE: f64 = 0.01;

#[test]
fn two_chromium_pages_meet_behind_a_one_to_one_nat() {
    requires!(Namespaces, Chromium);
    meet("chromium");
}

#[test]
fn a_chromium_and_a_firefox_page_meet() {
    requires!(Namespaces, Chromium, Firefox);
    meet("firefox");
}

#[test]
fn video_recovers_from_loss_by_nack_and_rtx() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[("HOME_LOSS", "3")]);
    let mut pages = scene.pages(&[
        ("size", "640x480"),
        ("fps", "15"),
        ("grain", "20"),
        ("bitrate", "1000000"),
        ("seconds", "15"),
        ("skip", "hold,dtmf"),
        ("pause-after", "stats"),
    ]);
    pages.step("bitrate");
    let media = pages.step("media");
    let found = pages.step("stats");
    let node = scene.node.rest().stats(&scene.call);
    for (side, role, other) in SIDES {
        assert!(frames(&media, side) >= FRAMES / 2.0, "{side}: {}", media[side]["frames"]);
        let before = count(&media[side]["before"]["received"]["video"]["framesDropped"]);
        let after = count(&media[side]["after"]["received"]["video"]["framesDropped"]);
        let decoded = count(&media[side]["frames"]["decoded"]);
        assert!((after - before) * 20 <= decoded, "{side} dropped {after} of {decoded} frames");

        let repair = &found[side]["repair"];
        assert!(count(&repair["asked"]) > 0, "{side} asked for nothing again: {repair}");
        assert!(count(&repair["repaired"]) > 0, "{side} got nothing again: {repair}");
        let (from, to) = (media_of(&node, other, "received"), media_of(&node, role, "sent"));
        assert!(count(&to["nacks"]) > 0, "the node was not asked by {role}: {to}");
        assert!(count(&from["rtx_packets"]) > 0, "{other} repeated nothing: {from}");
        assert!(count(&to["rtx_packets"]) > 0, "the node repeated nothing to {role}: {to}");
        assert_ne!(from["ssrc"], to["ssrc"], "what is sent on has the node's own numbers");
    }
    pages.go_on();
    pages.finish();
    scene.node.stop();
}

#[test]
fn media_flows_while_control_is_stopped() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let mut pages = scene.pages(&[
        ("seconds", "60"),
        ("node-stats", "no"),
        ("skip", "stats,hold,dtmf"),
        // The pages ask meanwhile, and Chromium writes to its console that nobody answers.
        ("errors", "yes"),
        ("pause-after", "connected,media"),
    ]);
    pages.step("connected");
    let (media, stopped) = control_stopped(scene.node.pid(), || {
        pages.go_on();
        pages.step("media")
    });
    assert!(stopped.len() > 2, "only {stopped:?} stood still");
    for (side, ..) in SIDES {
        assert!(count(&media[side]["frames"]["decoded"]) > 0);
        assert!(frames(&media, side) >= FRAMES, "{side}: {}", media[side]["frames"]);
        for kind in ["audio", "video"] {
            let lost = count(&media[side]["packets"]["lost"][kind]);
            let received = count(&media[side]["packets"]["received"][kind]);
            assert!(lost * 100 <= received, "{side} lost {lost} of {received} {kind} packets");
        }
    }
    pages.go_on();
    pages.finish();
    scene.node.stop();
}

#[test]
fn three_chromium_pages_each_see_and_hear_the_two_others() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[]);
    let mut pages = scene.three_pages(&[("pause-after", "media")]);

    pages.step("media");
    let view = scene.node.rest().get(&format!("/v1/calls/{}", scene.call));
    for leg in view["legs"].as_array().expect("legs") {
        let from = |kind: &str| -> Vec<&str> {
            let received = leg["receives"].as_array().expect("what it receives").iter();
            let roles = received.filter(|one| one["kind"] == kind).map(|one| &one["role"]);
            roles.filter_map(Value::as_str).collect()
        };
        let others = THREE.iter().filter(|role| leg["role"] != **role).count();
        for kind in ["audio", "video"] {
            assert_eq!(from(kind).len(), others, "{leg}");
            assert!(!from(kind).iter().any(|role| leg["role"] == **role), "{leg}");
        }
        assert_eq!(leg["wants"], Value::Null, "{leg}");
    }
    assert!(view["speaker"].is_string(), "somebody beeps: {view}");
    pages.go_on();
    pages.step("leave");
    pages.step("remaining");
    pages.finish();
    scene.node.stop();
}

#[test]
fn the_node_repeats_what_one_of_three_misses() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[("HOME_LOSS", "3")]);
    let mut pages = scene.three_pages(&[
        ("size", "640x480"),
        ("grain", "20"),
        ("seconds", "10"),
        ("pause-after", "stats"),
    ]);
    // The script has judged pictures and tones.
    pages.step("media");
    let found = pages.step("stats");
    let stats = scene.node.rest().stats(&scene.call);
    let home = leg_of(&stats, "customer");
    for sent in home["sent"].as_array().expect("sinks").iter().filter(|s| s["kind"] == "video") {
        let (asked, repeated) = (count(&sent["nacks"]), count(&sent["rtx_packets"]));
        println!("the customer asked for {asked} packets again, and got {repeated}");
        assert!(asked > 0 && repeated > 0, "{sent}");
    }
    // Nobody else could have: what the node has confirmed its senders have forgotten.
    let repair = &found["customer"]["repair"];
    println!("the customer's page: {repair}");
    assert!(count(&repair["repaired"]) > 0, "{repair}");
    for role in ["agent", "guest"] {
        let asked = count(&media_of(&stats, role, "received")["nacks"]);
        println!("{role} was asked for {asked} packets again");
    }
    pages.go_on();
    pages.step("leave");
    pages.step("remaining");
    pages.finish();
    scene.node.stop();
}

#[test]
fn media_is_back_without_rejoining_after_the_browsers_address_changed() {
    requires!(Namespaces, Chromium);
    media_comes_back("another address of the host", Lab::move_host);
}

#[test]
fn media_is_back_without_rejoining_after_the_nats_address_changed() {
    requires!(Namespaces, Chromium);
    media_comes_back("another address of the NAT", Lab::move_nat);
}

#[test]
fn media_goes_on_over_an_ice_restart_under_loss() {
    requires!(Namespaces, Chromium);
    let scene = Scene::new(&[("HOME_LOSS", "5")]);
    let mut pages = scene.pages(&[
        ("seconds", "5"),
        ("watch", "6"),
        ("renew", "2000"),
        ("skip", "stats,hold,dtmf"),
        ("pause-after", "watching,watched"),
    ]);
    pages.step("watching");
    let before = scene.customer();
    pages.go_on();
    let watched = pages.step("watched");
    let after = scene.customer();
    assert_eq!(before["id"], after["id"], "the same leg");
    assert_ne!(before["remote"], after["remote"], "on another path");
    for (side, ..) in SIDES {
        let gap = count(&watched[side]["gaps"]["packets"]["ms"]);
        println!("restart under loss: side {side} was without packets for {gap} ms at most");
        assert!(gap < 2_000, "{side}: {}", watched[side]);
    }
    pages.go_on();
    pages.step("media");
    pages.finish();
    scene.node.stop();
}

/// The network changes under a running call; both sides have media again, on the same legs.
fn media_comes_back(what: &str, change: impl FnOnce(&Lab)) {
    let scene = Scene::new(&[]);
    let mut pages = scene.pages(&[
        ("seconds", "5"),
        ("watch", "12"),
        ("errors", "yes"),
        ("skip", "stats,hold,dtmf"),
        ("pause-after", "watching,watched"),
    ]);
    pages.step("watching");
    let before = scene.customer();
    pages.go_on();
    std::thread::sleep(BEFORE_CHANGE);
    change(&scene.lab);
    let watched = pages.step("watched");
    let after = scene.customer();
    assert_eq!((&before["id"], &after["state"]), (&after["id"], &"connected".into()));
    assert_ne!(before["remote"], after["remote"], "the node sees the new address");
    for (side, ..) in SIDES {
        for kind in ["packets", "frames"] {
            let gap = &watched[side]["gaps"][kind];
            println!("{what}: side {side} was without {kind} at longest {gap}");
            // Long before the browser's own 15 s to give up.
            assert!(count(&gap["ms"]) < 8_000, "{}", watched[side]);
        }
    }
    // Pictures and tones are the other's again.
    pages.go_on();
    pages.step("media");
    pages.finish();
    scene.node.stop();
}

/// Media flows undisturbed for that long before the network changes.
const BEFORE_CHANGE: std::time::Duration = std::time::Duration::from_secs(2);

/// Side of the script, its role in the call, and the other's role.
const SIDES: [(&str, &str, &str); 2] = [("a", "customer", "agent"), ("b", "agent", "customer")];

/// The roles of a call of three.
const THREE: [&str; 3] = ["customer", "agent", "guest"];

/// A laboratory, a node behind its NAT, and a call that waits for two pages.
struct Scene {
    // Dropped in this order.
    node: Node,
    call: String,
    lab: Lab,
}

impl Scene {
    fn new(options: &[(&str, &str)]) -> Self {
        let lab = Lab::up(options);
        let config = format!(
            "[[interface]]\nname = \"pub\"\nbind = \"{PRIVATE}\"\nannounce = \"{PUBLIC}\"\n\
             [public]\nlisten = \"{PRIVATE}:443\"\n"
        );
        let node = Node::start(Some(&lab.namespace("server")), &config);
        let call = node.rest().create_call();
        Self { node, call, lab }
    }

    /// The page that joins with this role by itself.
    fn url(&self, path: &str, role: &str) -> String {
        format!("https://{PUBLIC}{path}#token={}", self.node.rest().token(&self.call, role))
    }

    /// The customer's leg as the node sees it.
    fn customer(&self) -> Value {
        let call = self.node.rest().get(&format!("/v1/calls/{}", self.call));
        found(&call["legs"], "role", "customer").clone()
    }

    /// The customer at home, the two others on the open internet.
    fn three_pages(&self, arguments: &[(&str, &str)]) -> Pages {
        let pages = THREE.map(|role| format!("{role}={}", self.url("/", role)));
        let (home, open) = (self.lab.namespace("browser"), self.lab.namespace("peer"));
        let namespaces = THREE.map(|role| {
            let name = if role == "customer" { &home } else { &open };
            format!("{role}={name}")
        });
        let pages = pages.iter().map(|page| ("page", page.as_str()));
        let namespaces = namespaces.iter().map(|name| ("netns", name.as_str()));
        let all: Vec<_> = pages.chain(namespaces).chain(arguments.iter().copied()).collect();
        Pages::run("many-pages.mjs", &all)
    }

    /// The customer at home, the agent on the open internet; of what is said twice, the last counts.
    fn pages(&self, arguments: &[(&str, &str)]) -> Pages {
        let (home, open) = (self.lab.namespace("browser"), self.lab.namespace("peer"));
        let (a, b) = (self.url("/", "customer"), self.url("/agent", "agent"));
        let sides = [("a", a.as_str()), ("b", &b), ("a-netns", &home), ("b-netns", &open)];
        let media = [("size", "320x240"), ("fps", "30")];
        let all: Vec<_> = sides.iter().chain(&media).chain(arguments).copied().collect();
        Pages::open(&all)
    }
}

/// A whole call of a Chromium page at home with another browser.
fn meet(other: &str) {
    let scene = Scene::new(&[]);
    let mut pages = scene.pages(&[
        ("b-browser", other),
        ("seconds", "10"),
        ("pause-after", "connected,media,stats"),
    ]);

    let connected = pages.step("connected");
    let view = scene.node.rest().get(&format!("/v1/calls/{}", scene.call));
    assert_eq!(view["state"], "active", "{view}");
    // The NAT of the home hides the customer; the node sees its outside.
    assert!(view["legs"][0]["remote"].to_string().contains("198.51.100."), "{view}");
    let started = scene.node.rest().stats(&scene.call);
    pages.go_on();

    // The script has judged pictures and tones.
    let media = pages.step("media");
    for (side, ..) in SIDES {
        assert!(frames(&media, side) >= FRAMES, "{side}: {}", media[side]["frames"]);
    }
    let before = scene.node.rest().stats(&scene.call);
    pages.go_on();
    let found = pages.step("stats");
    let after = scene.node.rest().stats(&scene.call);
    for (side, role, _) in SIDES {
        for kind in ["audio", "video"] {
            let node = |way| [&before, &after].map(|stats| packets(stats, role, way, kind));
            // What came before the node had the keys was dropped, and counted as that.
            let keyless = |stats| count(&leg_of(stats, role)["drops"]["no_keys"]) as f64;
            let [low, high] = node("received");
            let received = [low, high + keyless(&after)];
            agree(&format!("{role} sends {kind}"), &found[side]["sent"][kind], received);
            // Firefox does not count what comes again or as padding (RFC 4588) as received, nor what
            // comes in the moment before its decoders are there.
            let sent = if side == "b" && other == "firefox" {
                let [low, high] = [&before, &after]
                    .map(|stats| count(&of_kind(stats, role, "sent", kind)["packets"]) as f64);
                [low - UNHEARD, high]
            } else {
                node("sent")
            };
            agree(&format!("{role} gets {kind}"), &found[side]["received"][kind], sent);
        }
    }
    for (_, role, far) in SIDES {
        for kind in ["audio", "video"] {
            let passed =
                |role, way| packets(&after, role, way, kind) - packets(&started, role, way, kind);
            let (from, to) = (passed(role, "received"), passed(far, "sent"));
            assert!(apart(from, to) <= TOLERANCE, "of {from} {kind} packets of {role}, {to} left");
        }
    }
    assert!(connected["a"]["call"] == connected["b"]["call"]);
    pages.go_on();

    for step in ["hold", "resume", "dtmf", "leave"] {
        pages.step(step);
    }
    pages.finish();
    scene.node.stop();
}

/// Whether a browser's count lies between two readings of the node's, one before and one after it.
#[track_caller]
fn agree(what: &str, browser: &Value, [before, after]: [f64; 2]) {
    let browser = browser["packets"].as_f64().unwrap_or(0.0);
    let fits = browser >= before * (1.0 - TOLERANCE) && browser <= after * (1.0 + TOLERANCE);
    assert!(browser > 0.0 && fits, "{what}: {browser} packets, the node says {before} to {after}");
}

fn apart(one: f64, other: f64) -> f64 {
    (one - other).abs() / one.max(other).max(1.0)
}

/// Packets that the node counts, retransmissions included, as browsers do.
fn packets(stats: &Value, role: &str, way: &str, kind: &str) -> f64 {
    let media = of_kind(stats, role, way, kind);
    (count(&media["packets"]) + count(&media["rtx_packets"])) as f64
}

fn media_of<'a>(stats: &'a Value, role: &str, way: &str) -> &'a Value {
    of_kind(stats, role, way, "video")
}

fn of_kind<'a>(stats: &'a Value, role: &str, way: &str, kind: &str) -> &'a Value {
    found(&leg_of(stats, role)[way], "kind", kind)
}

fn leg_of<'a>(stats: &'a Value, role: &str) -> &'a Value {
    found(&stats["legs"], "role", role)
}

fn found<'a>(list: &'a Value, key: &str, wanted: &str) -> &'a Value {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().find(|one| one[key] == wanted).unwrap_or(&Value::Null)
}

fn frames(media: &Value, side: &str) -> f64 {
    media[side]["frames"]["perSecond"].as_f64().unwrap_or(0.0)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
