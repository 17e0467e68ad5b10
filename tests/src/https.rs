//! One request over HTTPS to a node on loopback, whose self-signed certificate is taken as it is.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use serde_json::Value;

use crate::http::{PATIENCE, Response, read};

/// TLS with a node on loopback.
pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Sends one request with a bearer token, as if the server were known as `host`.
///
/// # Panics
/// If there is no answer.
pub fn send(
    server: SocketAddr,
    host: &str,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Response {
    send_by(secure(connect(server)), host, token, method, path, body)
}

/// The same by a connection that there is already.
///
/// # Panics
/// If there is no answer.
pub fn send_by(
    stream: Secure,
    host: &str,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Response {
    let mut stream = BufReader::new(stream);
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).expect("the server reads");
    read(&mut stream).expect("an answer").0
}

/// A connection to a node.
///
/// # Panics
/// If it does not listen.
pub fn connect(server: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(server).expect("the server listens");
    tcp.set_nodelay(true).expect("an option");
    tcp.set_read_timeout(Some(PATIENCE)).expect("an option");
    tcp
}

/// Puts TLS on a connection; the handshake comes with the first bytes.
///
/// # Panics
/// Never: everything that it takes is there.
pub fn secure(tcp: TcpStream) -> Secure {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Loopback(provider)))
        .with_no_client_auth();
    let name = ServerName::from(Ipv4Addr::LOCALHOST);
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, tcp)
}

/// Nobody stands between on loopback.
#[derive(Debug)]
struct Loopback(Arc<CryptoProvider>);

impl ServerCertVerifier for Loopback {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
