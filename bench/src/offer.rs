//! A leg's offer, as a browser would write it, and what its reader needs of the node's answer.

use std::fmt::Write as _;
use std::net::SocketAddr;

use causeway_control::api::Media;
use causeway_control::dtls::{Fingerprint, Role};
use causeway_control::ice::Credentials;
use causeway_control::sdp::{MediaSection, Sdp, Setup, extension};
use zeroize::Zeroizing;

/// What stands in an offer.
#[derive(Debug)]
pub struct Offer<'a> {
    /// Where the leg is.
    pub address: SocketAddr,
    /// Its ICE credentials.
    pub credentials: &'a Credentials,
    /// Its candidates, as `candidate:…`.
    pub candidates: Vec<String>,
    /// Of its certificate.
    pub fingerprint: &'a Fingerprint,
    /// Its m-lines: what they are, and the SSRCs of media and retransmissions.
    pub lines: Vec<(Media, [u32; 2])>,
}

/// What the node has answered.
#[derive(Debug)]
pub struct Answer {
    /// The node's ICE credentials.
    pub credentials: Credentials,
    /// Whether it is an ICE lite agent.
    pub lite: bool,
    /// Its candidates.
    pub candidates: Vec<String>,
    /// What its certificate must match.
    pub fingerprints: Vec<Fingerprint>,
    /// What the leg is in the DTLS handshake.
    pub role: Role,
    /// The m-lines in their order.
    pub lines: Vec<AnsweredLine>,
}

/// An m-line of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct AnsweredLine {
    /// The payload type to send with.
    pub payload_type: u8,
    /// The id of the MID extension.
    pub mid_extension: Option<u8>,
    /// The MID.
    pub mid: String,
}

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node's answer is of no use: {0}")]
pub struct BadAnswer(pub String);

impl Offer<'_> {
    /// The description.
    pub fn text(&self) -> String {
        let mut sdp = String::with_capacity(2048);
        let (ip, port) = (self.address.ip(), self.address.port());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let mids: Vec<_> = (0..self.lines.len()).map(|mid| mid.to_string()).collect();
        let session = self.lines.first().map_or(1, |(_, ssrcs)| ssrcs[0]);
        let _ = write!(
            sdp,
            "v=0\r\no=- {session} 1 IN {family} {ip}\r\ns=-\r\nt=0 0\r\n\
             a=group:BUNDLE {}\r\na=msid-semantic: WMS load\r\n",
            mids.join(" ")
        );
        for (mid, (media, ssrcs)) in self.lines.iter().enumerate() {
            let _ = write!(
                sdp,
                "{}c=IN {family} {ip}\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=mid:{mid}\r\na=sendrecv\r\n\
                 a=setup:actpass\r\na=fingerprint:{}\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
                 a=msid:load {mid}\r\n{}",
                media_line(*media, port),
                self.fingerprint,
                self.credentials.ufrag,
                self.credentials.password.as_str(),
                formats(*media, *ssrcs),
            );
            for candidate in &self.candidates {
                let _ = write!(sdp, "a={candidate}\r\n");
            }
            sdp.push_str("a=end-of-candidates\r\n");
        }
        sdp
    }
}

