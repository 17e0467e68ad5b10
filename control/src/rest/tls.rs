//! The certificate of the public doors: from files that are looked at again and again, or a self-signed
//! one for every address that the node is known by.
//!
//! A certificate is renewed by putting another into the files' places. A pair that cannot be used is
//! said once and changes nothing. Connections keep what they began with.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::config::{Announce, Config};

/// What a self-signed certificate is good for; a new one is made at each start.
const LIFE: Duration = Duration::from_secs(397 * 86_400);
/// How far back it starts, for clients whose clocks are behind.
const BEFORE: Duration = Duration::from_secs(86_400);
/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(10);

/// The certificate that handshakes are answered with.
#[derive(Debug)]
pub struct Certificates {
    current: RwLock<Arc<CertifiedKey>>,
    /// What it was made from; nothing where it is self-signed.
    files: Option<Files>,
    /// What the files were when they were read last.
    seen: Mutex<Option<Stamp>>,
}

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What changes when another file is put in the place of one, or into it.
type Stamp = [(SystemTime, u64, u64); 2];

impl Certificates {
    /// Reads the configured certificate, or makes a self-signed one.
    ///
    /// # Errors
    /// If a file cannot be read or holds no certificate or key, or they do not belong together.
    pub fn load(config: &Config) -> io::Result<Arc<Self>> {
        let files = match (&config.public.tls_cert, &config.public.tls_key) {
            (Some(cert), Some(key)) => Some(Files { cert: cert.clone(), key: key.clone() }),
            _ => None,
        };
        let seen = files.as_ref().and_then(|files| files.stamp().ok());
        let current = match &files {
            Some(files) => files.read()?,
            None => certified(self_signed(config).map_err(io::Error::other)?)?,
        };
        let current = RwLock::new(Arc::new(current));
        Ok(Arc::new(Self { current, files, seen: Mutex::new(seen) }))
    }

    /// Takes what is in the files now, if that has changed; says whether it has.
    ///
    /// # Errors
    /// If it cannot be used, said once per change: the certificate stays as it was.
    pub fn refresh(&self) -> io::Result<bool> {
        let Some(files) = &self.files else { return Ok(false) };
        let stamp = files.stamp()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.replace(stamp) == Some(stamp) {
            return Ok(false);
        }
        let fresh = Arc::new(files.read()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// [`Self::refresh`], with the log told what has become of it.
    pub fn look(&self) {
        match self.refresh() {
            Ok(true) => tracing::info!("the certificate was read anew"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the certificate stays as it was"),
        }
    }

    /// Looks at the files until it is told to stop.
    pub(super) async fn watch(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        while self.files.is_some() && !*stopping.borrow() {
            tokio::select! {
                _ = stopping.changed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let certificates = Arc::clone(&self);
            // Files may lie on a disk that takes its time.
            let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Files {
    fn read(&self) -> io::Result<CertifiedKey> {
        certified((chain(&self.cert)?, private_key(&self.key)?))
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let of = |path: &Path| {
            let held = fs::metadata(path)?;
            Ok::<_, io::Error>((held.modified()?, held.ino(), held.len()))
        };
        Ok([of(&self.cert)?, of(&self.key)?])
    }
}

/// TLS 1.2 and 1.3 with whatever certificate there is at each handshake; ALPN is left to the listener.
///
/// # Errors
/// Never in practice: the provider has both versions.
pub fn server_config(certificates: &Arc<Certificates>) -> io::Result<ServerConfig> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(certificates) as _;
    Ok(ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(resolver))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certified((chain, key): Identity) -> io::Result<CertifiedKey> {
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        io::Error::other(format!("public.tls_cert and public.tls_key cannot be used: {error}"))
    })
}

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
    names.extend(config.edge.listen.map(|listen| listen.ip().to_string()));
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
        config.edge.listen = Some("10.0.0.6:443".parse().unwrap());
        config.interface.push(crate::config::Interface {
            bind: "10.0.0.5".parse().unwrap(),
            announce: Announce::Address("203.0.113.5".parse().unwrap()),
            ..Default::default()
        });
        let all = ["10.0.0.5", "10.0.0.6", "127.0.0.1", "203.0.113.5", "::1", "localhost"];
        assert_eq!(names(&config), all);
        assert!(!Certificates::load(&config).unwrap().refresh().unwrap(), "nothing to look at");
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_named() {
        let mut config = Config::default();
        config.public.tls_cert = Some("/nonexistent/cert.pem".into());
        config.public.tls_key = Some("/nonexistent/key.pem".into());
        let words = Certificates::load(&config).unwrap_err().to_string();
        assert!(words.contains("public.tls_cert /nonexistent/cert.pem"), "{words}");
    }

    #[test]
    fn another_pair_is_taken_and_one_that_does_not_fit_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let pair = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            (certificate.pem(), key.serialize_pem(), certificate.der().clone())
        };
        let (first, second) = (pair(), pair());
        write("cert", &first.0);
        write("key", &first.1);
        let mut config = Config::default();
        config.public.tls_cert = Some(folder.path().join("cert"));
        config.public.tls_key = Some(folder.path().join("key"));
        let certificates = Certificates::load(&config).unwrap();
        let held = || certificates.current.read().unwrap().cert[0].clone();
        assert!(!certificates.refresh().unwrap(), "nothing has changed");
        fs::remove_file(folder.path().join("cert")).unwrap();
        write("cert", &format!("{}\n", second.0));
        assert!(certificates.refresh().is_err(), "the key is another one's");
        assert!(!certificates.refresh().unwrap(), "that was said");
        assert_eq!(held(), first.2);
        fs::remove_file(folder.path().join("key")).unwrap();
        write("key", &format!("{}\n", second.1));
        assert!(certificates.refresh().unwrap());
        assert_eq!(held(), second.2);
    }
}
