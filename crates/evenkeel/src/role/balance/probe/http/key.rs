//! The private key of the SSL block, which may need a password: in PKCS #8, as OpenSSL writes them today, or in the older
//! form of PEM where two headers name the cipher (RFC 1421, section 4.6.1).

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// OpenSSL's name for a cipher, the length of its key in bytes, and how it deciphers: by key and initialization vector.
type Cipher = (&'static str, usize, fn(&[u8], &[u8], &[u8]) -> Option<Vec<u8>>);

const CIPHERS: [Cipher; 4] = [
    ("AES-128-CBC", 16, decipher::<Aes128>),
    ("AES-192-CBC", 24, decipher::<Aes192>),
    ("AES-256-CBC", 32, decipher::<Aes256>),
    ("DES-EDE3-CBC", 24, decipher::<TdesEde3>),
];

const WRONG: &str = "the password does not fit, or the key is damaged";

/// The first private key of a file.
pub(super) fn read(path: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text, password)
}

fn parse(text: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let section = Section::first(text).ok_or("there is no private key in it")?;
    let needed = || password.ok_or_else(|| "it needs a password, and none is configured".to_owned());
    if section.label == "ENCRYPTED PRIVATE KEY" {
        let bytes = section.decode("PRIVATE KEY")?.secret_der().to_vec();
        let info = EncryptedPrivateKeyInfoRef::try_from(bytes.as_slice()).map_err(|error| error.to_string())?;
        let secret = info.decrypt(needed()?).map_err(|error| format!("{WRONG} ({error})"))?;
        return Ok(PrivatePkcs8KeyDer::from(secret.as_bytes().to_vec()).into());
    }
    let key = section.decode(section.label)?;
    let Some(encryption) = section.encryption else { return Ok(key) };
    let plain = decrypt(key.secret_der(), encryption, needed()?)?;
    Ok(match key {
        PrivateKeyDer::Pkcs1(_) => PrivateKeyDer::Pkcs1(plain.into()),
        PrivateKeyDer::Sec1(_) => PrivateKeyDer::Sec1(plain.into()),
        _ => PrivateKeyDer::Pkcs8(plain.into()),
    })
}

/// A private key as it stands in a file.
struct Section<'t> {
    label: &'t str,
    /// What follows `DEK-Info:`.
    encryption: Option<&'t str>,
    /// Base64, in lines.
    body: Vec<&'t str>,
}

impl<'t> Section<'t> {
    fn first(text: &'t str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let label = lines.find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })?;
        let (headers, body): (Vec<_>, Vec<_>) = lines
            .take_while(|line| !line.starts_with("-----END"))
            .filter(|line| !line.is_empty())
            .partition(|line| line.contains(':'));
        let encryption = headers.iter().find_map(|line| line.strip_prefix("DEK-Info:")).map(str::trim);
        Some(Section { label, encryption, body })
    }

    /// The bytes, as a key of the kind that `label` names.
    fn decode(&self, label: &str) -> Result<PrivateKeyDer<'static>, String> {
        let plain = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", self.body.join("\n"));
        PrivateKeyDer::from_pem_slice(plain.as_bytes()).map_err(|error| error.to_string())
    }
}

/// `AES-256-CBC,6D4C...`: the cipher and its initialization vector.
fn decrypt(bytes: &[u8], encryption: &str, password: &str) -> Result<Vec<u8>, String> {
    let (name, vector) = encryption.split_once(',').unwrap_or((encryption, ""));
    let Some((_, length, decipher)) = CIPHERS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<_> = CIPHERS.iter().map(|(name, ..)| *name).collect();
        return Err(format!("it is encrypted with {name}; known are {}", known.join(", ")));
    };
    let vector = bytes_of(vector).filter(|vector| vector.len() >= 8).ok_or("its DEK-Info is damaged")?;
    // The vector's beginning is the salt too.
    let key = derive(password.as_bytes(), &vector[..8], *length);
    let plain = decipher(&key, &vector, bytes).ok_or(WRONG)?;
    // The padding alone would fit by chance for one wrong password in 256.
    SecretDocument::try_from(plain.as_slice()).map_err(|error| format!("{WRONG} ({error})"))?;
    Ok(plain)
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: each digest is over the one before, password and salt.
fn derive(password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        last = Md5::new().chain_update(&last).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn decipher<C: BlockCipherDecrypt + KeyInit>(key: &[u8], vector: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    Decryptor::<C>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(bytes).ok()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What OpenSSL makes of a key with these words.
    fn openssl(words: &str, key: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {words}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn rsa() -> String {
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "")
    }

    fn elliptic() -> String {
        openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "")
    }

    fn secret(text: &str, password: Option<&str>) -> Result<Vec<u8>, String> {
        parse(text, password).map(|key| key.secret_der().to_vec())
    }

    #[test]
    fn a_key_is_the_same_whatever_openssl_encrypts_it_with() {
        let (rsa, elliptic) = (rsa(), elliptic());
        for plain in [&rsa, &elliptic] {
            for how in [
                "-v2 aes-128-cbc",
                "-v2 aes-256-cbc",
                "-v2 aes-256-cbc -v2prf hmacWithSHA1",
                "-v2 aes-192-cbc -v2prf hmacWithSHA512",
                "-v2 des3",
                "-scrypt",
            ] {
                let encrypted = openssl(&format!("pkcs8 -topk8 -passout pass:geheim {how}"), plain);
                assert!(encrypted.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{encrypted}");
                assert_eq!(secret(&encrypted, Some("geheim")), secret(plain, None), "{how}");
            }
        }
        for (plain, command) in [(&rsa, "rsa -traditional"), (&elliptic, "ec")] {
            let traditional = openssl(command, plain);
            for cipher in ["aes128", "aes192", "aes256", "des3"] {
                let encrypted = openssl(&format!("{command} -{cipher} -passout pass:geheim"), plain);
                assert!(encrypted.contains("DEK-Info: "), "{encrypted}");
                assert_eq!(secret(&encrypted, Some("geheim")), secret(&traditional, None), "{command} {cipher}");
            }
        }
    }

    #[test]
    fn why_a_key_cannot_be_read_is_said() {
        let plain = elliptic();
        let modern = openssl("pkcs8 -topk8 -passout pass:geheim", &plain);
        let old = openssl("ec -aes128 -passout pass:geheim", &plain);
        let needed = "it needs a password, and none is configured";
        for (text, password, expected) in [
            (modern.as_str(), None, needed),
            (&old, None, needed),
            (&modern, Some("falsch"), WRONG),
            (&old, Some("falsch"), WRONG),
            (
                &old.replace("AES-128-CBC", "RC2-CBC"),
                Some("geheim"),
                "it is encrypted with RC2-CBC; known are AES-128-CBC",
            ),
            (&old.replace("AES-128-CBC,", "AES-128-CBC,0"), Some("geheim"), WRONG),
            (&old.replace("AES-128-CBC,", "AES-128-CBC;"), Some("geheim"), "it is encrypted with AES-128-CBC;"),
            ("-----BEGIN CERTIFICATE-----\n", None, "there is no private key in it"),
            ("-----BEGIN PRIVATE KEY-----\n?\n", None, "base64 decode error"),
        ] {
            let error = secret(text, password).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
