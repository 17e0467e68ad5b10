//! The public listener's TLS: from files, or a self-signed certificate for every address that the
//! node is known by.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::{Announce, Config};

/// What a self-signed certificate is good for; a new one is made at each start.
const LIFE: Duration = Duration::from_secs(397 * 86_400);
/// How far back it starts, for clients whose clocks are behind.
const BEFORE: Duration = Duration::from_secs(86_400);

/// TLS 1.2 and 1.3 with the configured certificate, or a self-signed one.
///
/// # Errors
/// If a file cannot be read or holds no certificate or key, or they do not belong together.
pub fn server_config(config: &Config) -> io::Result<ServerConfig> {
    let (chain, key) = match (&config.public.tls_cert, &config.public.tls_key) {
        (Some(cert), Some(key)) => (chain(cert)?, private_key(key)?),
        _ => self_signed(config).map_err(io::Error::other)?,
    };
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            io::Error::other(format!("public.tls_cert and public.tls_key cannot be used: {error}"))
        })
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn chain(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(unusable("public.tls_cert", path, "there is no certificate in it")),
        Err(error) => Err(unusable("public.tls_cert", path, error)),
    }
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unusable("public.tls_key", path, error))
}

fn unusable(key: &str, path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{key} {}: {why}", path.display()))
}

fn self_signed(config: &Config) -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::new(names(config))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, config.node.name.as_str());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BEFORE);
    params.not_after = epoch + now + LIFE;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((vec![certificate.der().clone()], key.into()))
}

/// Every name and address that the node is known by.
fn names(config: &Config) -> Vec<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.insert(config.public.listen.ip().to_string());
    for interface in &config.interface {
        names.insert(interface.bind.to_string());
        if let Announce::Address(address) = interface.announce {
            names.insert(address.to_string());
        }
    }
    names.retain(|name| name != "0.0.0.0" && name != "::");
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_names_every_address_of_the_node() {
        let mut config = Config::default();
        config.public.listen = "0.0.0.0:443".parse().unwrap();
        config.interface.push(crate::config::Interface {
            bind: "10.0.0.5".parse().unwrap(),
            announce: Announce::Address("203.0.113.5".parse().unwrap()),
            ..Default::default()
        });
        assert_eq!(names(&config), ["10.0.0.5", "127.0.0.1", "203.0.113.5", "::1", "localhost"]);
        assert!(server_config(&config).is_ok());
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_named() {
        let mut config = Config::default();
        config.public.tls_cert = Some("/nonexistent/cert.pem".into());
        config.public.tls_key = Some("/nonexistent/key.pem".into());
        let words = server_config(&config).unwrap_err().to_string();
        assert!(words.contains("public.tls_cert /nonexistent/cert.pem"), "{words}");
    }
}
