//! Real listeners on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::*;

fn config() -> Config {
    let mut config = Config::default();
    config.http.listen.set_port(0);
    config.public.listen.set_port(0);
    config.timeouts.drain = Duration::from_secs(1);
    config
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn exchange(mut stream: impl Read + Write, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // The far side may close without a TLS close_notify.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn secure(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

#[actix_web::test]
async fn both_listeners_answer_and_close() {
    let front = Front::prepare(&config()).unwrap();
    let servers = serve(&config(), front, Double::new(), ng(&config())).unwrap();
    let (http, public) = (servers.http, servers.public);
    let (plain, tls) = blocking(move || {
        let plain = exchange(TcpStream::connect(http).unwrap(), "/v1/calls");
        (plain, exchange(secure(public), "/"))
    })
    .await;
    assert!(plain.starts_with("HTTP/1.1 200") && plain.ends_with("[]"), "{plain}");
    assert!(tls.starts_with("HTTP/1.1 200") && tls.contains("causeway"), "{tls}");
    servers.stop().await;
    assert!(TcpStream::connect(http).is_err() && TcpStream::connect(public).is_err());
}

#[actix_web::test]
async fn an_open_stream_does_not_hold_the_stop_up() {
    let mut config = config();
    config.timeouts.drain = Duration::from_secs(3600);
    let front = Front::prepare(&config).unwrap();
    let servers = serve(&config, front, Double::new(), ng(&config)).unwrap();
    let http = servers.http;
    let (ready, opened) = tokio::sync::oneshot::channel();
    let reader = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(http).unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        ready.send(()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    opened.await.unwrap();
    servers.stop().await;
    reader.await.unwrap();
}

#[actix_web::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.public.listen = taken.local_addr().unwrap();
    let front = Front::prepare(&config).unwrap();
    let Err(error) = serve(&config, front, Double::new(), ng(&config)) else {
        panic!("bound twice")
    };
    let words = error.to_string();
    assert!(words.starts_with(&format!("public.listen {}", config.public.listen)), "{words}");
}
