//! `If-Match` (RFC 9110 §13.1.1), and what it makes of a fragment: whether it adds candidates to the
//! ICE session or begins a new one.

use actix_web::http::header::{HeaderMap, IF_MATCH};

use crate::api::Problem;
use crate::sdp::IceCredentials;

/// Which ICE session a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// It does not say.
    Absent,
    /// Whichever there is.
    Any,
    /// One of those with these entity-tags, quotes included.
    Tags(Vec<String>),
}

/// What a fragment asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// More candidates of the ICE session that there is.
    Trickle,
    /// A new ICE session with these credentials of the far side.
    Restart(IceCredentials),
}

impl IfMatch {
    /// What a request's headers say. The standard's own examples have the asterisk in quotes, so
    /// clients send it so too.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut tags: Vec<String> = Vec::new();
        let mut values = headers.get_all(IF_MATCH).peekable();
        if values.peek().is_none() {
            return Self::Absent;
        }
        for tag in values.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')) {
            match tag.trim() {
                "*" | "\"*\"" => return Self::Any,
                tag => tags.push(tag.to_owned()),
            }
        }
        Self::Tags(tags)
    }

    /// Judges a fragment with the credentials `named` against the ICE session with this entity-tag
    /// and these credentials of the far side.
    ///
    /// A request without `If-Match` is refused as RFC 9725 §4.3.1 has it, but for one case: what names
    /// the credentials of the ICE session says by them which one it means, as surely as by a tag,
    /// and many clients send candidates so.
    ///
    /// # Errors
    /// 412 for another session's tag; 428 where it is not said which session is meant; 400 for
    /// a restart that changes only one of ufrag and password.
    pub(super) fn judge(
        &self,
        tag: &str,
        current: &IceCredentials,
        named: Option<&IceCredentials>,
    ) -> Result<Asked, Problem> {
        match self {
            // Weak tags never match (RFC 9110 §8.8.3.2).
            Self::Tags(tags) if !tags.iter().any(|held| held == tag) => {
                let words = "this is not the ICE session that there is now; restart ICE, or send \
                             the ETag of the last answer";
                return Err(Problem::precondition_failed(words).at("If-Match"));
            }
            Self::Absent if named != Some(current) => {
                let words = "say which ICE session is meant: `If-Match` with the ETag of the last \
                             answer to add candidates, with `*` to restart ICE";
                return Err(Problem::precondition_required(words).at("If-Match"));
            }
            Self::Tags(_) | Self::Absent | Self::Any => {}
        }
        match named {
            Some(named) if named == current => Ok(Asked::Trickle),
            None => Ok(Asked::Trickle),
            // RFC 8839 §4.4.1.1.1.
            Some(named) if named.ufrag == current.ufrag || named.password == current.password => {
                let words = "an ICE restart changes both ice-ufrag and ice-pwd";
                Err(Problem::malformed(words).at("a=ice-ufrag"))
            }
            // Whatever the tag: new credentials restart (RFC 9725 §4.3.3).
            Some(named) => Ok(Asked::Restart(named.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const TAG: &str = "\"now\"";

    fn sent(values: &[&'static str]) -> IfMatch {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| headers.append(IF_MATCH, HeaderValue::from_static(value)));
        IfMatch::of(&headers)
    }

    fn credentials(ufrag: &str) -> IceCredentials {
        IceCredentials::new(ufrag, format!("password-of-{ufrag}"))
    }

    #[test]
    fn the_header_is_read_in_every_form() {
        assert_eq!(sent(&[]), IfMatch::Absent);
        assert_eq!(sent(&["*"]), IfMatch::Any);
        assert_eq!(sent(&[" \"*\" "]), IfMatch::Any);
        assert_eq!(
            sent(&["\"a\", W/\"b\"", "\"c\""]),
            IfMatch::Tags(["\"a\"", "W/\"b\"", "\"c\""].map(str::to_owned).to_vec(),)
        );
    }

    #[test]
    fn candidates_belong_to_the_session_that_is_named_and_new_credentials_restart() {
        let (now, new) = (credentials("now"), credentials("new"));
        let restart = || Ok(Asked::Restart(new.clone()));
        let cases: [(&[&'static str], _, Result<Asked, u16>); 12] = [
            (&[], Some(&now), Ok(Asked::Trickle)),
            (&[], Some(&new), Err(428)),
            (&[], None, Err(428)),
            (&["*"], Some(&now), Ok(Asked::Trickle)),
            (&["*"], Some(&new), restart()),
            (&["*"], None, Ok(Asked::Trickle)),
            (&[TAG], Some(&now), Ok(Asked::Trickle)),
            (&[TAG], Some(&new), restart()),
            (&["\"old\", \"now\""], None, Ok(Asked::Trickle)),
            (&["\"old\""], Some(&new), Err(412)),
            (&["W/\"now\""], Some(&now), Err(412)),
            (&[""], Some(&now), Err(412)),
        ];
        for (values, named, expected) in cases {
            let judged = sent(values).judge(TAG, &now, named).map_err(|problem| problem.status);
            assert_eq!(judged, expected, "{values:?} {named:?}");
        }
    }

    #[test]
    fn half_a_restart_is_malformed() {
        let now = credentials("now");
        for half in [
            IceCredentials::new("new", now.password.as_str()),
            IceCredentials::new("now", "another password"),
        ] {
            assert_eq!(IfMatch::Any.judge(TAG, &now, Some(&half)).unwrap_err().status, 400);
        }
    }
}
