//! What to ask a metadata service, and what its answers mean. Sans-IO.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{Addresses, CloudError, Provider};

/// One HTTP request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `PUT`, without a body.
    pub method: &'static str,
    /// Path and query.
    pub path: &'static str,
    /// Headers beside `Host`; the value may be a token, which is not printed.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
}

/// What the machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask this, and hand the answer to [`Exchange::handle_response`].
    Request(Request),
    /// That was all.
    Found(Addresses),
}

/// One conversation. Ask [`Exchange::poll_output`] what to do until it has found the addresses.
#[derive(Debug)]
pub struct Exchange {
    provider: Provider,
    steps: VecDeque<Step>,
    token: Option<Zeroizing<String>>,
    public: Option<IpAddr>,
    private: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Token,
    Public,
    /// Where Azure keeps addresses of the standard kind.
    LoadBalancer,
    Private,
}

impl Exchange {
    /// Begins a conversation with this cloud.
    pub fn new(provider: Provider) -> Self {
        let token = (provider == Provider::Aws).then_some(Step::Token);
        let steps = token.into_iter().chain([Step::Public, Step::Private]).collect();
        Self { provider, steps, token: None, public: None, private: None }
    }

    /// What to do now.
    ///
    /// # Errors
    /// [`CloudError::NoPublicAddress`] when everything was asked.
    pub fn poll_output(&self) -> Result<Output, CloudError> {
        match (self.steps.front(), self.public) {
            (Some(step), _) => Ok(Output::Request(self.request(*step))),
            (None, Some(public)) => Ok(Output::Found(Addresses { public, private: self.private })),
            (None, None) => Err(CloudError::NoPublicAddress(self.provider)),
        }
    }

    /// Takes the answer to the last request.
    ///
    /// # Errors
    /// What the answer means for an operator; the conversation is over then.
    pub fn handle_response(&mut self, status: u16, body: &[u8]) -> Result<(), CloudError> {
        let Some(step) = self.steps.pop_front() else { return Ok(()) };
        let body = str::from_utf8(body).map(str::trim).map_err(|_| self.nonsense("not text"))?;
        match (step, status) {
            (Step::Token, 200) => self.token = Some(self.read_token(body)?),
            (Step::Public, 200) if body.is_empty() => self.handle_absence(),
            (Step::Public, 404) => self.handle_absence(),
            (Step::Public, 200) => self.public = Some(self.read_address(body)?),
            (Step::LoadBalancer, 200) => self.public = self.read_load_balancer(body)?,
            (Step::LoadBalancer, 404) => {}
            (Step::Private, 200) => self.private = body.parse().ok(),
            (Step::Private, _) => {}
            _ => {
                let path = self.path(step);
                return Err(CloudError::Refused { provider: self.provider, path, status });
            }
        }
        if self.public.is_none() && self.steps.front() == Some(&Step::Private) {
            self.steps.clear();
        }
        Ok(())
    }

    fn handle_absence(&mut self) {
        if self.provider == Provider::Azure {
            self.steps.push_front(Step::LoadBalancer);
        }
    }

    fn request(&self, step: Step) -> Request {
        let plain = |name, value: &str| (name, Zeroizing::new(value.to_owned()));
        let headers = match (self.provider, step, &self.token) {
            (Provider::Aws, Step::Token, _) => {
                vec![plain("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS)]
            }
            (Provider::Aws, _, Some(token)) => {
                vec![("X-aws-ec2-metadata-token", token.clone())]
            }
            (Provider::Gcp, ..) => vec![plain("Metadata-Flavor", "Google")],
            (Provider::Azure, ..) => vec![plain("Metadata", "true")],
            _ => Vec::new(),
        };
        let method = if step == Step::Token { "PUT" } else { "GET" };
        Request { method, path: self.path(step), headers }
    }

    fn path(&self, step: Step) -> &'static str {
        match (self.provider, step) {
            (_, Step::Token) => "/latest/api/token",
            (Provider::Aws | Provider::OpenStack, Step::Private) => "/latest/meta-data/local-ipv4",
            (Provider::Aws | Provider::OpenStack, _) => "/latest/meta-data/public-ipv4",
            (Provider::Gcp, Step::Private) => {
                "/computeMetadata/v1/instance/network-interfaces/0/ip"
            }
            (Provider::Gcp, _) => {
                "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"
            }
            (Provider::Azure, Step::Private) => {
                "/metadata/instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress\
                 ?api-version=2021-02-01&format=text"
            }
            (Provider::Azure, Step::LoadBalancer) => {
                "/metadata/loadbalancer?api-version=2020-10-01&format=json"
            }
            (Provider::Azure, _) => {
                "/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress\
                 ?api-version=2021-02-01&format=text"
            }
            (Provider::DigitalOcean, Step::Private) => {
                "/metadata/v1/interfaces/public/0/anchor_ipv4/address"
            }
            (Provider::DigitalOcean, _) => "/metadata/v1/interfaces/public/0/ipv4/address",
        }
    }

    /// A token goes into a header line, so it must not be able to end it.
    fn read_token(&self, body: &str) -> Result<Zeroizing<String>, CloudError> {
        let fits = !body.is_empty() && body.len() <= TOKEN_MAX;
        if !fits || !body.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.nonsense("the token is no token"));
        }
        Ok(Zeroizing::new(body.to_owned()))
    }

    fn read_address(&self, body: &str) -> Result<IpAddr, CloudError> {
        let address: IpAddr = body.parse().map_err(|_| self.nonsense("not an address"))?;
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Err(self.nonsense("an address that nobody can send to"));
        }
        Ok(address)
    }

    fn read_load_balancer(&self, body: &str) -> Result<Option<IpAddr>, CloudError> {
        let json: serde_json::Value =
            serde_json::from_str(body).map_err(|_| self.nonsense("not JSON"))?;
        let first = json.pointer("/loadbalancer/publicIpAddresses/0/frontendIpAddress");
        let address = first.and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        address.map(|text| self.read_address(text)).transpose()
    }

    fn nonsense(&self, what: &'static str) -> CloudError {
        CloudError::Nonsense(self.provider, what)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &names)
            .finish()
    }
}

