//! TLS of SSL_GET. No certificate is verified, as in keepalived: a check asks whether a server works, and clients judge its
//! certificate.

use super::super::socket;
use super::super::{ConfigError, Limit};
use super::key;
use evenkeel_balance::config::{ClientTls, TlsProbe, UrlProbe};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// TLS as all checks of a configuration use it.
#[derive(Debug)]
pub(in super::super) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// With the client certificate of the SSL block, if there is one. Its `ca` is for verifying, and nothing is verified.
    pub(in super::super) fn new(files: &ClientTls) -> Result<Self, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Trusting(Arc::clone(&provider)));
        let fault = |file: &str, reason: String| ConfigError::ClientTls { file: file.to_owned(), reason };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault("SSL", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&files.certificate, &files.key) {
            (Some(certificate), key) => {
                let path = key.as_ref().unwrap_or(certificate);
                let chain = CertificateDer::pem_file_iter(certificate)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| fault(certificate, error.to_string()))?;
                let secret = key::read(path, files.password.as_deref()).map_err(|reason| fault(path, reason))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| fault(certificate, error.to_string()))?
            }
            (None, _) => builder.with_no_client_auth(),
        };
        // Each check makes the whole handshake, as a new client does, and ten thousand servers leave no tickets here.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        with: &TlsProbe,
        url: &UrlProbe,
        limit: Limit,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = server_name(with, url)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        match limit.of(connector.connect(name, stream)).await {
            Some(Ok(stream)) => Ok(stream),
            Some(Err(error)) => Err(format!("SSL handshake error: {}", text(&error))),
            None => Err(format!("SSL handshake timeout after {limit}")),
        }
    }
}

/// The name to send: `sni_name`, or the virtual host that stands for the url. Names that are addresses are not sent
/// (RFC 6066, section 3), and an address here is how rustls is told to send none.
fn server_name(with: &TlsProbe, url: &UrlProbe) -> Result<ServerName<'static>, String> {
    let name = with.sni_name.as_ref().or(url.sni.as_ref());
    match name.filter(|_| with.sni || with.sni_name.is_some()) {
        Some(name) => ServerName::try_from(name.clone()).map_err(|_| format!("SNI {name:?} is no host name")),
        None => Ok(ServerName::from(Ipv4Addr::UNSPECIFIED)),
    }
}

/// What went wrong, with the cases named that an operator can do something about.
pub(super) fn text(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Error::AlertReceived(AlertDescription::ProtocolVersion),
        ) => "the server speaks only versions of TLS older than 1.2".to_owned(),
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure)) => {
            "the server found no cipher or version of TLS in common, or wants a certificate".to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
            "the server knows no such name (SNI): unrecognized_name".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "the server does not speak TLS".to_owned(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        None => socket::text(error),
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.signature_verification_algorithms.supported_schemes();
        // Nothing is verified, so that servers with old keys can be asked too.
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}
