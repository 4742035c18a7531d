use super::server::{self, answer, wait_for_end};
use super::{PATIENT, SHORT, check, failed, http, passed, url};
use evenkeel_balance::config::{Check, TlsProbe, UrlProbe};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};

/// A certificate that no client would trust: of nobody known, of another name, and over since long.
fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["another.test".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

fn server_config() -> Arc<ServerConfig> {
    let (certificate, key) = identity();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).expect("a certificate"))
}

/// What the server saw: the name that was sent, and whether the end was announced.
type Seen = (Option<String>, bool);

fn https() -> (SocketAddr, mpsc::Receiver<Seen>) {
    let (tell, told) = mpsc::channel();
    let config = server_config();
    let address = server::tcp(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut stream = StreamOwned::new(connection, stream);
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            request.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let _ = stream.flush();
        // A clean end reads as 0, the end of the connection alone as an error.
        let announced = matches!(stream.read(&mut byte), Ok(0));
        let _ = tell.send((stream.conn.server_name().map(str::to_owned), announced));
    });
    (address, told)
}

fn ssl_get(tls: TlsProbe, url: UrlProbe, address: SocketAddr) -> Check {
    check(http(vec![url], Some(tls)), address, PATIENT)
}

#[test]
fn a_certificate_that_is_over_and_of_another_name_is_taken_as_in_keepalived() {
    let (address, _told) = https();
    assert_eq!(passed(&ssl_get(TlsProbe::default(), url("/"), address)).0, "HTTP status 200");
}

#[test]
fn a_name_is_sent_when_sni_is_enabled() {
    let (address, told) = https();
    let sni = TlsProbe { sni: true, ..TlsProbe::default() };
    let named = TlsProbe { sni_name: Some("explicit.test".to_owned()), ..sni.clone() };
    let of_url = UrlProbe { sni: Some("url.test".to_owned()), ..url("/") };
    let rows = [
        (TlsProbe::default(), of_url.clone(), None),
        (sni.clone(), of_url.clone(), Some("url.test")),
        (named, of_url, Some("explicit.test")),
        (sni.clone(), url("/"), None),
        (sni, UrlProbe { sni: Some("192.0.2.1".to_owned()), ..url("/") }, None),
    ];
    for (tls, url, expected) in rows {
        passed(&ssl_get(tls, url, address));
        assert_eq!(told.recv().unwrap().0.as_deref(), expected);
    }
}

#[test]
fn the_end_is_announced_only_when_tls_compliant_asks_for_it() {
    let (address, told) = https();
    let compliant = TlsProbe { compliant: true, ..TlsProbe::default() };
    let compliant_url = UrlProbe { tls_compliant: true, ..url("/") };
    for (tls, url, expected) in [
        (TlsProbe::default(), url("/"), false),
        (compliant, url("/"), true),
        (TlsProbe::default(), compliant_url, true),
    ] {
        passed(&ssl_get(tls, url, address));
        assert_eq!(told.recv().unwrap().1, expected);
    }
}

#[test]
fn what_is_no_tls_is_named() {
    let plain = server::tcp(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        wait_for_end(stream);
    });
    assert_eq!(
        failed(&ssl_get(TlsProbe::default(), url("/"), plain)),
        "SSL handshake error: the server does not speak TLS"
    );
    let closing = server::tcp(|stream| answer(stream, b""));
    let reason = failed(&check(http(vec![url("/")], Some(TlsProbe::default())), closing, SHORT));
    assert!(reason.starts_with("SSL handshake"), "{reason}");
    let silent = server::tcp(wait_for_end);
    let silent = check(http(vec![url("/")], Some(TlsProbe::default())), silent, SHORT);
    assert_eq!(failed(&silent), "SSL handshake timeout after 200ms");
}

/// What servers of before 2008 say to a client that begins with TLS 1.2 or later.
#[test]
fn a_server_of_old_versions_only_is_named() {
    let protocol_version = server::tcp(|mut stream| {
        let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, 70]);
        wait_for_end(stream);
    });
    let reason = "SSL handshake error: the server speaks only versions of TLS older than 1.2";
    assert_eq!(failed(&ssl_get(TlsProbe::default(), url("/"), protocol_version)), reason);

    // A ServerHello of TLS 1.0: version, random, no session, a cipher, no compression.
    let server_hello = server::tcp(|mut stream| {
        let mut hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
        hello.extend([7; 32]);
        hello.extend([0, 0, 0x2f, 0]);
        let _ = stream.write_all(&hello);
        wait_for_end(stream);
    });
    assert_eq!(failed(&ssl_get(TlsProbe::default(), url("/"), server_hello)), reason);
}