/// Just for this start-up.
const TOKEN_SECONDS: &str = "60";
/// Tokens of AWS have 56 characters.
const TOKEN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the service: each answer goes to the next request. Gives the paths and the end.
    fn play(
        provider: Provider,
        answers: &[(u16, &str)],
    ) -> (Vec<Request>, Result<Addresses, CloudError>) {
        let mut exchange = Exchange::new(provider);
        let mut asked = Vec::new();
        let mut answers = answers.iter();
        loop {
            match exchange.poll_output() {
                Err(error) => return (asked, Err(error)),
                Ok(Output::Found(addresses)) => return (asked, Ok(addresses)),
                Ok(Output::Request(request)) => asked.push(request),
            }
            let (status, body) = answers.next().expect("an answer for each request");
            if let Err(error) = exchange.handle_response(*status, body.as_bytes()) {
                return (asked, Err(error));
            }
        }
    }

    fn found(public: &str, private: Option<&str>) -> Result<Addresses, CloudError> {
        let ip = |text: &str| text.parse().unwrap();
        Ok(Addresses { public: ip(public), private: private.map(ip) })
    }

    #[test]
    fn aws_is_asked_with_a_token() {
        let answers = [(200, "tok=="), (200, "203.0.113.5"), (200, "172.31.5.10\n")];
        let (asked, result) = play(Provider::Aws, &answers);
        assert_eq!(result, found("203.0.113.5", Some("172.31.5.10")));
        assert_eq!((asked[0].method, asked[0].path), ("PUT", "/latest/api/token"));
        assert_eq!(asked[0].headers[0].0, "X-aws-ec2-metadata-token-ttl-seconds");
        for request in &asked[1..] {
            assert_eq!(request.headers[0].0, "X-aws-ec2-metadata-token");
            assert_eq!(request.headers[0].1.as_str(), "tok==");
            assert!(!format!("{request:?}").contains("tok=="));
        }
    }

    #[test]
    fn others_want_their_header() {
        let answers = [(200, "203.0.113.5"), (200, "10.0.0.4")];
        for (provider, header) in
            [(Provider::Gcp, "Metadata-Flavor"), (Provider::Azure, "Metadata")]
        {
            let (asked, result) = play(provider, &answers);
            assert_eq!(result, found("203.0.113.5", Some("10.0.0.4")));
            assert!(asked.iter().all(|request| request.headers[0].0 == header));
        }
    }

    #[test]
    fn azure_is_asked_again_for_an_address_of_the_standard_kind() {
        let json =
            r#"{"loadbalancer":{"publicIpAddresses":[{"frontendIpAddress":"203.0.113.5"}]}}"#;
        let (_, result) = play(Provider::Azure, &[(200, ""), (200, json), (404, "")]);
        assert_eq!(result, found("203.0.113.5", None));
        let (_, result) = play(Provider::Azure, &[(200, ""), (404, "")]);
        assert_eq!(result, Err(CloudError::NoPublicAddress(Provider::Azure)));
    }

    #[test]
    fn no_public_address_is_said_plainly() {
        for provider in [Provider::Gcp, Provider::OpenStack, Provider::DigitalOcean] {
            let (_, result) = play(provider, &[(404, "<html>not found</html>")]);
            assert_eq!(result, Err(CloudError::NoPublicAddress(provider)));
        }
    }

    #[test]
    fn refusals_name_path_and_status() {
        let (_, result) = play(Provider::Aws, &[(403, "")]);
        let text = result.unwrap_err().to_string();
        assert!(text.contains("/latest/api/token") && text.contains("403"), "{text}");
        assert!(text.contains("--http-endpoint"), "{text}");
    }

    #[test]
    fn hostile_answers_are_nonsense() {
        for body in ["<html>", "1.2.3.4 5.6.7.8", "127.0.0.1", "0.0.0.0", "999.1.1.1"] {
            let (_, result) = play(Provider::Gcp, &[(200, body)]);
            assert!(matches!(result, Err(CloudError::Nonsense(..))), "{body}: {result:?}");
        }
        for token in ["", "a\r\nHost: evil", &"x".repeat(TOKEN_MAX + 1)] {
            let (_, result) = play(Provider::Aws, &[(200, token)]);
            assert!(matches!(result, Err(CloudError::Nonsense(..))), "{token}");
        }
    }
}
