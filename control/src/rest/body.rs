//! Reads a body: bounded, of the right media type; JSON with the place of a mistake in the problem.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::api::{
    AddLeg, ClientReport, CreateCall, CreateToken, Description, MintCredentials, Problem, Receive,
    Renewal, SetInterface, Trickle,
};
use crate::sdp::{LINES_MAX, TEXT_MAX};

/// Bytes of a body with a session description, most: JSON writes a line's end in four bytes.
const DESCRIPTION_MAX: usize = TEXT_MAX + 2 * LINES_MAX + 1024;
/// Bytes of any other body, most.
const PLAIN_MAX: usize = 16 * 1024;

/// A request's body. An empty one reads as `{}`, so that requests whose keys are all optional need
/// none.
pub(super) struct Body<T>(pub(super) T);

/// How long a body may be.
pub(super) trait Bounded: DeserializeOwned + 'static {
    /// Bytes, most.
    const MAX: usize = PLAIN_MAX;
}

impl Bounded for CreateCall {}
impl Bounded for CreateToken {}
impl Bounded for MintCredentials {}
impl Bounded for Receive {}
impl Bounded for SetInterface {}
impl Bounded for Trickle {}
impl Bounded for ClientReport {}
impl Bounded for AddLeg {
    const MAX: usize = DESCRIPTION_MAX;
}
impl Bounded for Description {
    const MAX: usize = DESCRIPTION_MAX;
}
impl Bounded for Renewal {
    const MAX: usize = DESCRIPTION_MAX;
}

impl<T: Bounded> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let json = is_of(request, "application/json");
        let announced = announced(request);
        let payload = payload.take();
        Box::pin(async move {
            let bytes = read(payload, announced, T::MAX).await?;
            if bytes.is_empty() {
                return parse(b"{}").map(Self);
            }
            if !json {
                return Err(Problem::unsupported_media(
                    "send the body as `Content-Type: application/json`",
                ));
            }
            parse(&bytes).map(Self)
        })
    }
}

/// A body that is text of one media type.
pub(super) struct Text<K> {
    /// The text.
    pub(super) text: String,
    kind: PhantomData<K>,
}

/// What a [`Text`] is.
pub(super) trait Kind: 'static {
    /// Its media type.
    const TYPE: &str;
    /// Bytes, most.
    const MAX: usize;
}

/// A session description (RFC 8866 §8.1).
pub(super) struct Offer;

impl Kind for Offer {
    const TYPE: &str = "application/sdp";
    const MAX: usize = DESCRIPTION_MAX;
}

/// A fragment of one that is about ICE (RFC 8840 §9.1).
pub(super) struct SdpFragment;

impl Kind for SdpFragment {
    const TYPE: &str = "application/trickle-ice-sdpfrag";
    const MAX: usize = PLAIN_MAX;
}

impl<K: Kind> FromRequest for Text<K> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let fits = is_of(request, K::TYPE);
        let announced = announced(request);
        let payload = payload.take();
        Box::pin(async move {
            if !fits {
                let words = format!("send the body as `Content-Type: {}`", K::TYPE);
                return Err(Problem::unsupported_media(words));
            }
            let bytes = read(payload, announced, K::MAX).await?;
            let text = String::from_utf8(bytes);
            let text = text.map_err(|_| Problem::malformed("the body is not UTF-8"))?;
            Ok(Self { text, kind: PhantomData })
        })
    }
}

pub(super) async fn read(
    mut payload: Payload,
    announced: usize,
    max: usize,
) -> Result<Vec<u8>, Problem> {
    let long = || Problem::too_large(format!("the body is longer than {max} bytes"));
    if announced > max {
        return Err(long());
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(broken)?;
        if bytes.len() + chunk.len() > max {
            return Err(long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A list would pass for an object's values in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::malformed("a JSON object is expected, not a list").at("line 1"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
        Problem::malformed(words).at(format!("line {} column {}", error.line(), error.column()))
    })
}

fn broken(error: PayloadError) -> Problem {
    Problem::malformed(format!("the body cannot be read: {error}"))
}

pub(super) fn is_of(request: &HttpRequest, media_type: &str) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(media_type))
}

pub(super) fn announced(request: &HttpRequest) -> usize {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let problem = parse::<CreateToken>(b"{\n  \"role\": 5}").unwrap_err();
        assert_eq!((problem.status, problem.at.as_deref()), (400, Some("line 2 column 11")));
        assert!(problem.detail.contains("expected a string"), "{}", problem.detail);
        let problem = parse::<CreateCall>(b"{\"nmae\": \"x\"}").unwrap_err();
        assert!(problem.detail.contains("`nmae`") && problem.detail.contains("`name`"));
        assert!(parse::<Description>(b"{}").unwrap_err().detail.contains("`sdp`"));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_a_malformed_request(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(problem) = parse::<AddLeg>(&bytes) {
                prop_assert_eq!(problem.status, 400);
                prop_assert!(problem.at.is_some());
            }
        }

        #[test]
        fn what_is_written_is_read_again(sdp in any::<String>(), role in any::<Option<String>>()) {
            let asked = AddLeg { role: role.clone(), offer: Some(sdp.clone()), ..AddLeg::default() };
            let read: AddLeg = parse(&serde_json::to_vec(&asked).unwrap()).unwrap();
            prop_assert_eq!((read.offer, read.role), (Some(sdp), role));
        }
    }
}