impl Answer {
    /// Reads the answer to an offer of such m-lines.
    ///
    /// # Errors
    /// What is missing or refused.
    pub fn read(text: &str, lines: &[Media]) -> Result<Self, BadAnswer> {
        let bad = |what: &str| BadAnswer(what.to_owned());
        let sdp = Sdp::parse(text).map_err(|error| BadAnswer(error.to_string()))?;
        let first = sdp.media_at(0).ok_or_else(|| bad("it has no m-line"))?;
        if sdp.media_count() != lines.len() {
            return Err(bad("it has other m-lines than the offer"));
        }
        let said = |name: &'static str| {
            first.inherited(name).map(|attribute| attribute.value.trim().to_owned())
        };
        let ufrag = said("ice-ufrag").ok_or_else(|| bad("it has no ice-ufrag"))?;
        let password = said("ice-pwd").ok_or_else(|| bad("it has no ice-pwd"))?;
        let fingerprint = said("fingerprint").ok_or_else(|| bad("it has no fingerprint"))?;
        let fingerprint =
            fingerprint.parse::<Fingerprint>().map_err(|error| BadAnswer(error.to_string()))?;
        let setup = first.setup().map_err(|error| BadAnswer(error.to_string()))?;
        let role = match setup {
            Some(Setup::Active) => Role::Passive,
            Some(Setup::Passive) => Role::Active,
            _ => return Err(bad("its setup is neither active nor passive")),
        };
        Ok(Self {
            credentials: Credentials { ufrag, password: Zeroizing::new(password) },
            lite: sdp.ice_lite(),
            candidates: first
                .attributes("candidate")
                .map(|candidate| format!("candidate:{}", candidate.value))
                .collect(),
            fingerprints: vec![fingerprint],
            role,
            lines: sdp
                .media()
                .zip(lines)
                .map(|(section, media)| line(section, *media))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn line(section: MediaSection<'_>, media: Media) -> Result<AnsweredLine, BadAnswer> {
    let wanted = codec(media);
    let taken = section.payload_types().any(|number| number == wanted);
    if section.is_rejected() || !taken {
        return Err(BadAnswer(format!("the node does not take {media:?} as offered")));
    }
    let mid = section.mid().ok().flatten().unwrap_or_default().to_owned();
    let extensions = section.extensions();
    let mid_extension = extensions.iter().find(|known| known.uri == extension::MID);
    let mid_extension = mid_extension.and_then(|known| u8::try_from(known.id).ok());
    Ok(AnsweredLine {
        payload_type: wanted,
        mid_extension: mid_extension.filter(|id| (1..=14).contains(id) && !mid.is_empty()),
        mid,
    })
}

/// The payload type that media goes out under.
fn codec(media: Media) -> u8 {
    match media {
        Media::Audio => OPUS,
        Media::Video => VP8,
    }
}

fn media_line(media: Media, port: u16) -> String {
    let (kind, formats) = match media {
        Media::Audio => ("audio", format!("{OPUS}")),
        Media::Video => ("video", format!("{VP8} {VP8_RTX}")),
    };
    format!("m={kind} {port} UDP/TLS/RTP/SAVPF {formats}\r\n")
}

fn formats(media: Media, [ssrc, rtx]: [u32; 2]) -> String {
    let extensions = format!("a=extmap:4 {}\r\n", extension::MID);
    match media {
        Media::Audio => format!(
            "{extensions}a=rtpmap:{OPUS} opus/48000/2\r\na=fmtp:{OPUS} minptime=10;useinbandfec=1\r\n\
             a=ssrc:{ssrc} cname:load\r\n"
        ),
        Media::Video => format!(
            "{extensions}a=rtpmap:{VP8} VP8/90000\r\na=rtcp-fb:{VP8} nack\r\na=rtcp-fb:{VP8} nack pli\r\n\
             a=rtcp-fb:{VP8} ccm fir\r\na=rtpmap:{VP8_RTX} rtx/90000\r\na=fmtp:{VP8_RTX} apt={VP8}\r\n\
             a=ssrc-group:FID {ssrc} {rtx}\r\na=ssrc:{ssrc} cname:load\r\na=ssrc:{rtx} cname:load\r\n"
        ),
    }
}

/// Payload types as Chromium numbers them.
const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;

#[cfg(test)]
mod tests {
    use causeway_control::dtls::Identity;
    use causeway_engine::command::WorkerId;

    use super::*;

    #[test]
    fn an_offer_is_sound_and_names_its_streams() {
        let (identity, credentials) =
            (Identity::generate().unwrap(), Credentials::random(WorkerId(0)));
        let offer = Offer {
            address: "127.0.0.1:4000".parse().unwrap(),
            credentials: &credentials,
            candidates: vec!["candidate:1 1 udp 1 127.0.0.1 4000 typ host".into()],
            fingerprint: identity.fingerprint(),
            lines: vec![(Media::Audio, [1, 2]), (Media::Video, [3, 4])],
        };
        let sdp = Sdp::parse(&offer.text()).unwrap();
        let ssrcs: Vec<Vec<u32>> = sdp.media().map(|media| media.ssrcs().collect()).collect();
        assert_eq!(ssrcs, [vec![1], vec![3, 4]]);
        assert!(sdp.bundles().next().unwrap().eq(["0", "1"]));
        let candidates = |media: MediaSection<'_>| media.attributes("candidate").count();
        assert!(sdp.media().all(|media| candidates(media) == 1 && media.has("rtcp-mux")));
    }

    #[test]
    fn an_answer_without_the_codec_is_of_no_use() {
        let answer = |formats: &str| {
            let text = format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n\
                 m=audio 9 UDP/TLS/RTP/SAVPF {formats}\r\na=mid:0\r\na=setup:passive\r\n\
                 a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {}\r\n\
                 a=extmap:4 {}\r\na=candidate:1 1 udp 1 127.0.0.1 40500 typ host\r\n",
                ["AA"; 32].join(":"),
                extension::MID,
            );
            Answer::read(&text, &[Media::Audio])
        };
        let good = answer("111").unwrap();
        assert!(good.lite && good.role == Role::Active);
        assert_eq!(good.candidates, ["candidate:1 1 udp 1 127.0.0.1 40500 typ host"]);
        let line = AnsweredLine { payload_type: 111, mid_extension: Some(4), mid: "0".into() };
        assert_eq!(good.lines, [line]);
        assert!(answer("0").is_err());
    }
}
