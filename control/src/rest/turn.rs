//! `/v1/turn/credentials`: TURN credentials for a time.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use aws_lc_rs::rand;

use super::State;
use super::access::{May, Relay, Who};
use super::body::Body;
use crate::api::{CredentialsMinted, MintCredentials, Problem};
use crate::auth::unix_now;
use crate::config::{Announce, Config};
use crate::turn::SharedSecret;

/// Seconds that credentials are good for, least.
const LIFE_MIN: u64 = 10;
/// Characters of a user's name, most.
const USER_MAX: usize = 64;

/// Makes credentials.
pub(super) struct Minting {
    secret: SharedSecret,
    /// Seconds that they are good for, most.
    life: u64,
    urls: Vec<String>,
}

impl Minting {
    /// By the configuration; `None` if there is no TURN server or no secret.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let turn = &config.turn;
        let secret = turn.secrets.first().filter(|_| turn.is_on())?;
        let host = config.interface.first().map(|one| match one.announce {
            Announce::Address(announced) => announced,
            _ => one.bind,
        });
        let host = host.map_or_else(String::new, |host| host.to_string());
        Some(Self {
            secret: SharedSecret::new(secret.reveal()),
            life: turn.credential_lifetime.as_secs(),
            urls: turn.urls(&host, config.edge.listen.map(|edge| edge.port())),
        })
    }

    pub(super) fn mint(
        &self,
        user: &str,
        asked: Option<u64>,
    ) -> Result<CredentialsMinted, Problem> {
        let ttl = asked.unwrap_or(self.life);
        if !(LIFE_MIN..=self.life).contains(&ttl) {
            let words = format!("{ttl} s: allowed are {LIFE_MIN} to {}", self.life);
            return Err(Problem::malformed(words).at("ttl"));
        }
        let minted = self.secret.mint(unix_now() + ttl, Some(user));
        Ok(CredentialsMinted {
            username: minted.username,
            credential: minted.credential.to_string(),
            ttl,
            urls: self.urls.clone(),
        })
    }
}

/// Get TURN credentials, for one user's quotas.
#[utoipa::path(
    tag = "turn",
    request_body = MintCredentials,
    responses(
        (status = 201, description = "The credentials", body = CredentialsMinted),
        (status = 204, description = "This node has no TURN server (to the bearer of a join token)"),
    ),
    security((), ("api" = ["call"]), ("join" = []))
)]
#[post("/v1/turn/credentials")]
pub(super) async fn create(
    may: May<Relay>,
    state: Data<State>,
    Body(asked): Body<MintCredentials>,
) -> Result<HttpResponse, Problem> {
    let Some(minting) = state.minting.as_ref() else {
        return match may.who {
            // A page asks on every node, and a browser would show its user an error that is none.
            Who::Join(_) => Ok(HttpResponse::NoContent().finish()),
            Who::Api => Err(Problem::not_found("this node has no TURN server; see [turn]")),
        };
    };
    let user = match (&may.who, asked.user) {
        // Whoever could name itself could have as many quotas as it can think of names.
        (Who::Join(pass), _) => pass.jti.clone(),
        (Who::Api, Some(user)) => sound_user(user)?,
        (Who::Api, None) => random_user()?,
    };
    Ok(HttpResponse::Created().json(minting.mint(&user, asked.ttl)?))
}

fn sound_user(user: String) -> Result<String, Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._@".contains(c);
    if (1..=USER_MAX).contains(&user.len()) && user.chars().all(legal) {
        return Ok(user);
    }
    let words = format!("allowed are 1 to {USER_MAX} letters, digits, `-`, `.`, `_` and `@`");
    Err(Problem::malformed(words).at("user"))
}

fn random_user() -> Result<String, Problem> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| Problem::internal("the system has no randomness"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
